"""The watch: judges what stands, as `check` does, and tells the ledger what has changed.

Looks at caches that records were about, and at all of them once in a while, because some things
come to be by time alone. What the last look found is kept in memory; a restart looks anew.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

import anyio
import anyio.lowlevel
from msgspec import Struct

from daemon.actors.alarms.seams import Surroundings
from daemon.commands import Found, ReportAlarms
from daemon.ledger import DAEMON, Ledger
from daemon.ports import Clock
from events.alarms import AlarmKey, ChannelName
from events.facts import CacheName, Failure
from projections import alarm_checks, checks
from projections.alarms import Alarm
from projections.checks import LEVELS, Level, Line
from projections.state import State
from projections.verdicts import elsewhere

SWEEP_SECONDS = 1800.0
"""Between looks at all caches: what only time brings about is days and hours old anyway."""
MANY = 64
"""When so many caches have changed, all are looked at."""
AT_ONCE = 32
HEARTBEAT = "heartbeat"
STEADY_SECONDS = 90.0
"""What is only measured, as a vault that does not answer, has to last so long: it may blink."""
AT_A_TIME = 200
"""Changes that are reported in one command, so that no commit is large."""

Lines = Callable[[], Iterable[Line]]


class Verdict(Struct, frozen=True):
    """What one look found; `whole` says that nothing else stands."""

    found: dict[CacheName | None, tuple[Line, ...]]
    whole: bool


class Watch:
    """Keeps the log's alarms as the judgement is."""

    def __init__(self, ledger: Ledger, clock: Clock, outside: Surroundings, own: Lines) -> None:
        """`own` are lines that are known to this process alone: how heartbeats fare."""
        self._ledger = ledger
        self._clock = clock
        self._outside = outside
        self._own = own
        self._known: dict[CacheName | None, dict[AlarmKey, Found]] = {}
        self._levels: dict[CacheName | None, Level] = {}
        self._swept_at: float | None = None
        self._seen: State | None = None
        self._measured: dict[AlarmKey, float] = {}

    @property
    def level(self) -> Level | None:
        """How the whole stood at the last look; None before the first one."""
        return max(self._levels.values(), key=LEVELS.index, default=None)

    def words(self) -> dict[AlarmKey, tuple[str, str]]:
        """How what stands was worded at the last look."""
        return {
            key: (found.message, found.hint)
            for of_one in self._known.values()
            for key, found in of_one.items()
        }

    async def look(self) -> None:
        """Judge what may have changed, and report it; raises `Unavailable`."""
        verdict = await self._judged()
        gone = set(self._recorded()) if verdict.whole else set()
        if verdict.whole:
            self._known, self._levels = {}, {}
        for scope, lines in verdict.found.items():
            gone |= set(self._known.get(scope, ()))
            self._known[scope] = {found.alarm: found for found in map(_found, _bad(lines))}
            # A heart that waited for its own beats to arrive would never beat again.
            self._levels[scope] = checks.worst(o for o in lines if o.rule != HEARTBEAT)
        now = {key for of_one in self._known.values() for key in of_one}
        await self._report([key for key in sorted(gone) if key not in now])

    async def _report(self, gone: list[AlarmKey]) -> None:
        found = [one for of_one in self._known.values() for one in of_one.values()]
        alarms = self._ledger.state.alarms.alarms
        fresh = [one for one in found if _is_news(one, alarms.get(one.alarm))]
        for start in range(0, max(len(fresh), len(gone)), AT_A_TIME):
            part = slice(start, start + AT_A_TIME)
            command = ReportAlarms(tuple(fresh[part]), tuple(gone[part]))
            await self._ledger.execute(command, DAEMON)

    def _recorded(self) -> Iterator[AlarmKey]:
        for key, alarm in self._ledger.state.alarms.alarms.items():
            if alarm.standing:
                yield key

    async def _judged(self) -> Verdict:
        state, now = self._ledger.state, self._clock.now()
        before, self._seen = self._seen, state
        touched = self._ledger.touched(before.position) if before is not None else None
        elapsed = anyio.current_time()
        stale = self._swept_at is None or elapsed - self._swept_at >= SWEEP_SECONDS
        if touched is None or len(touched) > MANY or stale:
            self._swept_at = elapsed
            return Verdict(await self._swept(state, now), whole=True)
        found: dict[CacheName | None, tuple[Line, ...]] = {}
        for number, name in enumerate(sorted(touched)):
            if number % AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()
            there = state.caches.get(name) is not None
            portions = checks.judge(state, now, None, name) if there else iter(((), ()))
            next(portions)
            found[name] = next(portions)
        found[None] = await self._of_installation(state, now)
        return Verdict(found, whole=False)

    async def _swept(self, state: State, now: datetime) -> dict[CacheName | None, tuple[Line, ...]]:
        found: dict[CacheName | None, tuple[Line, ...]] = {}
        for number, portion in enumerate(checks.judge(state, now, None)):
            if number % AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()
            if number:
                found[portion[0].cache] = portion
        found[None] = await self._of_installation(state, now)
        return found

    async def _of_installation(self, state: State, now: datetime) -> tuple[Line, ...]:
        trouble = self._ledger.trouble
        failure = Failure(trouble.code, trouble.message, trouble.hint) if trouble else None
        none = CacheName("")
        others = elsewhere(state, now, self._outside.vaults, self._outside.copies())
        return (
            *next(checks.judge(state, now, failure, none)),
            # What the log has of our own lines is what we said: that would stand for ever.
            *(line for line in others if line.rule != HEARTBEAT),
            *self._own(),
            *self._lasting(await self._outside.measured()),
        )

    def _lasting(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Those that were there for a while already, and what is critical at once."""
        elapsed, known, self._measured = anyio.current_time(), self._measured, {}
        for line in lines:
            key = _found(line).alarm
            since = self._measured[key] = known.get(key, elapsed)
            if line.level == "critical" or elapsed - since >= STEADY_SECONDS:
                yield line


def _is_news(found: Found, known: Alarm | None) -> bool:
    """Whether the log does not have it so."""
    if known is None or not known.standing:
        return True
    return (known.level, known.code) != (found.level, found.code)


def _bad(lines: Iterable[Line]) -> Iterator[Line]:
    """What is worth an alarm; that the log cannot be written is told without the log."""
    for line in lines:
        if line.level != "ok" and line.rule != "daemon":
            yield line


def _found(line: Line) -> Found:
    return Found(
        alarm=AlarmKey("/".join(part for part in (line.rule, line.cache or line.part) if part)),
        kind=alarm_checks.KIND_OF.get(line.rule, "other"),
        level="critical" if line.level == "critical" else "warning",
        message=line.message,
        hint=line.hint,
        code=line.code,
        cache=line.cache,
        channel=ChannelName(line.part) if line.rule == "notify" else None,
    )
