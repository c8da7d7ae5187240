"""Outstanding work: what was asked for and has not ended.

Knows the log and nothing else. It has no clock (callers pass `now`) and cannot tell whether
anybody is doing the work: that is why a restart needs no recovery step.
"""

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from events.differences import ComparisonId
from events.facts import BackupId, CacheName, RestoreId, VaultName
from events.moves import ExportId
from projections import catalog, comparisons, exports
from projections.catalog import Backup
from projections.copies import Copy, in_vault
from projections.proofs import Verification
from projections.recovery import may_be_swept
from projections.restores import Restore
from projections.state import State


class BackupWork(Struct, frozen=True):
    """Make one attempt at a backup."""

    backup_id: BackupId
    cache: CacheName
    safety: bool = False


class SweepWork(Struct, frozen=True):
    """Remove what failed attempts left in the vault (S1).

    With `attempts`: of these, which were stuck. Without: of all others.
    """

    backup_id: BackupId
    cache: CacheName
    attempts: tuple[int, ...] = ()


class DeletionWork(Struct, frozen=True):
    """Remove a backup that is to go."""

    backup_id: BackupId
    cache: CacheName


class CopyWork(Struct, frozen=True):
    """Make one try at copying a backup into another vault."""

    backup_id: BackupId
    cache: CacheName
    vault: VaultName


class UncopyWork(Struct, frozen=True):
    """Remove a copy from its vault, or what was made of it."""

    backup_id: BackupId
    cache: CacheName
    vault: VaultName


class CopyProofWork(Struct, frozen=True):
    """Prove the copy of a backup in a vault."""

    backup_id: BackupId
    cache: CacheName
    vault: VaultName
    by_policy: bool = False


class RestoreWork(Struct, frozen=True):
    """Carry a restore out."""

    restore_id: RestoreId
    cache: CacheName


class UndoWork(Struct, frozen=True):
    """Undo what an interrupted restore changed on its target (R7)."""

    restore_id: RestoreId
    cache: CacheName


class VerificationWork(Struct, frozen=True):
    """Prove a stored backup; one that the policy wants gives way to backups."""

    backup_id: BackupId
    cache: CacheName
    by_policy: bool = False


class ExportWork(Struct, frozen=True):
    """Write a backup's plain RDB files to a place of the user's own."""

    export_id: ExportId
    backup_id: BackupId
    cache: CacheName


class ComparisonWork(Struct, frozen=True):
    """Compare a backup with another one, or with a cache."""

    comparison_id: ComparisonId
    cache: CacheName


Work = (
    BackupWork
    | SweepWork
    | DeletionWork
    | CopyWork
    | UncopyWork
    | CopyProofWork
    | RestoreWork
    | UndoWork
    | VerificationWork
    | ExportWork
    | ComparisonWork
)


def outstanding(state: State) -> Iterator[Work]:
    """All work that has not ended, whether or not it may start now; oldest request first."""
    for backup_id, cache in sorted(state.open_backups.items()):
        backup = catalog.get(state.catalog, cache, backup_id)
        if backup is not None:
            yield from _backup_works(state, backup)
    for cache, restore_id in sorted(state.active.items(), key=lambda item: item[1]):
        yield _restore_work(state.restores[restore_id], cache)
    for one in sorted(state.verifications.values(), key=_rank):
        yield VerificationWork(one.backup_id, one.cache, by_policy=one.cause == "policy")
    for export in exports.outstanding(state.exporting):
        yield ExportWork(export.export_id, export.backup_id, export.cache)
    for comparison in comparisons.outstanding(state.comparisons):
        yield ComparisonWork(comparison.comparison_id, comparison.cache)


def _rank(one: Verification) -> tuple[bool, datetime, BackupId]:
    """A person who waits comes first."""
    return (one.cause == "policy", one.requested_at, one.backup_id)


def needs_work(backup: Backup) -> bool:
    """Whether anything is to be done for a backup in its own vault, beside what is stuck."""
    unfinished = backup.unswept or backup.phase in ("waiting", "running", "deleting")
    return unfinished and not backup.cleared


