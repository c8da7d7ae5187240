"""Outstanding work that is no backup, restore or export, as an answer. Pure but for its turns."""

from collections.abc import AsyncIterator

from anyio.lowlevel import checkpoint

from daemon.answers.standing import WorkKind, WorkView
from daemon.api.health import AT_ONCE
from daemon.api.views import Moment, progress_view
from events.facts import CacheName, VaultName
from projections import catalog
from projections.catalog import Backup
from projections.copies import in_vault
from projections.proofs import Verification
from projections.work import (
    ComparisonWork,
    CopyProofWork,
    CopyWork,
    DeletionWork,
    SweepWork,
    UncopyWork,
    VerificationWork,
    Work,
    checked_in,
    outstanding,
    proving_waits_for,
    ready,
)

_KINDS: dict[type, WorkKind] = {
    DeletionWork: "deletion",
    UncopyWork: "copy-deletion",
    SweepWork: "sweep",
}


async def work_views(moment: Moment, only: CacheName | None) -> AsyncIterator[WorkView]:
    """In the order in which it is worked on, of all caches or of one."""
    for number, work in enumerate(outstanding(moment.state)):
        if number % AT_ONCE == 0:
            await checkpoint()
        view = _view(moment, work) if only in (None, work.cache) else None
        if view is not None:
            yield view


def _view(moment: Moment, work: Work) -> WorkView | None:
    match work:
        case CopyWork() | UncopyWork() | SweepWork() | DeletionWork():
            return _of_backup(moment, work)
        case VerificationWork():
            return _verification(moment, moment.state.verifications[work.backup_id])
        case CopyProofWork():
            found = checked_in(moment.state, work.cache, work.backup_id, work.vault)
            return _verification(moment, found, work.vault) if found else None
        case ComparisonWork():
            return _comparison(moment, work)
        case _:
            return None


def _of_backup(
    moment: Moment, work: CopyWork | UncopyWork | SweepWork | DeletionWork
) -> WorkView | None:
    backup = catalog.get(moment.state.catalog, work.cache, work.backup_id)
    if backup is None:
        return None
    named = f"{backup.cache}/{backup.name}"
    if isinstance(work, CopyWork):
        return _copy(moment, backup, work.vault)
    vault = work.vault if isinstance(work, UncopyWork) else backup.vault
    what = {
        "deletion": f"deletion of {named}",
        "copy-deletion": f"deletion of the copy of {named} in {vault}",
        "sweep": f"sweep of what an attempt at {named} left",
    }
    kind = _KINDS[type(work)]
    line = f"{backup.backup_id} in {vault}" if isinstance(work, UncopyWork) else backup.backup_id
    return WorkView(
        kind=kind,
        what=what[kind],
        cache=backup.cache,
        backup_id=backup.backup_id,
        vault=vault,
        waits_for=_tidying_waits_for(moment, work, backup),
        progress=progress_view(moment, line),
    )


def _tidying_waits_for(
    moment: Moment, work: UncopyWork | SweepWork | DeletionWork, backup: Backup
) -> str | None:
    if ready(moment.state, work, moment.now):
        return None
    if moment.state.recovery.ahead:
        return "the log went back: nothing is deleted until somebody has decided"
    if backup.backup_id in moment.state.held:
        return "something reads it"
    return "a stuck call has to return" if backup.stuck else "the log was recovered not long ago"


def _copy(moment: Moment, backup: Backup, vault: VaultName) -> WorkView | None:
    copy = in_vault(backup.copies, vault)
    if copy is None:
        return None
    due = copy.not_before
    return WorkView(
        kind="copy",
        what=f"{'new ' if copy.mending else ''}copy of {backup.cache}/{backup.name} into {vault}",
        cache=backup.cache,
        backup_id=backup.backup_id,
        wanted_since=copy.requested_at,
        vault=vault,
        retry_at=due if due and due > moment.now else None,
        failure=copy.failure,
        progress=progress_view(moment, f"{backup.backup_id} in {vault}"),
    )


def _verification(moment: Moment, wanted: Verification, vault: VaultName | None = None) -> WorkView:
    """Of a backup, or of its copy in a vault."""
    backup = catalog.get(moment.state.catalog, wanted.cache, wanted.backup_id)
    named = f"{wanted.cache}/{backup.name if backup else wanted.backup_id}"
    due = wanted.retry_at
    waits = None if wanted.running else proving_waits_for(moment.state, wanted, moment.now)
    return WorkView(
        kind="verification",
        what=f"verification of {named} in {vault}" if vault else f"verification of {named}",
        cache=wanted.cache,
        backup_id=wanted.backup_id,
        wanted_since=wanted.requested_at,
        vault=vault,
        waits_for=waits,
        retry_at=due if due and due > moment.now else None,
        failure=wanted.failure,
        progress=progress_view(
            moment, f"{wanted.backup_id} in {vault}" if vault else wanted.backup_id
        ),
    )


def _comparison(moment: Moment, work: ComparisonWork) -> WorkView | None:
    found = moment.state.comparisons.get(work.comparison_id)
    if found is None:
        return None
    first, second = found.cache, found.second_cache
    one = catalog.get(moment.state.catalog, first, found.backup_id)
    named = f"{first}/{one.name if one else found.backup_id}"
    with_ = f"{second} as it is"
    if found.second_backup_id is not None:
        two = catalog.get(moment.state.catalog, second, found.second_backup_id)
        with_ = f"{second}/{two.name if two else found.second_backup_id}"
    return WorkView(
        kind="comparison",
        what=f"comparison of {named} with {with_}",
        cache=first,
        backup_id=found.backup_id,
        wanted_since=found.requested_at,
        comparison_id=found.comparison_id,
        progress=progress_view(moment, found.comparison_id),
    )
