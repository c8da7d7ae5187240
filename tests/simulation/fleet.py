"""A fleet: many caches for days, in a world of a seed, with people, trouble and restarts.

Knows what can happen to a daemon and when; the dice say whether it does. At the end there is no
more trouble, and everything has to come right.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from zoneinfo import ZoneInfo

import anyio
from anyio.abc import TaskGroup

from daemon.actors.worker import Limits
from daemon.frozen import Often
from tests.simulation.dice import dice
from tests.simulation.far import Far
from tests.simulation.hooking import AROUND_BACKUPS
from tests.simulation.loop import unheard
from tests.simulation.people import People
from tests.simulation.setting import Setting
from tests.simulation.storm import Storm
from tests.simulation.virtual import pass_time
from tests.simulation.world import Life, Plan, Script, World

A_DAY = 86_400.0
QUIET_SECONDS = 30 * 3600.0
"""How long there is no more trouble at the end: the longest window, and more."""
AMBUSHES = (
    "append",
    "append",
    "commit",
    "commit",
    "delete",
    "clear",
    "write",
    "create",
    "snapshot",
)
AWAY = (0.2, 3.0, 61.0, 1800.0, 7200.0, 6 * 3600.0)
LONG_AWAY = (A_DAY, 3 * A_DAY, 9 * A_DAY)
STEPS = (-7200.0, -1800.0, -60.0, -1.0, 1.0, 60.0, 1800.0, 7200.0, 2 * A_DAY)
AHEAD = (3 * A_DAY, 10 * A_DAY, 40 * A_DAY)
"""How wrong a clock may be that is put right again, sooner or later."""
OFTEN = Often(records=20, at_end=5)
PAUSES = (10.0, 600.0, 3 * 3600.0, 20 * 3600.0)


class Fleet:
    """One world of a seed, from its first life to its quiet end."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.world = World(Far(born_at=setting.born_at, body_bytes=150))
        self.seen: Counter[str] = self.world.view.seen
        self._dice = dice(setting.seed, "fleet")
        self._storm = Storm(setting, dice(setting.seed, "storm"), self.seen)
        self._people = People(setting, dice(setting.seed, "people"), self.seen)
        self._ends_at = 0.0
        self._ahead = timedelta(0)

    @property
    def days(self) -> float:
        """How old the world has become, in days of its own."""
        return self.world.far.now / A_DAY

    def run(self) -> "Fleet":
        """Live to the end; raises the first `Violation`."""
        while self.world.far.now < self.setting.days * A_DAY:
            self._live()
        self._storm.quiet = True
        caches = sorted(self.world.view.caches.items())
        self._people.mend(name for name, keeping in caches if keeping.here and keeping.suspended)
        self.world.live(self._last, self._plan())
        self._count_turns()
        return self

    def _count_turns(self) -> None:
        """In which zones clocks were changed while backups were made by them."""
        for keeping in self.world.view.caches.values():
            for spell in keeping.spells:
                place = ZoneInfo(spell.policy.timezone)
                until = spell.until or self.world.view.wall
                before, after = (at.astimezone(place).utcoffset() for at in (spell.since, until))
                if before is not None and after is not None and before != after:
                    self.seen["summer begins" if before < after else "summer ends"] += 1

    def outcomes(self) -> Counter[str]:
        """How many events of each kind there are."""
        counts = self.world.view.counts.items()
        return Counter({kind: count.total() for kind, count in counts})

    def _plan(self) -> Plan:
        limits = Limits(backups=self.setting.backups_at_once)
        hooks = AROUND_BACKUPS if self.setting.seed % 8 == 5 else None
        declared, often = self._people.file(), OFTEN if self.setting.seed % 8 == 3 else None
        return Plan(weather=self._storm, limits=limits, declared=declared, hooks=hooks, often=often)

    def _live(self) -> None:
        how, self._ends_at = self._end()
        self._storm.at_call = None
        end = self.world.live(self._script(how), self._plan())
        self.seen[end] += 1
        if end == "killed":
            for kind in self.world.under_way:
                self.seen[f"killed within {kind}"] += 1
        away = self._dice.choice(AWAY)
        if self._dice.random() < self.setting.per_day.get("long away", 0.0):
            away = self._dice.choice(LONG_AWAY)
            self.seen["long away"] += 1
        self.world.far.now += away

    def _end(self) -> tuple[str, float]:
        """When and how the next life ends."""
        now, found = self.world.far.now, ("stop", self.setting.days * A_DAY)
        for how in ("kill", "stop"):
            if rate := self.setting.per_day.get(how):
                at = now + self._dice.expovariate(rate / A_DAY)
                found = min(found, (how, at), key=lambda each: each[1])
        return found

    def _script(self, how: str) -> Script:
        async def script(life: Life) -> None:
            async with anyio.create_task_group() as tasks:
                await self._trouble(life, tasks)
                await anyio.sleep_until(self._ends_at)
                if how == "kill":
                    await self._kill(life)
                tasks.cancel_scope.cancel()
            life.stop()

        return script

    async def _kill(self, life: Life) -> None:
        """Now, or in the middle of the next call of some kind."""

        def die() -> None:
            life.loop.kill_at = life.loop.steps + self._dice.randrange(1, 14)

        if self._dice.random() < 0.3:
            die()
        else:
            self._storm.at_call = (self._dice.choice(AMBUSHES), die)
        await pass_time(A_DAY / 2)

    async def _last(self, life: Life) -> None:
        self._storm.upset = life.disturbed
        self._storm.dark.clear()
        self._put_right(life)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._sweep_up, life)
            await anyio.sleep_until(life.loop.time() + QUIET_SECONDS)
            with anyio.fail_after(A_DAY):
                await self._still(life)
            tasks.cancel_scope.cancel()

    async def _still(self, life: Life) -> None:
        """Wait until all is done, and nothing has followed from the end of it."""
        seen = None
        while seen is not life.ledger.state:
            await life.settled()
            seen = life.ledger.state
            await pass_time(10.0)

    async def _trouble(self, life: Life, tasks: TaskGroup) -> None:
        self._storm.upset = life.disturbed
        self._storm.dark.clear()
        tasks.start_soon(self._sweep_up, life)
        tasks.start_soon(self._people.move_in, life)
        for kind, what in self._happenings(life, tasks):
            if rate := self.setting.per_day.get(kind):
                tasks.start_soon(self._now_and_then, rate, what)

    def _happenings(
        self, life: Life, tasks: TaskGroup
    ) -> Iterable[tuple[str, Callable[[], object]]]:
        yield "clock", lambda: self._set_clock(life)
        yield "pause", lambda: self._pause(life)
        yield "ahead", partial(tasks.start_soon, self._go_ahead, life)
        yield "outage", lambda: tasks.start_soon(self._outage)
        for kind in self._people.habits:
            yield kind, partial(tasks.start_soon, self._people.do, kind, life)

    async def _now_and_then(self, rate: float, what: Callable[[], object]) -> None:
        while True:
            await pass_time(self._dice.expovariate(rate / A_DAY))
            what()

    def _set_clock(self, life: Life) -> None:
        by = self._dice.choice(STEPS)
        self.seen["clock forward" if by > 0 else "clock back"] += 1
        life.set_clock(timedelta(seconds=by))

    async def _go_ahead(self, life: Life) -> None:
        """The clock is days ahead, until somebody notices."""
        if not self._ahead:
            self._ahead = timedelta(seconds=self._dice.choice(AHEAD))
            self.seen["clock ahead"] += 1
            life.view.ahead = True
            life.set_clock(self._ahead)
        await pass_time(self._dice.expovariate(1 / 7200.0))
        self._put_right(life)

    def _put_right(self, life: Life) -> None:
        """It may have been noticed already, or in a life before this one."""
        if self._ahead:
            life.set_clock(-self._ahead)
            life.view.ahead = False
            self._ahead = timedelta(0)

    def _pause(self, life: Life) -> None:
        """The process stands still, the world goes on (SIGSTOP, a paused machine)."""
        self.seen["pause"] += 1
        life.loop.now += self._dice.choice(PAUSES)
        life.disturbed()

    async def _outage(self) -> None:
        whose = self._dice.choice(("vault", "cache"))
        self._storm.dark[whose] += 1
        await pass_time(self._dice.choice((60.0, 900.0, 3 * 3600.0, 8 * 3600.0)))
        self._storm.dark[whose] -= 1

    async def _sweep_up(self, life: Life) -> None:
        """Rubbish is collected at set times, so that collecting is alike in every run."""
        while True:
            await pass_time(6 * 3600.0)
            life.loop.forget_done()
            with unheard():
                gc.collect(1)
