"""The scheduler: when it looks, and at what; on virtual time, with the real ledger and rules.

Nobody makes backups here: what is asked for waits, until its window closes.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, asynccontextmanager
from datetime import datetime, timedelta
from typing import TypeVar

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as some
from structlog.testing import capture_logs

from daemon.actors.scheduler import BREATH, PUT_OFF, Deadlines, Scheduler
from daemon.commands import PolicyChange, RecordCache, RemoveCache, SetCache, SetPolicy
from daemon.ledger import TOUCHES, Ledger
from events import codec
from events.facts import CacheName, Policy, Position, Window
from events.log import EventLog
from events.memory import InMemoryLog
from events.types import BackupRequested, BackupSkipped, Event, PolicySet, WindowMissed
from projections.occurrences import instant, occurrences
from projections.schedule import Agenda, agenda
from projections.state import State
from tests.simulation.virtual import START, CountedIds, VirtualClock, pass_time, virtually
from tests.support.given import ANNA, At
from tests.support.logs import SlowLog, full_disk
from tests.support.samples import (
    ORDERS,
    OTHER_SETTINGS,
    USERS,
    registered,
)
from tests.support.stocked import LONG_AGO, stock

HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
TEA = Window(start="16:00", minutes=60)
POLICY = Policy(auto=True, windows=(TEA,))
E = TypeVar("E", bound=Event)


class House:
    """A ledger and a scheduler at work, and the clock that they go by."""

    def __init__(self, log: EventLog, clock: VirtualClock, run: int) -> None:
        self.log = log
        self.clock = clock
        self.ledger = Ledger(log, clock, CountedIds(run))
        self.scheduler = Scheduler(self.ledger, clock)

    async def until(self, at: datetime) -> None:
        """Let time pass until the wall clock shows an instant."""
        await pass_time((at - self.clock.now()).total_seconds())

    async def told(self, kind: type[E]) -> list[tuple[datetime, E]]:
        """All events of a kind in the log, and when they came."""
        async with aclosing(self.ledger.records(Position(0))) as records:
            found = [(r.envelope.at, codec.decode(r.data)) async for r in records]
        return [(at, event) for at, event in found if isinstance(event, kind)]


@asynccontextmanager
async def house(
    log: EventLog, *, clock: VirtualClock | None = None, run: int = 0
) -> AsyncGenerator[House, None]:
    """A daemon's ledger and scheduler on a log, until the end of the block."""
    made = House(log, clock or VirtualClock(START - timedelta(seconds=anyio.current_time())), run)
    await made.ledger.load()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.ledger.run)
        tasks.start_soon(made.scheduler.run)
        yield made
        tasks.cancel_scope.cancel()


async def log_of(*names: CacheName, policy: Policy = POLICY) -> InMemoryLog:
    """A log with these caches, all under one policy, and nothing due yet."""
    log = InMemoryLog()
    await stock(log, *(event for name in names for event in scheduled(name, policy)))
    return log


def scheduled(name: CacheName, policy: Policy = POLICY) -> tuple[Event, ...]:
    """A cache that was added, with a policy."""
    return (registered(name), PolicySet(cache=name, policy=policy))


def many(count: int) -> list[CacheName]:
    """So many names."""
    return [CacheName(f"cache-{number:05}") for number in range(count)]


def spread(name: CacheName, policy: Policy = POLICY) -> datetime:
    """When today's backup of a cache is to start."""
    (today,) = occurrences(policy, since=START, until=START + DAY)
    return instant(name, today, retries=policy.retries)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Counter[CacheName]:
    """How often each cache was looked at, counted from now on."""
    counted: Counter[CacheName] = Counter()

    def counting(state: State, name: CacheName, now: datetime) -> Agenda:
        counted[name] += 1
        return agenda(state, name, now)

    monkeypatch.setattr("daemon.actors.scheduler.agenda", counting)
    return counted


def test_a_backup_is_asked_for_at_its_instant() -> None:
    """A5: each cache's backup is asked for at its own second in the window, and once."""

    async def main() -> None:
        names = many(20)
        async with house(await log_of(*names)) as made:
            await made.until(START + 12 * HOUR)
            asked = await made.told(BackupRequested)
        assert {name: spread(name) for name in names} == {e.cache: at for at, e in asked}
        assert len(asked) == 20

    virtually(main)


