"""Deciding on copies: which backups get one, when one is tried again, and when it is gone."""

from datetime import timedelta

from msgspec.structs import replace

from daemon.commands import (
    CopyReport,
    ReportCopied,
    ReportCopyFailed,
    ReportCopyGone,
    RequestCopy,
    StartCopy,
)
from daemon.decide.copy_proofs import is_of_original, original_doubted
from daemon.decide.decision import Context, Decision, backup_by_id, known_backup, superseded
from daemon.errors import BadRequest, Rejected
from events.copies import (
    BackupCleared,
    CopyCompleted,
    CopyDeleted,
    CopyFailed,
    CopyRequested,
    CopyStarted,
)
from events.copy_proofs import CopyMendingRequested
from events.facts import Failure, VaultName
from events.types import BackupDeleted, Event
from projections.catalog import Backup
from projections.copies import Copy, in_vault
from projections.state import State
from projections.work import CopyWork, copy_is_wanted, copy_may_start, in_use

PATIENCE = timedelta(days=1)
"""For so long a copy is tried with a growing delay, up to an hour; after that once a day."""
DAILY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def decide(state: State, command: RequestCopy | CopyReport, context: Context) -> Decision:
    """The events of one command or report about a copy."""
    if isinstance(command, RequestCopy):
        return Decision((_requested(state, command),))
    backup = backup_by_id(state, command.backup_id)
    copy = in_vault(backup.copies, command.vault)
    if copy is None:
        raise superseded(f"The copy of {backup.backup_id} in {command.vault}")
    if isinstance(command, StartCopy):
        return Decision((_started(state, backup, copy, context),))
    if isinstance(command, ReportCopyGone):
        return Decision(_gone(state, backup, copy))
    if copy.phase != "running":
        raise superseded(f"The copy of {backup.backup_id} in {command.vault}")
    match command:
        case ReportCopied(stored_bytes=stored_bytes):
            return Decision(
                (CopyCompleted(backup.cache, backup.backup_id, copy.vault, stored_bytes),)
            )
        case ReportCopyFailed(failure=failure):
            doubted = original_doubted(state, backup, context) if is_of_original(failure) else ()
            return Decision((failed(backup, copy, failure, context), *doubted))


def copy_of_new(state: State, backup: Backup) -> tuple[Event, ...]:
    """The copy that a backup gets as soon as it is complete: where its cache's `copy_to` says.

    Not of a safety backup: that serves to undo a restore within days (R4), and `backup copy`
    can be said of it.
    """
    cache = state.caches.get(backup.cache)
    vault = cache.settings.copy_to if cache else None
    if vault is None or vault == backup.vault or backup.kind == "safety":
        return ()
    return (CopyRequested(backup.cache, backup.backup_id, vault, "copy_to"),)


def _requested(state: State, command: RequestCopy) -> CopyRequested | CopyMendingRequested:
    backup = known_backup(state, command.backup)
    what = f"Backup {backup.cache}/{backup.name}"
    if backup.phase != "complete":
        raise Rejected(
            "backup-unfinished",
            f"{what} is still being made.",
            f"Wait for its end: `valkeep backup show {backup.backup_id}`.",
        )
    cache = state.caches.get(backup.cache)
    to = command.to or (cache.settings.copy_to if cache else None)
    if to is None:
        raise BadRequest(
            "copy-to",
            f"The cache {backup.cache!r} has no second vault, and none is named.",
            "Say which: `valkeep backup copy BACKUP --to VAULT`.",
        )
    if to == backup.vault:
        raise Rejected(
            "copy-to", f"{what} itself is in {to!r}.", "Name another vault than the backup's own."
        )
    copy = in_vault(backup.copies, VaultName(to))
    if copy is not None and copy.proof.refuted is not None and copy.phase in ("complete", "failed"):
        return CopyMendingRequested(backup.cache, backup.backup_id, copy.vault)
    if copy is not None:
        raise Rejected(
            "copy-exists",
            f"{what} has a copy in {to!r} already ({copy.phase}).",
            f"See `valkeep backup show {backup.backup_id}`.",
        )
    return CopyRequested(backup.cache, backup.backup_id, VaultName(to), "command")


def _started(state: State, backup: Backup, copy: Copy, context: Context) -> CopyStarted:
    wanted = backup.phase == "complete" and copy_is_wanted(state, backup, copy)
    work = CopyWork(backup.backup_id, backup.cache, copy.vault)
    if not wanted or not copy_may_start(copy, context.now) or in_use(state, work, copy):
        raise Rejected(
            "not-now",
            f"The copy of {backup.backup_id} in {copy.vault} cannot start.",
            "It starts by itself, if it is still wanted.",
        )
    return CopyStarted(backup.cache, backup.backup_id, copy.vault, copy.attempts + 1)


def interrupted(backup: Backup, why: Failure, context: Context) -> tuple[CopyFailed, ...]:
    """The copies of a backup that the daemon's end has cut off begin again, a minute later."""
    return tuple(
        replace(failed(backup, copy, why, context), retry_at=context.now + MINUTE)
        for copy in backup.copies
        if copy.phase == "running"
    )


def failed(backup: Backup, copy: Copy, failure: Failure, context: Context) -> CopyFailed:
    """One try has failed; the next is a minute later, then two … an hour, and then once a day.

    A failure that somebody has to mend is tried once a day from the first time on.
    """
    if failure.permanent or context.now - copy.requested_at >= PATIENCE:
        delay = DAILY
    else:
        delay = min(timedelta(hours=1), MINUTE * 2 ** min(10, copy.attempts - 1))
    return CopyFailed(
        cache=backup.cache,
        backup_id=backup.backup_id,
        vault=copy.vault,
        attempt=copy.attempts,
        failure=failure,
        retry_at=context.now + delay,
    )


def _gone(state: State, backup: Backup, copy: Copy) -> tuple[Event, ...]:
    """A copy is gone; if the rest of a backup that is to go was gone before, all of it is."""
    if copy.phase == "complete" or copy_is_wanted(state, backup, copy):
        raise superseded(f"The removal of the copy of {backup.backup_id} in {copy.vault}")
    gone = CopyDeleted(backup.cache, backup.backup_id, copy.vault)
    if backup.cleared and len(backup.copies) == 1:
        return (gone, BackupDeleted(cache=backup.cache, backup_id=backup.backup_id))
    return (gone,)


def cleared(backup: Backup) -> Event:
    """A backup's own vault has confirmed its deletion: it is gone when its copies are."""
    if backup.copies:
        return BackupCleared(backup.cache, backup.backup_id, backup.vault)
    return BackupDeleted(cache=backup.cache, backup_id=backup.backup_id)
