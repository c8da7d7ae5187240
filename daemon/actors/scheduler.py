"""The scheduler: tells the ledger when a cache's agenda or retention has something due.

Knows when to look, and at which caches: a heap of their next deadlines, and the ledger's word
on which of them have changed. What is due, and what follows, is decided elsewhere.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from heapq import heapify, heappop, heappush

import anyio
import anyio.lowlevel
import structlog

from daemon.actors.bulkhead import contained
from daemon.commands import AdvanceSchedule, ExpireBackups
from daemon.errors import Unavailable, ValkeepError
from daemon.ledger import Ledger
from daemon.ports import Clock
from events.envelope import Who
from events.facts import CacheName, VaultName
from projections.recovery import retention_rests
from projections.retention import expired, next_expiry, released
from projections.schedule import agenda
from projections.state import State

log = structlog.get_logger()

SCHEDULER = Who(kind="scheduler")
RETENTION = Who(kind="retention")
RECHECK_SECONDS = 60.0
"""The wall clock may be set while we sleep: look at it again at least so often."""
SLEWED = timedelta(seconds=1)
"""A clock that is put right by less than this has not been set back."""
AT_ONCE = 64
"""Caches that are decided at a time, so that they share commits of the log."""
BREATH = 32
"""Caches that are looked at before others may use the loop: some milliseconds."""
REST_SECONDS = (1.0, 15.0)
"""First and longest rest after the log could not be written."""
PUT_OFF = timedelta(seconds=5)
"""Until a cache is looked at again for which something is still due, or was refused."""
UNCLEAR = timedelta(seconds=5)
"""Until retention is looked at again whose vault has not been compared with the log yet."""
CRASHED = timedelta(minutes=10)
"""Until a cache is looked at again whose agenda our own program failed in."""


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


class Leaps:
    """Watches the wall clock for leaps forward, and holds retention after one.

    Retention trusts the wall clock with people's data: one that shows next year, by a dead
    battery or a slip of the hand, would delete every backup within a second. After a leap of
    more than `LEAP` against the monotonic clock, or of 30 days between two records of the log
    (found at the start), nothing expires for an hour of monotonic time, and the text log says
    why: so long somebody has to put the clock right. A host that slept for days looks the
    same, and loses nothing by waiting.
    """

    LEAP = timedelta(days=1)
    HOLD = timedelta(hours=1)

    def __init__(self, state: State, now: datetime) -> None:
        self._wall, self._elapsed = now, anyio.current_time()
        self._until = self._elapsed
        since = abs(now - state.leapt_at) if state.leapt_at else self.HOLD
        if since < self.HOLD:
            self._hold(self.HOLD - since, "there are 30 days and more between the log's records")

    def left(self, now: datetime) -> timedelta:
        """How long retention is still held; nothing while the clock goes as it should."""
        elapsed = anyio.current_time()
        leap = (now - self._wall) - timedelta(seconds=elapsed - self._elapsed)
        self._wall, self._elapsed = now, elapsed
        if leap > self.LEAP:
            self._hold(self.HOLD, f"the wall clock went forward by {leap}")
        return timedelta(seconds=max(0.0, self._until - elapsed))

    def _hold(self, span: timedelta, reason: str) -> None:
        self._until = self._elapsed + span.total_seconds()
        log.warning(
            "retention held",
            reason=reason,
            clock=f"{self._wall:%Y-%m-%d %H:%M:%SZ}",
            minutes=round(span.total_seconds() / 60),
            hint="If the clock is wrong, set it right before then: what has expired by it goes.",
        )


class Scheduler:
    """Keeps every cache's schedule and retention going."""

    def __init__(
        self, ledger: Ledger, clock: Clock, cleared: Callable[[VaultName], bool] = lambda _: True
    ) -> None:
        """`cleared` tells whether a vault was compared with the log: nothing expires before."""
        self._ledger = ledger
        self._cleared = cleared
        self._clock = clock
        self._deadlines = Deadlines()
        self._seen = ledger.state
        self._seen_at = clock.now()
        self._put_off: list[CacheName] = []
        self._leaps: Leaps | None = None

    async def run(self) -> None:
        """Look at every cache once, and from then on at those that changed or are due."""
        self._seen, self._seen_at = self._ledger.state, self._clock.now()
        self._leaps = Leaps(self._seen, self._seen_at)
        names: Iterable[CacheName] = sorted(self._seen.caches)
        while True:
            await self._decide(await self._due(names))
            names = await self._next_names()

    async def _next_names(self) -> list[CacheName]:
        """Wait until there is something to look at, and say at which caches."""
        while True:
            with anyio.move_on_after(self._patience()):
                await self._ledger.changed(self._seen)
            before, state, now = self._seen, self._ledger.state, self._clock.now()
            self._seen = state
            if now < self._seen_at - SLEWED:
                # What was reckoned by a clock that was ahead says nothing of what is next.
                self._seen_at = now
                return sorted(state.caches)
            self._seen_at = max(now, self._seen_at)
            changed = self._ledger.touched(before.position)
            if changed is None:
                return sorted(state.caches)
            due = changed.union(released(before=before, after=state), self._deadlines.take(now))
            if due:
                return sorted(due)

    def _patience(self) -> float:
        first = self._deadlines.first()
        if first is None:
            return RECHECK_SECONDS
        return min(RECHECK_SECONDS, max(0.0, (first - self._clock.now()).total_seconds()))

    async def _due(self, names: Iterable[CacheName]) -> list[CacheName]:
        """Those of the caches for which something is to be decided now."""
        due: list[CacheName] = []
        for number, name in enumerate(names, 1):
            await self._guarded(name, partial(self._look, name, due.append))
            if number % BREATH == 0:
                await anyio.lowlevel.checkpoint()
        return due

    async def _decide(self, due: list[CacheName]) -> None:
        """Have it decided; while the log cannot be written, nothing else is of any use."""
        rest, longest = REST_SECONDS
        while due:
            now, due = due[:AT_ONCE], due[AT_ONCE:]
            async with anyio.create_task_group() as tasks:
                for name in now:
                    tasks.start_soon(self._guarded, name, partial(self._advance, name))
            if self._put_off:
                due = sorted(self._put_off) + due
                self._put_off.clear()
                await anyio.sleep(rest)
                rest = min(2 * rest, longest)
            elif rest > REST_SECONDS[0]:
                log.info("schedule goes on")
                rest = REST_SECONDS[0]

    async def _guarded(self, name: CacheName, job: Callable[[], Awaitable[None]]) -> None:
        """One cache's bug must not keep the others from their backups."""
        try:
            bug = await contained(job, work=f"the schedule of {name}")
        except Unavailable as error:
            if not self._put_off:
                log.warning("schedule put off", error=error.message, hint=error.hint)
            self._put_off.append(name)
        except ValkeepError as error:
            log.warning("schedule refused", cache=name, error=error.message, hint=error.hint)
            self._deadlines.set(name, self._clock.now() + PUT_OFF)
        else:
            if bug is not None:
                self._deadlines.set(name, self._clock.now() + CRASHED)

    async def _advance(self, name: CacheName) -> None:
        """Have decided what is due for a cache, and look at it again."""
        await self._ledger.execute(AdvanceSchedule(name), SCHEDULER)
        if not self._held(name, self._clock.now()):
            await self._ledger.execute(ExpireBackups(name), RETENTION)
        await self._look(name, self._again)

    async def _look(self, name: CacheName, if_due: Callable[[CacheName], None]) -> None:
        """Tell whether something is due for a cache; if not, note when something may be."""
        state, now = self._ledger.state, self._clock.now()
        found, gone = agenda(state, name, now), expired(state, name, now)
        held = self._held(name, now)
        if found.steps or (gone and not held):
            if_due(name)
            return
        instants = [found.next_at, next_expiry(state, name, now), now + held if gone else None]
        self._deadlines.set(name, min((at for at in instants if at is not None), default=None))

    def _again(self, name: CacheName) -> None:
        """Something came due while the last was stored."""
        self._deadlines.set(name, self._clock.now() + PUT_OFF)

    def _held(self, name: CacheName, now: datetime) -> timedelta:
        """How long a cache's retention has to wait, by the clock and by what the vaults know."""
        state = self._ledger.state
        leapt = self._leaps.left(now) if self._leaps else timedelta(0)
        cache = state.caches.get(name)
        unclear = cache is not None and not self._cleared(cache.settings.vault)
        return max(leapt, retention_rests(state.recovery, now), UNCLEAR * unclear)
