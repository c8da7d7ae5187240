"""Hooks after a backup or a restore: a lane of their own, in which nothing else waits.

Knows what is due from the log alone. Of one cache one runs at a time, in the order in which
things ended; what is let go while it runs comes to its own end all the same, or to its time-out.
"""

from functools import partial

import anyio
import structlog
from anyio.abc import TaskGroup

from daemon.actors.bulkhead import contained
from daemon.actors.hooks.turn import Turn
from daemon.errors import Rejected
from daemon.hooks import Runner
from daemon.ledger import Ledger
from events.facts import CacheName
from projections.hooks import Due, Key, due

log = structlog.get_logger()

AT_ONCE = 4
"""Hooks at a time, of different caches; what a hook costs is not known to us."""


class AfterHooks:
    """Runs what is due, for ever."""

    def __init__(self, ledger: Ledger, runner: Runner) -> None:
        self._ledger = ledger
        self._turn = Turn(ledger, runner)
        self._running: dict[Key, CacheName] = {}
        self._crashed: set[Key] = set()
        self._wake = anyio.Event()

    async def run(self) -> None:
        """Work for ever; cancelled, it ends what runs."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch)
            while True:
                self._wake = anyio.Event()
                self._start(tasks)
                await self._wake.wait()

    async def _watch(self) -> None:
        state = self._ledger.state
        while True:
            state = await self._ledger.changed(state)
            self._wake.set()

    def _start(self, tasks: TaskGroup) -> None:
        if len(self._running) >= AT_ONCE:
            return
        for one in due(self._ledger.state.hooks):
            cache, key = one.occasion.cache, one.key
            if (
                len(self._running) < AT_ONCE
                and cache not in self._running.values()
                and key not in self._crashed
            ):
                self._running[key] = cache
                tasks.start_soon(self._run, one)

    async def _run(self, one: Due) -> None:
        try:
            bug = await contained(partial(self._take, one), work=f"hook {one.hook}")
            if bug is not None:
                self._crashed.add(one.key)
        finally:
            del self._running[one.key]
            self._wake.set()

    async def _take(self, one: Due) -> None:
        try:
            await self._turn.take(one.hook, one.occasion)
        except Rejected as error:
            log.info("hook not wanted any more", hook=one.hook, error=error.message)
