"""Deciding on the cancelling of backups: which can be, and why the others cannot."""

from daemon.commands import CancelBackup
from daemon.decide import imports
from daemon.decide.decision import Decision, known_backup
from daemon.errors import Rejected
from events.types import BackupCancelled
from projections import catalog
from projections.catalog import Backup
from projections.state import State


def decide(state: State, command: CancelBackup) -> Decision:
    """A backup that waits or runs ends now: no further attempt is made, what it left is swept."""
    backup = _meant(state, command.backup)
    if backup.phase not in ("waiting", "running"):
        raise _over(backup)
    if backup.kind == "safety":
        raise Rejected(
            "safety-backup",
            f"Backup {backup.cache}/{backup.name} is the safety backup of restore "
            f"{backup.restore_id}, which waits for it.",
            "It ends with its restore: `valkeep status` shows how far that is.",
        )
    attempt = backup.attempts if backup.phase == "running" else 0
    end = BackupCancelled(cache=backup.cache, backup_id=backup.backup_id, attempt=attempt)
    return Decision((end, *imports.given_up(backup, imports.CANCELLED)))


def _meant(state: State, reference: str) -> Backup:
    """The backup that is meant; also one that is over, so that it can be said that it is."""
    if reference and not catalog.find(state.catalog, reference):
        over = [
            backup
            for of_cache in state.catalog.values()
            for backup in of_cache.values()
            if backup.backup_id.startswith(reference)
            or f"{backup.cache}/{backup.name}" == reference
        ]
        if over:
            return max(over, key=lambda backup: backup.backup_id)
    return known_backup(state, reference)


def _over(backup: Backup) -> Rejected:
    what = f"Backup {backup.cache}/{backup.name}"
    see = f"`valkeep backup show {backup.backup_id}` shows it."
    match backup.phase:
        case "complete":
            delete = f"Delete it, if it is not wanted: `valkeep backup delete {backup.backup_id}`."
            return Rejected("backup-complete", f"{what} is complete already.", delete)
        case "deleting":
            return Rejected("backup-deleting", f"{what} is being deleted.", see)
        case "cancelled":
            return Rejected("already-cancelled", f"{what} is over: {backup.abandoned}.", see)
        case _:
            return Rejected("backup-over", f"{what} is over: {backup.abandoned}.", see)
