"""Alarms as a whole: look, decide what is to be told, deliver it, and show that we live.

Runs beside the worker, with its own tasks: no message takes a backup's place, and whatever hangs
here holds up nothing else. Without channels and heartbeats it only waits for some.
"""

from collections.abc import Callable

import anyio
import structlog

from daemon.actors.alarms.courier import Courier
from daemon.actors.alarms.emergency import Emergency
from daemon.actors.alarms.heart import Heart
from daemon.actors.alarms.seams import Surroundings
from daemon.actors.alarms.watch import Watch
from daemon.actors.bulkhead import contained
from daemon.commands import AdvanceAlarms
from daemon.errors import ValkeepError
from daemon.ledger import DAEMON, Ledger
from daemon.ports import Clock, Ids
from projections.news import next_due

log = structlog.get_logger()

RECHECK_SECONDS = 60.0
"""The wall clock may be set while we wait, and some things come by time."""
GATHER_SECONDS = 1.0
"""Records come in bunches: they share a look."""
REST_SECONDS = 15.0
"""After a look that came to nothing."""


class Alarms:
    """Everything about alarms that is not decided by the ledger."""

    def __init__(self, ledger: Ledger, clock: Clock, ids: Ids, outside: Surroundings) -> None:
        self._ledger = ledger
        self._clock = clock
        self.heart = Heart(lambda: self.watch.level)
        self.watch = Watch(ledger, clock, outside, self.heart.lines)
        self._courier = Courier(ledger, clock, outside.messenger)
        self._emergency = Emergency(ledger, outside.messenger, clock, ids)

    async def run(self, alive: Callable[[], bool]) -> None:
        """Work for ever; `alive` tells whether the worker still looks for work."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._courier.run)
            tasks.start_soon(self._emergency.run)
            tasks.start_soon(self.heart.run, alive)
            await self._watch()

    async def _watch(self) -> None:
        while True:
            state = self._ledger.state
            if not state.alarms.channels and self.heart.beating is None:
                await self._change(RECHECK_SECONDS)
                continue
            if not await self._looked():
                await anyio.sleep(REST_SECONDS)
                continue
            if self._ledger.state is state:
                await self._change(self._patience())
            await anyio.sleep(GATHER_SECONDS)

    async def _change(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._ledger.changed(self._ledger.state)

    async def _looked(self) -> bool:
        """Look and decide; whether that could be done."""
        try:
            bug = await contained(self._look, work="the watch over alarms")
        except ValkeepError as error:
            log.warning("alarms put off", error=error.message, hint=error.hint)
            return False
        return bug is None

    async def _look(self) -> None:
        await self.watch.look()
        now = self._clock.now()
        at = next_due(self._ledger.state.alarms, now)
        if at is not None and at <= now:
            await self._ledger.execute(AdvanceAlarms(self.watch.words()), DAEMON)

    def _patience(self) -> float:
        now = self._clock.now()
        at = next_due(self._ledger.state.alarms, now)
        wait = RECHECK_SECONDS if at is None else (at - now).total_seconds()
        return min(RECHECK_SECONDS, max(GATHER_SECONDS, wait))