def test_a_restart_changes_no_instant() -> None:
    """A5: a scheduler that starts a minute before asks at the same instant, after it not again."""

    async def main() -> None:
        log = await log_of(ORDERS)
        clock = VirtualClock()
        async with house(log, clock=clock) as made:
            await made.until(spread(ORDERS) - MINUTE)
        async with house(log, clock=clock, run=1) as made:
            await made.until(spread(ORDERS) + MINUTE)
        async with house(log, clock=clock, run=2) as made:
            await made.until(START + 4 * HOUR + 30 * MINUTE)
            assert [spread(ORDERS)] == [at for at, _ in await made.told(BackupRequested)]

    virtually(main)


def test_what_nobody_began_is_skipped_when_its_window_closes() -> None:
    """A7: the end of a window is a deadline like its start."""

    async def main() -> None:
        async with house(await log_of(ORDERS)) as made:
            await made.until(START + 6 * HOUR)
            ((at, skipped),) = await made.told(BackupSkipped)
        assert START + 5 * HOUR == at
        assert "window closed" in skipped.reason

    virtually(main)


def test_only_caches_that_changed_or_are_due_are_looked_at(looks: Counter[CacheName]) -> None:
    """An idle scheduler of 300 caches looks at none of them, and at one when one changes."""

    async def main() -> None:
        names = many(300)
        async with house(await log_of(*names)) as made:
            await pass_time(60)
            assert 300 == looks.total()
            looks.clear()
            await pass_time(3 * 3600)
            assert {} == looks
            change = RecordCache(SetCache(names[7], url=OTHER_SETTINGS.url), OTHER_SETTINGS)
            await made.ledger.execute(change, ANNA)
            await pass_time(1)
            assert {names[7]: 1} == looks

    virtually(main)


def test_a_storm_of_changes_costs_one_look_each(looks: Counter[CacheName]) -> None:
    """A hundred changes of one cache cost at most as many looks, and none at the others."""

    async def main() -> None:
        log = SlowLog(await log_of(*many(100)), seconds=0.01)
        async with house(log) as made:
            await pass_time(1)
            looks.clear()
            for number in range(100):
                change = SetPolicy("cache-00000", PolicyChange(retention_days=1 + number))
                await made.ledger.execute(change, ANNA)
            await pass_time(1)
        assert ["cache-00000"] == list(looks)
        assert looks.total() <= 100

    virtually(main)


