"""Two rules of `check` on copies that were made: none is damaged, and they can be read back.

Pure. Knows nothing of how often a vault is read: what was asked for and came to nothing is told,
and so is what has waited for its turn too long.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from immutables import Map

from events.facts import CacheName
from projections import check_proofs
from projections.caches import Cache
from projections.catalog import Backup
from projections.check_proofs import Said
from projections.copies import Copy, Mend
from projections.doubts import Doubt, doubts
from projections.local import one_line, span
from projections.state import State

RECENT = timedelta(days=1)
"""That a copy was damaged is told for so long after it was made anew: the vault is in doubt."""
STARVED = timedelta(days=2)
"""A verification that has waited for so long is told of."""

_Pair = tuple[Backup, Copy]


def contents(state: State, cache: Cache, now: datetime) -> Iterator[Doubt | Said]:
    """What is to be said of what a living cache's backups hold, and of what their copies do."""
    yield from doubts(state, cache.name, now)
    yield from check_proofs.proofs(state, cache, now)
    yield from copies(state, cache.name, now)


def copies(state: State, name: CacheName, now: datetime) -> Iterator[Said]:
    """What is to be said of a cache's copies, if it has any."""
    pairs = [
        (backup, copy)
        for backup in state.catalog.get(name, Map()).values()
        for copy in (backup.copies if backup.phase == "complete" else ())
        if copy.completed_at is not None
    ]
    if pairs:
        yield damaged(pairs, now) or Said("ok", "copy-damaged", "no copy was found damaged")
        yield _unproven(state, name, pairs, now)


def of_removed(state: State, name: CacheName, now: datetime) -> Iterator[Said]:
    """What there is to do for what is left of a removed cache."""
    if (said := check_proofs.damaged(state, name)) is not None:
        yield said
    yield from (said for said in copies(state, name, now) if said.level != "ok")


def damaged(pairs: list[_Pair], now: datetime) -> Said | None:
    """The copy that was found damaged last, is not whole yet, or was not so until lately."""
    bad = [one for one in pairs if one[1].proof.refuted is not None]
    if bad:
        return _bad(bad, now)
    mended = [
        (copy.mend.mended_at, backup.backup_id, copy.mend, backup, copy)
        for backup, copy in pairs
        if copy.mend and copy.mend.mended_at and now - copy.mend.mended_at < RECENT
    ]
    if not mended:
        return None
    *_, mend, backup, copy = max(mended, key=lambda one: one[:2])
    return _mended(mend, backup, copy, now)


def _bad(bad: list[_Pair], now: datetime) -> Said:
    newest = max(bad, key=lambda one: (one[1].proof.refuted_at or now, one[0].backup_id))
    backup, copy = newest
    failure, at = copy.proof.refuted, copy.proof.refuted_at or now
    why = one_line(failure.message) if failure else ""
    more = f"; {len(bad)} copies in all" if len(bad) > 1 else ""
    told = f"the copy of {backup.name} in {copy.vault} was found damaged {span(now - at)} ago: "
    done, hint = _outlook(backup, copy)
    code = failure.code if failure else "copy-damaged"
    return Said("warning", "copy-damaged", f"{told}{why}{more}{done}", hint, code)


def _outlook(backup: Backup, copy: Copy) -> tuple[str, str]:
    """What is done about a damaged copy, and what a person has to do."""
    again = f"`valkeep backup verify {backup.backup_id} --from {copy.vault}`"
    if copy.failure is not None:
        why = f"; it could not be made anew: {one_line(copy.failure.message)}"
        hint = f"{copy.failure.hint.rstrip('.')}. If the copy itself was put right: {again}."
        return why, hint
    if copy.mending:
        return "; it is made anew from the backup", f"Look after vault {copy.vault} meanwhile."
    if backup.proof.refuted is not None:
        told = "Neither the backup nor this copy is whole: make another backup now, "
        return "", f"{told}and keep both until you have it. If the copy was put right: {again}."
    return "", f"If it was put right: {again}."


def _mended(mend: Mend, backup: Backup, copy: Copy, now: datetime) -> Said:
    at = mend.mended_at or now
    told = (
        f"the copy of {backup.name} in {copy.vault} was damaged ({one_line(mend.found.message)}) "
        f"and was made anew {span(now - at)} ago"
    )
    hint = (
        f"What took one may have taken others: look after vault {copy.vault}, and verify what "
        f"matters there (`valkeep backup verify BACKUP --from {copy.vault}`). This goes by itself."
    )
    return Said("warning", "copy-damaged", told, hint, mend.found.code)


def _unproven(state: State, name: CacheName, pairs: list[_Pair], now: datetime) -> Said:
    failed = [one for one in pairs if one[1].proof.unproven is not None]
    for backup, copy in failed:
        failure = copy.proof.unproven
        if failure is not None:
            told = f"the copy of {backup.name} in {copy.vault} could not be read back: "
            again = f"`valkeep backup verify {backup.backup_id} --from {copy.vault}`"
            hint = f"{failure.hint.rstrip('.')}. Then: {again}."
            return Said(
                "warning", "copy-proven", told + one_line(failure.message), hint, failure.code
            )
    for backup, copy in pairs:
        check = copy.check
        if check is not None and now - check.requested_at > STARVED:
            since = span(now - check.requested_at)
            told = f"the copy of {backup.name} in {copy.vault} waits to be read back since {since}"
            hint = "See what is in its way: `valkeep status`."
            return Said("warning", "copy-proven", told, hint, "unproven")
    return Said("ok", "copy-proven", _last_read(state, name, now))


def _last_read(state: State, name: CacheName, now: datetime) -> str:
    known = state.readings.get(name, Map())
    told = [
        f"in {vault} {span(now - one.proven_at)} ago"
        for vault, one in sorted(known.items())
        if one.proven_at is not None
    ]
    return f"copies were read back {', '.join(told)}" if told else "no copy was read back yet"
