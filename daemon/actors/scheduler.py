"""The scheduler: tells the ledger when a cache's agenda or retention has something due.

Knows when to look, and at which caches: a heap of their next deadlines, and the ledger's word
on which of them have changed. What is due, and what follows, is decided elsewhere.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush

import anyio
import structlog

from daemon.commands import AdvanceSchedule, ExpireBackups
from daemon.errors import Rejected, Unavailable
from daemon.ledger import Ledger
from daemon.ports import Clock
from events.envelope import Who
from events.facts import CacheName
from projections.retention import expired, next_expiry
from projections.schedule import agenda
from projections.state import State

log = structlog.get_logger()

SCHEDULER = Who(kind="scheduler")
RETENTION = Who(kind="retention")
RECHECK_SECONDS = 60.0
"""The wall clock may be set while we sleep: look at it again at least so often."""
AT_ONCE = 64
"""Caches that are decided at a time, so that they share commits of the log."""
REST_SECONDS = 5.0
"""After the log could not be written."""


class Deadlines:
    """The next deadline of each cache; the soonest is found without looking at the others."""

    def __init__(self) -> None:
        self._next: dict[CacheName, datetime] = {}
        self._heap: list[tuple[datetime, CacheName]] = []

    def set(self, cache: CacheName, at: datetime | None) -> None:
        """A cache's deadline from now on; None when it has none."""
        if at is None:
            self._next.pop(cache, None)
        elif self._next.get(cache) != at:
            self._next[cache] = at
            heappush(self._heap, (at, cache))
        if len(self._heap) > 4 * len(self._next) + 64:
            self._heap = [(due_at, name) for name, due_at in self._next.items()]
            heapify(self._heap)

    def take(self, now: datetime) -> list[CacheName]:
        """The caches whose deadline has come; they have none until it is set again."""
        found = []
        while (first := self.first()) is not None and first <= now:
            cache = heappop(self._heap)[1]
            del self._next[cache]
            found.append(cache)
        return found

    def first(self) -> datetime | None:
        """The soonest deadline."""
        while self._heap and self._next.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None


class Scheduler:
    """Keeps every cache's schedule and retention going."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._deadlines = Deadlines()
        self._seen = ledger.state
        self._seen_at = clock.now()

    async def run(self) -> None:
        """Look at every cache once, and from then on at those that changed or are due."""
        self._seen, self._seen_at = self._ledger.state, self._clock.now()
        names: Iterable[CacheName] = sorted(self._seen.caches)
        while True:
            await self._look_at(names)
            names = await self._next_names()

    async def _next_names(self) -> list[CacheName]:
        """Wait until there is something to look at, and say at which caches."""
        while True:
            with anyio.move_on_after(self._patience()):
                await self._ledger.changed(self._seen)
            state, now = self._ledger.state, self._clock.now()
            changed = self._ledger.touched(self._seen.position)
            went_back = now < self._seen_at
            self._seen, self._seen_at = state, now
            if changed is None or went_back:
                return sorted(state.caches)
            due = changed.union(self._deadlines.take(now))
            if due:
                return sorted(due)

    def _patience(self) -> float:
        first = self._deadlines.first()
        if first is None:
            return RECHECK_SECONDS
        return min(RECHECK_SECONDS, max(0.0, (first - self._clock.now()).total_seconds()))

    async def _look_at(self, names: Iterable[CacheName]) -> None:
        waiting = []
        for name in names:
            state, now = self._ledger.state, self._clock.now()
            if agenda(state, name, now).steps or expired(state, name, now):
                waiting.append(name)
            else:
                self._set(state, name, now)
        for first in range(0, len(waiting), AT_ONCE):
            async with anyio.create_task_group() as tasks:
                for name in waiting[first : first + AT_ONCE]:
                    tasks.start_soon(self._decide, name)

    def _set(self, state: State, name: CacheName, now: datetime) -> None:
        instants = (agenda(state, name, now).next_at, next_expiry(state, name, now))
        self._deadlines.set(name, min((at for at in instants if at is not None), default=None))

    async def _decide(self, name: CacheName) -> None:
        """Have it decided; if the log cannot be written it is due again after a rest."""
        try:
            await self._ledger.execute(AdvanceSchedule(name), SCHEDULER)
            await self._ledger.execute(ExpireBackups(name), RETENTION)
        except Rejected as error:
            log.warning("schedule refused", cache=name, error=error.message)
            self._again(name)
        except Unavailable as error:
            log.warning("schedule put off", cache=name, error=error.message, hint=error.hint)
            self._again(name)
        else:
            self._set(self._ledger.state, name, self._clock.now())

    def _again(self, name: CacheName) -> None:
        self._deadlines.set(name, self._clock.now() + timedelta(seconds=REST_SECONDS))
