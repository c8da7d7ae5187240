"""Removing things from a vault: what a failed attempt left, and backups that are to go.

Touches only ids that the log's own attempts made (S1). A removal is recorded when the vault
has confirmed it, and is tried again until then.
"""

from contextlib import suppress

from daemon.actors.seams import STUCK, WritableVaults
from daemon.commands import ReportDeleted, ReportStuck, ReportSwept
from daemon.errors import Rejected
from daemon.ledger import Ledger
from daemon.ports import Progress
from daemon.storage.catalog import delete_attempts, delete_backup
from events.facts import Failure
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
        await self._remove(work)
        report = ReportDeleted(work.backup_id) if deleting else _swept(work)
        try:
            await self._ledger.report(report)
        except Rejected:
            return

    async def crashed(self, work: SweepWork | DeletionWork, failure: Failure) -> None:
        """The work is still outstanding; only a sweep that has not returned is recorded.

        A retry of the same backup would wait for it.
        """
        if isinstance(work, DeletionWork) or work.attempts or failure.code != STUCK:
            return
        doing = "sweep what an attempt left"
        with suppress(Rejected):
            await self._ledger.report(ReportStuck(work.backup_id, failure, doing))

    async def _remove(self, work: SweepWork | DeletionWork) -> None:
        cache, backup_id = work.cache, work.backup_id
        backup = self._ledger.state.catalog[cache][backup_id]
        vault = await self._vaults.writable(backup.vault)
        if isinstance(work, SweepWork) and (work.attempts or backup.stuck):
            free = [n for n in range(backup.attempts, 0, -1) if n not in backup.stuck]
            await delete_attempts(vault, cache, backup_id, work.attempts or free)
        else:
            await delete_backup(vault, cache, backup_id, attempts=backup.attempts)


def _swept(work: SweepWork | DeletionWork) -> ReportSwept:
    return ReportSwept(work.backup_id, work.attempts if isinstance(work, SweepWork) else ())
