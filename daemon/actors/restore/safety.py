"""The safety backup of a restore's target: asked for, and waited for to its end (R4)."""

from daemon.actors.holding import bounded_elsewhere
from daemon.commands import RequestSafetyBackup
from daemon.errors import Transient
from daemon.ledger import Ledger
from daemon.ports import Progress
from events.facts import BackupId
from events.types import BackupRequested
from projections import catalog
from projections.catalog import Backup
from projections.restores import Restore

WAITING = "waiting for the safety backup"


async def safety_backup(ledger: Ledger, restore: Restore, progress: Progress) -> Backup:
    """The complete safety backup; raises `Transient("safety-backup")` where there is none."""
    progress.phase(WAITING)
    outcome = await ledger.report(RequestSafetyBackup(restore.restore_id))
    backup_id = next(e.backup_id for e in outcome.events if isinstance(e, BackupRequested))
    async with bounded_elsewhere(progress):  # by the safety backup's own deadline
        backup = await _ended(ledger, restore, backup_id)
    if backup is None or backup.phase != "complete":
        why = backup.failure.message if backup and backup.failure else "it was given up"
        raise Transient(
            "safety-backup",
            f"The safety backup of the target failed: {why}",
            "Nothing was overwritten. Mend that, or say --no-safety-backup.",
        )
    return backup


async def _ended(ledger: Ledger, restore: Restore, backup_id: BackupId) -> Backup | None:
    state = ledger.state
    while True:
        backup = catalog.get(state.catalog, restore.target, backup_id)
        if backup is None or backup.phase not in ("waiting", "running"):
            return backup
        state = await ledger.changed(state)
