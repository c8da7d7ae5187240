"""Outstanding work: what was asked for and has not ended.

Knows the log and nothing else. It has no clock (callers pass `now`) and cannot tell whether
anybody is doing the work: that is why a restart needs no recovery step.
"""

from collections.abc import Iterator
from datetime import datetime

from msgspec import Struct

from events.facts import BackupId, CacheName, RestoreId
from projections import catalog
from projections.catalog import Backup
from projections.recovery import may_be_swept
from projections.restores import Restore
from projections.state import State


class BackupWork(Struct, frozen=True):
    """Make one attempt at a backup."""

    backup_id: BackupId
    cache: CacheName
    safety: bool = False


class SweepWork(Struct, frozen=True):
    """Remove what a failed attempt left in the vault (S1)."""

    backup_id: BackupId
    cache: CacheName


class DeletionWork(Struct, frozen=True):
    """Remove a backup that is to go."""

    backup_id: BackupId
    cache: CacheName


class RestoreWork(Struct, frozen=True):
    """Carry a restore out."""

    restore_id: RestoreId
    cache: CacheName


class UndoWork(Struct, frozen=True):
    """Undo what an interrupted restore changed on its target (R7)."""

    restore_id: RestoreId
    cache: CacheName


Work = BackupWork | SweepWork | DeletionWork | RestoreWork | UndoWork


def outstanding(state: State) -> Iterator[Work]:
    """All work that has not ended, whether or not it may start now; oldest request first."""
    for backup_id, cache in sorted(state.open_backups.items()):
        backup = catalog.get(state.catalog, cache, backup_id)
        if backup is not None:
            yield _backup_work(backup)
    for cache, restore_id in sorted(state.active.items(), key=lambda item: item[1]):
        yield _restore_work(state.restores[restore_id], cache)


def _backup_work(backup: Backup) -> Work:
    if backup.phase == "deleting":
        return DeletionWork(backup.backup_id, backup.cache)
    if backup.unswept and backup.phase != "running":
        return SweepWork(backup.backup_id, backup.cache)
    return BackupWork(backup.backup_id, backup.cache, safety=backup.kind == "safety")


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
            return work.backup_id not in state.held and not state.recovery.ahead
        case RestoreWork():
            return not any(
                backup.phase == "running" and backup.kind != "safety"
                for backup in state.catalog.get(work.cache, {}).values()
            )
        case SweepWork():
            begun = state.catalog[work.cache][work.backup_id].attempt_started_at
            return may_be_swept(state.recovery, begun)
        case UndoWork():
            return True


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
        and backup.phase == "waiting"
        for at in (backup.not_before, backup.occurrence.opens_at if backup.occurrence else None)
        if at is not None and at > now
    )
    return min(instants, default=None)