def test_after_more_changes_than_are_remembered_all_caches_are_looked_at(
    looks: Counter[CacheName], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a flood of records has washed away from memory is found by looking everywhere."""
    monkeypatch.setattr("daemon.ledger.TOUCHES", 5)

    async def main() -> None:
        async with house(await log_of(*many(10))) as made:
            await pass_time(1)
            looks.clear()
            async with anyio.create_task_group() as tasks:
                for name in many(10):
                    change = SetPolicy(name, PolicyChange(windows=("13:00+15m",)))
                    tasks.start_soon(made.ledger.execute, change, ANNA)
            await made.until(START + HOUR + 15 * MINUTE)
            assert set(many(10)) == {event.cache for _, event in await made.told(BackupRequested)}
        assert set(many(10)) == set(looks)

    assert TOUCHES > 5
    virtually(main)


def test_ten_thousand_caches_do_not_hold_the_loop() -> None:
    """While the scheduler looks at every cache at its start, others get their turns."""

    async def main() -> None:
        log = await log_of(*many(10 * BREATH))
        turns = 0
        async with house(log) as made:
            while len(made.scheduler._deadlines._next) < 10 * BREATH:
                turns += 1
                await anyio.lowlevel.checkpoint()
        assert turns >= 10

    virtually(main)


def test_a_clock_that_was_set_back_serves_no_window_twice() -> None:
    """Fault 21: half an hour set back inside the window: the backup is not asked for again."""

    async def main() -> None:
        async with house(await log_of(ORDERS)) as made:
            await made.until(spread(ORDERS) + MINUTE)
            made.clock.set_by(-30 * MINUTE)
            await made.until(START + 12 * HOUR)
            assert 1 == len(await made.told(BackupRequested))

    virtually(main)


def test_windows_that_a_clock_leapt_over_are_missed_within_a_minute() -> None:
    """Fault 21: six hours forward over a window: it is recorded as missed, at once and once."""

    async def main() -> None:
        async with house(await log_of(ORDERS)) as made:
            await pass_time(600)
            made.clock.set_by(6 * HOUR)
            leapt = made.clock.now()
            await pass_time(3600)
            ((at, missed),) = await made.told(WindowMissed)
        assert at - leapt <= MINUTE
        assert "the clock was set" in missed.reason

    virtually(main)


def test_a_clock_that_was_ahead_leaves_no_deadline_behind() -> None:
    """A scheduler that started a year ahead serves today's window when the clock is put right."""

    async def main() -> None:
        clock = VirtualClock(START + 365 * DAY)
        async with house(await log_of(ORDERS), clock=clock) as made:
            await pass_time(60)
            made.clock.set_by(-365 * DAY)
            await made.until(START + 6 * HOUR)
            asked = [at for at, _ in await made.told(BackupRequested)]
        assert spread(ORDERS) in asked

    virtually(main)


@pytest.mark.parametrize("step", [0.001, 0.5])
def test_a_clock_that_is_slewed_causes_no_looking_around(
    looks: Counter[CacheName], step: float
) -> None:
    """Small corrections backwards are not a clock that was set: nobody is looked at for them."""

    async def main() -> None:
        names = many(50)
        async with house(await log_of(*names)) as made:
            await pass_time(61)
            looks.clear()
            for days in (1, 2):
                change = SetPolicy(names[0], PolicyChange(retention_days=days))
                await made.ledger.execute(change, ANNA)
                await anyio.wait_all_tasks_blocked()
                made.clock.set_by(timedelta(seconds=-step))
            await pass_time(600)
        assert [names[0]] == list(looks)

    virtually(main)


def test_a_look_that_was_mistaken_is_repeated_in_peace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where something looks due and nothing is decided, it is looked at again every few seconds."""
    seen: list[datetime] = []

    def mistaken(state: State, name: CacheName, now: datetime) -> Agenda:
        seen.append(now)
        (miss,) = agenda(state, name, START + 6 * HOUR).steps or (None,)
        return Agenda((miss,)) if miss and len(seen) <= 20 else agenda(state, name, now)

    monkeypatch.setattr("daemon.actors.scheduler.agenda", mistaken)

    async def main() -> None:
        async with house(await log_of(ORDERS)) as made:
            await made.until(START + 5 * HOUR)
            assert [spread(ORDERS)] == [at for at, _ in await made.told(BackupRequested)]

    virtually(main)
    assert seen[18] - seen[0] >= 8 * PUT_OFF


def test_corrections_that_add_up_are_noticed(looks: Counter[CacheName]) -> None:
    """A clock that creeps back for long is looked at as one that was set back."""

    async def main() -> None:
        async with house(await log_of(*many(3))) as made:
            await pass_time(1)
            looks.clear()
            for _ in range(4):
                made.clock.set_by(timedelta(seconds=-60.5))
                await pass_time(60)
        assert set(many(3)) == set(looks)

    virtually(main)


def test_an_unwritable_log_is_asked_now_and_then() -> None:
    """Faults 9, 11: for an hour without a log it is tried every 15 s or so, and told as often."""

    async def main() -> None:
        log = SlowLog(await log_of(*many(200)), seconds=0.01)
        with capture_logs() as lines:
            async with house(log) as made:
                await made.until(START + 4 * HOUR - MINUTE)
                log.failures.extend(full_disk() for _ in range(40))
                before = len(log.batches)
                await made.until(START + 6 * HOUR)
                asked = await made.told(BackupRequested)
        tries = log.batches[before:]
        assert len(tries) < 400
        assert set(many(200)) == {event.cache for _, event in asked}
        told = Counter(line["event"] for line in lines)
        assert 1 <= told["schedule put off"] <= 80
        assert 1 == told["schedule goes on"]

    virtually(main)


def test_no_window_is_lost_to_a_log_that_was_unwritable_all_through_it() -> None:
    """A9: what passed while nothing could be written is recorded when something can."""

    async def main() -> None:
        log = SlowLog(await log_of(ORDERS, USERS), seconds=0.01)
        async with house(log) as made:
            await made.until(START + 4 * HOUR - MINUTE)
            log.failures.extend(full_disk() for _ in range(400))
            await made.until(START + 12 * HOUR)
            log.failures.clear()
            await pass_time(120)
            missed = [event for _, event in await made.told(WindowMissed)]
        assert {ORDERS, USERS} == {event.cache for event in missed}
        assert 2 == len(missed)

    virtually(main)


def test_a_bug_in_one_cache_leaves_the_others_their_backups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A crash over one cache is told with its traceback; it is looked at again in ten minutes."""
    broken = [ORDERS]

    def brittle(state: State, name: CacheName, now: datetime) -> Agenda:
        if name in broken:
            raise ZeroDivisionError(name)
        return agenda(state, name, now)

    monkeypatch.setattr("daemon.actors.scheduler.agenda", brittle)

    async def main() -> None:
        with capture_logs() as lines:
            async with house(await log_of(ORDERS, USERS)) as made:
                await made.until(START + 4 * HOUR)
                broken.clear()
                await made.until(START + 5 * HOUR)
                asked = {event.cache: at for at, event in await made.told(BackupRequested)}
        crashes = [line for line in lines if line["event"] == "work crashed"]
        assert {"the schedule of orders"} == {line["work"] for line in crashes}
        assert 20 <= len(crashes) <= 30
        assert {ORDERS, USERS} == set(asked)
        assert spread(USERS) == asked[USERS]

    virtually(main)


def test_a_bug_in_deciding_leaves_the_others_their_backups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A crash of the rules themselves ends neither the ledger nor the scheduler."""

    def brittle(state: State, name: CacheName, now: datetime) -> Agenda:
        if name == ORDERS:
            raise RecursionError(name)
        return agenda(state, name, now)

    monkeypatch.setattr("daemon.decide.schedule.agenda", brittle)

    async def main() -> None:
        with capture_logs():
            async with house(await log_of(ORDERS, USERS)) as made:
                await made.until(START + 5 * HOUR)
                asked = {event.cache for _, event in await made.told(BackupRequested)}
        assert {USERS} == asked

    virtually(main)


def test_a_removed_cache_has_no_deadline_any_more() -> None:
    """A10: nothing is asked for, skipped or missed for a cache that is gone."""

    async def main() -> None:
        async with house(await log_of(ORDERS)) as made:
            await made.until(START + HOUR)
            await made.ledger.execute(RemoveCache("orders"), ANNA)
            await made.until(START + 48 * HOUR)
            assert [] == await made.told(BackupRequested)
            assert [] == await made.told(WindowMissed)
            assert made.scheduler._deadlines.first() is None

    virtually(main)


def test_a_changed_policy_moves_the_deadline() -> None:
    """A4: a window that is moved nearer is served there, and not at its old place."""

    async def main() -> None:
        policy = Policy(auto=True, windows=(Window(start="13:00", minutes=15),))
        async with house(await log_of(ORDERS)) as made:
            await pass_time(60)
            change = PolicyChange(windows=("13:00+15m",))
            await made.ledger.execute(SetPolicy("orders", change), ANNA)
            await made.until(START + 10 * HOUR)
            assert [spread(ORDERS, policy)] == [at for at, _ in await made.told(BackupRequested)]

    virtually(main)


def test_an_impossible_clock_is_waited_out() -> None:
    """Fault 26: a clock before the log's first record decides nothing; put right, all goes on."""

    async def main() -> None:
        log = InMemoryLog()
        await stock(log, *(At(LONG_AGO, event) for event in scheduled(ORDERS)))
        clock = VirtualClock(datetime(1970, 1, 1, tzinfo=START.tzinfo))
        async with house(log, clock=clock) as made:
            await pass_time(3 * 86_400)
            assert [] == await made.told(BackupRequested)
            clock.set_by(START - clock.now())
            await made.until(START + 6 * HOUR)
            assert [spread(ORDERS)] == [at for at, _ in await made.told(BackupRequested)]

    virtually(main)


def model_steps() -> some.SearchStrategy[list[tuple[int, int | None]]]:
    """Deadlines that are set and taken away, of few caches and at few instants."""
    step = some.tuples(some.integers(0, 6), some.none() | some.integers(0, 20))
    return some.lists(step, max_size=200)


@for_all(model_steps(), some.integers(0, 20))
def test_deadlines_are_as_a_dictionary_would_have_them(
    steps: list[tuple[int, int | None]], now: int
) -> None:
    """Whatever was set before, the soonest deadline and those that have come are the right ones."""
    deadlines, model = Deadlines(), dict[CacheName, datetime]()
    for number, hours in steps:
        name = CacheName(f"cache-{number}")
        at = None if hours is None else START + hours * HOUR
        deadlines.set(name, at)
        model.pop(name, None)
        model |= {name: at} if at else {}
        assert min(model.values(), default=None) == deadlines.first()
    come = sorted(_come(model, START + now * HOUR))

    assert come == sorted(deadlines.take(START + now * HOUR))
    assert [] == deadlines.take(START + now * HOUR)


def _come(model: dict[CacheName, datetime], now: datetime) -> Iterator[CacheName]:
    return (name for name, at in model.items() if at <= now)


def test_deadlines_that_change_for_ever_take_no_room() -> None:
    """A deadline that is moved a million times leaves no million entries behind."""
    deadlines = Deadlines()
    for number in range(10_000):
        deadlines.set(ORDERS, START + number * MINUTE)

    assert len(deadlines._heap) <= 100
