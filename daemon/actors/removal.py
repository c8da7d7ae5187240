"""Removing things from a vault: what a failed attempt left, and backups that are to go.

Touches only ids that the log's own attempts made (S1). A removal is recorded when the vault
has confirmed it, and is tried again until then.
"""

from daemon.actors.seams import WritableVaults
from daemon.commands import ReportDeleted, ReportSwept
from daemon.errors import Rejected
from daemon.ledger import Ledger
from daemon.ports import Progress
from daemon.storage.catalog import delete_backup
from events.facts import BackupId, CacheName, Failure
from projections.work import DeletionWork, SweepWork


class RemovalActor:
    """Sweeps and deletes; both take the manifest away first, then everything else."""

    def __init__(self, ledger: Ledger, vaults: WritableVaults) -> None:
        self._ledger = ledger
        self._vaults = vaults

    async def perform(self, work: SweepWork | DeletionWork, progress: Progress) -> None:
        """Remove one backup's folder from its vault and say so in the log."""
        deleting = isinstance(work, DeletionWork)
        progress.phase("deleting" if deleting else "sweeping leftovers")
        await self._remove(work.cache, work.backup_id)
        report = ReportDeleted(work.backup_id) if deleting else ReportSwept(work.backup_id)
        try:
            await self._ledger.report(report)
        except Rejected:
            return

    async def crashed(self, work: SweepWork | DeletionWork, failure: Failure) -> None:
        """Nothing to record: the work is still outstanding, and the text log has the bug."""

    async def _remove(self, cache: CacheName, backup_id: BackupId) -> None:
        backup = self._ledger.state.catalog[cache][backup_id]
        vault = await self._vaults.writable(backup.vault)
        await delete_backup(vault, cache, backup_id, attempts=backup.attempts)
