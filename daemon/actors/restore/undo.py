"""Undoing an interrupted restore (R7): the target's settings go back, its data is left alone.

What was changed is in the log, so it makes no difference whether this run or an earlier one
began the restore. Tried again until the target answers.
"""

from contextlib import AbstractAsyncContextManager

from daemon.commands import ReportUndone
from daemon.errors import Rejected
from daemon.ledger import Ledger
from daemon.ports import Progress
from daemon.valkey.connection import Secrets, Timeouts, login
from daemon.valkey.target import Hold, Target, Undone, open_target
from events.facts import CacheSettings, Failure, RestoreId
from events.types import RestoreStarted
from projections.work import UndoWork


class UndoActor:
    """Puts targets back."""

    def __init__(self, ledger: Ledger, secrets: Secrets, timeouts: Timeouts) -> None:
        self._ledger = ledger
        self._secrets = secrets
        self._timeouts = timeouts

    async def perform(self, work: UndoWork, progress: Progress) -> None:
        """End replication from us and put the settings back; raises while it cannot be done."""
        progress.phase("undoing the restore")
        undone = await self.put_back(work.restore_id)
        if undone is None:
            return
        try:
            report = ReportUndone(work.restore_id, undone.loaded, undone.notes, undone.restarted)
            await self._ledger.report(report)
        except Rejected:
            return

    async def put_back(self, restore_id: RestoreId) -> Undone | None:
        """Undo what a restore has changed, and tell nobody; None where there is nothing to undo.

        May be repeated; raises while it cannot be done.
        """
        state = self._ledger.state
        restore = state.restores[restore_id]
        cache = state.caches.get(restore.target)
        if restore.started is None or restore.keys is not None or cache is None:
            return None
        async with self._target(cache.settings) as target:
            return await target.undo(_hold(restore.started))

    def _target(self, settings: CacheSettings) -> AbstractAsyncContextManager[Target]:
        return open_target(login(settings, self._secrets), self._timeouts)

    async def crashed(self, work: UndoWork, failure: Failure) -> None:
        """Nothing to record: undoing is still outstanding, and the text log has the bug."""


def _hold(started: RestoreStarted) -> Hold:
    return Hold(
        run_id=started.run_id,
        old_settings=started.old_settings,
        changes=started.changes,
        listener=started.listener,
        replication_id=started.replication_id,
    )
