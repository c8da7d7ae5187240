"""The core: ledger, worker, scheduler and actors wired together; simulations run exactly this.

Knows the order of coming up and going down. It has no clock, socket or engine of its own:
the composition root, or a simulated world, brings them.
"""

from collections.abc import Callable, Coroutine

import anyio
import structlog
from msgspec import Struct

from daemon.actors.alarms import Alarms, Surroundings
from daemon.actors.hooks import AfterHooks
from daemon.actors.rereader import Rereader
from daemon.actors.scheduler import Scheduler
from daemon.actors.stocktaker import StockTaker
from daemon.actors.worker import RECHECK_SECONDS, Actors, Limits, Worker
from daemon.commands import (
    ReconcileCaches,
    ReconcileHooks,
    SetNotifications,
    StartDaemon,
    StopDaemon,
)
from daemon.ledger import Ledger
from daemon.ports import Clock, Ids
from projections.copy_rounds import Periods

log = structlog.get_logger()

Settled = ReconcileCaches | ReconcileHooks | SetNotifications
"""What the configuration says, for the log to know."""

LAST_WORD_SECONDS = 5.0
"""How long the end of the daemon may wait for its own record; it is a courtesy, not a need."""


class Parts(Struct, frozen=True):
    """What a core is made of, beside its ledger; without `periods` no copies are read back.

    `relieve` is begun with the start's record, and ended when the log has taken that.
    """

    actors: Actors
    limits: Limits
    clock: Clock
    ids: Ids
    after: AfterHooks | None = None
    alarms: Surroundings | None = None
    periods: Periods | None = None
    stock: StockTaker | None = None
    relieve: Callable[[], Coroutine[object, None, None]] | None = None


class Core:
    """The daemon without its socket."""

    def __init__(self, ledger: Ledger, parts: Parts) -> None:
        self.ledger = ledger
        self.worker = Worker(ledger, parts.actors, parts.limits, parts.clock, parts.ids)
        self._after = parts.after
        self._stock = parts.stock
        self._relieve = parts.relieve
        self.settled = anyio.Event()
        """Whether the log knows what the configuration says."""
        self.scheduler = Scheduler(ledger, parts.clock, parts.limits.cleared)
        self.alarms: Alarms | None = None
        if parts.alarms is not None:
            self.alarms = Alarms(ledger, parts.clock, parts.ids, parts.alarms)
        self.rereader: Rereader | None = None
        if parts.periods is not None:
            self.rereader = Rereader(ledger, parts.clock, parts.periods)

    async def run(
        self,
        start: StartDaemon,
        *settings: Settled | None,
    ) -> None:
        """Record the start, settle what was cut off, then work for ever.

        `settings` are what the configuration says, for the log to know. A log that cannot be
        written is waited for: until then queries are answered and nothing is begun, but targets
        of restores that were cut off do not wait so long. Run beside `ledger.run`.
        """
        await self._begin(start)
        for setting in settings:
            if setting is not None:
                await self.ledger.report(setting)
        self.settled.set()
        log.info("worker started", position=self.ledger.state.position)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.scheduler.run)
            tasks.start_soon(self.worker.run)
            if self._after is not None:
                tasks.start_soon(self._after.run)
            if self.rereader is not None:
                tasks.start_soon(self.rereader.run)
            if self._stock is not None:
                tasks.start_soon(self._stock.run)
            if self.alarms is not None:
                tasks.start_soon(self.alarms.run, self.is_working)

    async def _begin(self, start: StartDaemon) -> None:
        async with anyio.create_task_group() as tasks:
            if self._relieve is not None:
                tasks.start_soon(self._relieve)
            await self.ledger.report(start)
            tasks.cancel_scope.cancel()

    def is_working(self) -> bool:
        """Whether the worker still looks for work; while the log is waited for it need not."""
        looked_at = self.worker.looked_at
        return looked_at is None or anyio.current_time() - looked_at < 2 * RECHECK_SECONDS

    async def stop(self, reason: str) -> None:
        """Record the end, if the log can still be written in time."""
        with anyio.move_on_after(LAST_WORD_SECONDS):
            await self.ledger.report(StopDaemon(reason))