def _backup_works(state: State, backup: Backup) -> Iterator[Work]:
    """What there is to do for a backup itself, and then for its copies."""
    if backup.stuck:
        yield SweepWork(backup.backup_id, backup.cache, backup.stuck)
    if needs_work(backup):
        yield _backup_work(backup)
    for copy in backup.copies:
        if copy.check is not None:
            by_policy = copy.check.cause == "policy"
            yield CopyProofWork(backup.backup_id, backup.cache, copy.vault, by_policy)
        elif copy.phase != "complete":
            kind = CopyWork if copy_is_wanted(state, backup, copy) else UncopyWork
            yield kind(backup.backup_id, backup.cache, copy.vault)


def _backup_work(backup: Backup) -> Work:
    if backup.phase == "deleting":
        return DeletionWork(backup.backup_id, backup.cache)
    if backup.unswept and backup.phase != "running":
        return SweepWork(backup.backup_id, backup.cache)
    return BackupWork(backup.backup_id, backup.cache, safety=backup.kind == "safety")


def copy_is_wanted(state: State, backup: Backup, copy: Copy) -> bool:
    """Whether a copy that is not complete is still to be made.

    One that a cache's `copy_to` has asked for goes when that names another vault, or none; not
    one that was made before, and is only to be mended.
    """
    if copy.phase == "deleting" or copy.mending:
        return copy.phase != "deleting"
    cache = state.caches.get(backup.cache)
    return copy.wanted_by == "command" or cache is None or cache.settings.copy_to == copy.vault


def _restore_work(restore: Restore, cache: CacheName) -> Work:
    if restore.phase == "undoing":
        return UndoWork(restore.restore_id, cache)
    return RestoreWork(restore.restore_id, cache)


def ready(state: State, work: Work, now: datetime) -> bool:
    """Whether the rules allow this work to start now; what else runs is admission's question."""
    match work:
        case BackupWork():
            backup = state.catalog[work.cache][work.backup_id]
            return waits_for(state, backup, now) is None
        case DeletionWork():
            stuck = state.catalog[work.cache][work.backup_id].stuck
            is_free = work.backup_id not in state.held and not stuck
            return is_free and not state.recovery.ahead
        case RestoreWork():
            return not any(
                backup.phase == "running" and backup.kind != "safety"
                for backup in state.catalog.get(work.cache, {}).values()
            )
        case CopyWork():
            copy = in_vault(state.catalog[work.cache][work.backup_id].copies, work.vault)
            return copy is not None and copy_may_start(copy, now) and not in_use(state, work, copy)
        case UncopyWork():
            going = state.catalog[work.cache][work.backup_id].phase == "deleting"
            is_free = not going or work.backup_id not in state.held
            return is_free and not state.recovery.ahead
        case VerificationWork():
            return proving_waits_for(state, state.verifications[work.backup_id], now) is None
        case CopyProofWork():
            check = checked_in(state, work.cache, work.backup_id, work.vault)
            return check is not None and proving_waits_for(state, check, now) is None
        case SweepWork():
            begun = state.catalog[work.cache][work.backup_id].attempt_started_at
            return may_be_swept(state.recovery, begun)
        case UndoWork() | ExportWork() | ComparisonWork():
            return True


def copy_may_start(copy: Copy, now: datetime) -> bool:
    """Whether a copy is to be tried now."""
    due = copy.not_before is None or copy.not_before <= now
    return copy.phase in ("waiting", "failed") and copy.check is None and due


def in_use(state: State, work: CopyWork, copy: Copy) -> bool:
    """Whether somebody may be reading the copy that is to be made anew: its backup is held."""
    return copy.mending and work.backup_id in state.held


def checked_in(
    state: State, cache: CacheName, backup_id: BackupId, vault: VaultName
) -> Verification | None:
    """The verification of the copy of a backup in a vault that has not ended."""
    backup = catalog.get(state.catalog, cache, backup_id)
    copy = in_vault(backup.copies, vault) if backup else None
    return copy.check if copy else None


def proving_waits_for(state: State, wanted: Verification, now: datetime) -> str | None:
    """Why a verification may not start now, in words; None when it may.

    One that the policy wants leaves its cache alone while that is backed up or restored.
    """
    if wanted.retry_at is not None and wanted.retry_at > now:
        return f"another try is due at {wanted.retry_at:%Y-%m-%d %H:%M:%SZ}"
    if wanted.cause == "command":
        return None
    if wanted.cache in state.active:
        return "the restore into its cache has to end first"
    for other in state.catalog.get(wanted.cache, {}).values():
        if other.phase == "running":
            return f"backup {other.name} of its cache has to end first"
    return None


def waits_for(
    state: State, backup: Backup, now: datetime, leaving: frozenset[BackupId] = frozenset()
) -> str | None:
    """Why a backup may not start now, in words; None when it may (A7, R8).

    The backup need not be in the state yet; those that are `leaving` are in nobody's way.
    """
    cache = state.caches.get(backup.cache)
    if cache is None:
        return "its cache has been removed"
    if cache.suspended and backup.kind != "safety":
        return f"its cache is suspended: {cache.suspended}"
    if backup.start_before is not None and backup.start_before <= now:
        return f"{time_to_start(backup)} at {backup.start_before:%Y-%m-%d %H:%M:%SZ}"
    if backup.occurrence is not None and backup.occurrence.opens_at > now:
        return f"its window opens at {backup.occurrence.opens_at:%Y-%m-%d %H:%M:%SZ}"
    if backup.not_before is not None and backup.not_before > now:
        return f"a retry is due at {backup.not_before:%Y-%m-%d %H:%M:%SZ}"
    restore_id = state.active.get(backup.cache)
    if restore_id is not None and restore_id != backup.restore_id:
        return f"restore {restore_id} into this cache has to end first"
    return _one_at_a_time(state, backup, now, leaving)


def time_to_start(backup: Backup) -> str:
    """What it means that an auto backup's time to start is over: its window's end, or its hour."""
    occurrence = backup.occurrence
    if occurrence is not None and occurrence.closes_at == backup.start_before:
        return "its window closed"
    return "the hour of a backup made by command was over"


def _one_at_a_time(
    state: State, backup: Backup, now: datetime, leaving: frozenset[BackupId]
) -> str | None:
    """A7: one in progress; a new auto backup also waits for one that is to be tried again.

    Not for one whose own window has not opened, as after the clock was set back.
    """
    for other in state.catalog.get(backup.cache, {}).values():
        if other.backup_id == backup.backup_id or other.backup_id in leaving:
            continue
        if other.phase == "running":
            return f"backup {other.name} of this cache has to end first"
        is_first = backup.kind == "auto" and not backup.attempts
        if is_first and _to_be_tried_again(other, now):
            return f"backup {other.name} of this cache is to be tried again first"
    return None


def _to_be_tried_again(backup: Backup, now: datetime) -> bool:
    is_open = backup.occurrence is None or backup.occurrence.opens_at <= now
    return backup.kind == "auto" and backup.phase == "waiting" and backup.attempts > 0 and is_open


def next_instant(state: State, now: datetime) -> datetime | None:
    """The next instant at which waiting work becomes ready by itself; what is past is not."""
    instants = (
        at
        for backup_id, cache in state.open_backups.items()
        if (backup := catalog.get(state.catalog, cache, backup_id)) is not None
        for at in _instants(backup)
        if at is not None and at > now
    )
    tries = (one.retry_at for one in state.verifications.values())
    coming = (at for at in tries if at is not None and at > now)
    return min((*instants, *coming), default=None)


def _instants(backup: Backup) -> Iterator[datetime | None]:
    if backup.phase == "waiting":
        yield backup.not_before
        yield backup.occurrence.opens_at if backup.occurrence else None
    for copy in backup.copies:
        yield copy.not_before
        yield copy.check.retry_at if copy.check else None
