"""Who watches, who delivers and who beats: on virtual time, with the real ledger and rules."""

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta

import anyio
from structlog.testing import capture_logs

from daemon.actors.alarms import Alarms, Beating, Outgoing, Surroundings
from daemon.actors.alarms.emergency import LOOK_SECONDS
from daemon.commands import SetNotifications, TestNotifications
from daemon.errors import Transient
from daemon.ledger import Ledger
from events import codec
from events.alarms import (
    AlarmCleared,
    AlarmRaised,
    Channel,
    ChannelName,
    Manner,
    NotificationFailed,
)
from events.facts import Failure, Position, VaultFault, VaultName
from events.memory import InMemoryLog
from events.types import Event, VaultExamined
from projections.checks import Level, Line
from tests.simulation.virtual import START, CountedIds, VirtualClock, pass_time, virtually
from tests.support.given import ANNA, At
from tests.support.logs import SlowLog, full_disk
from tests.support.samples import add_cache
from tests.support.stocked import stock

OPS, OTHER = ChannelName("ops"), ChannelName("other")
MANNER = Manner(host="far", group_wait=10, weekly="")
BROKEN = VaultFault("write", Failure("vault-denied", "The vault refuses.", "Give us the right."))


class Far:
    """Takes messages and beats, or fails, or crashes, as it is told."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Outgoing]] = []
        self.beats: list[bool] = []
        self.broken = False
        self.mad = False

    async def send(self, channel: ChannelName, outgoing: Outgoing) -> str:
        """See `Messenger.send`."""
        await pass_time(0.1)
        if self.mad:
            raise KeyError(channel)
        if self.broken:
            raise Transient("notify-refused", "The server refuses.", "Is it up?")
        self.sent.append((channel, outgoing))
        return "far"

    async def beat(self, *, well: bool) -> None:
        """See `Pulse.beat`."""
        if self.broken:
            raise Transient("heartbeat-refused", "The server answered with 404.", "Check it.")
        self.beats.append(well)


class House:
    """A ledger and alarms at work."""

    def __init__(self, log: SlowLog, far: Far) -> None:
        clock = VirtualClock(START - timedelta(seconds=anyio.current_time()))
        self.log, self.far, self.clock = log, far, clock
        self.ledger = Ledger(log, clock, CountedIds())
        self.measured: tuple[Line, ...] = ()
        vaults = {VaultName("main"): "file:///b"}
        outside = Surroundings(far, vaults, measured=self._measure)
        self.alarms = Alarms(self.ledger, clock, CountedIds(7), outside)
        self.alive = True

    async def _measure(self) -> tuple[Line, ...]:
        return self.measured

    async def told(self, kind: type[Event]) -> list[Event]:
        """All events of a kind in the log."""
        async with aclosing(self.ledger.records(Position(0))) as records:
            found = [codec.decode(record.data) async for record in records]
        return [event for event in found if isinstance(event, kind)]


@asynccontextmanager
async def house(*before: Event | At, channels: int = 1) -> AsyncGenerator[House, None]:
    """Alarms at work on a log that begins so, with one channel, or two, or none."""
    inner = InMemoryLog()
    await stock(inner, *before)
    made = House(SlowLog(inner, seconds=0.1), Far())
    await made.ledger.load()
    names = (OPS, OTHER)[:channels]
    told = SetNotifications(MANNER, tuple(Channel(name) for name in names))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.ledger.run)
        await made.ledger.execute(told, ANNA)
        tasks.start_soon(made.alarms.run, lambda: made.alive)
        yield made
        tasks.cancel_scope.cancel()


def at_home(story: Callable[[House], Awaitable[None]], *before: Event, channels: int = 1) -> None:
    """Play a story in a house on virtual time."""

    async def main() -> None:
        with capture_logs():
            async with house(*before, channels=channels) as made:
                await story(made)

    virtually(main)


def test_what_check_says_is_raised_and_cleared() -> None:
    """A verdict that is not ok becomes an alarm, and its end the end of it; each is told."""

    async def story(house: House) -> None:
        await house.ledger.execute(add_cache("orders"), ANNA)
        await pass_time(60)
        assert ["WARNING [far]: orders: nothing is backed up by itself"] == [
            outgoing.title for _, outgoing in house.far.sent
        ]
        assert 1 == len(await house.told(AlarmRaised))
        assert [] == await house.told(AlarmCleared)

    at_home(story)


def test_a_vault_at_fault_is_an_alarm_of_no_cache() -> None:
    """A vault's fault is told once, with what to do, however often it is looked at."""

    async def story(house: House) -> None:
        await pass_time(2 * 3600)
        ((channel, outgoing),) = house.far.sent
        assert OPS == channel
        assert "Valkeep itself: a vault is at fault" in outgoing.text
        assert "What to do: Give us the right" in outgoing.text

    at_home(story, VaultExamined(VaultName("main"), "file:///b", (BROKEN,)))


def test_what_was_measured_is_an_alarm_when_it_lasts() -> None:
    """A vault that blinks is no news; one that stays away is, and what is critical is at once."""
    silent = Line("warning", "vault", "vault main cannot be reached", "Try it.", part="main/now")
    full = Line("critical", "disk", "the disk has 3 MiB left", "Make room there.")

    async def story(house: House) -> None:
        for _ in range(5):
            house.measured = (silent,)
            await pass_time(70)
            house.measured = ()
            await pass_time(70)
        assert [] == await house.told(AlarmRaised)
        house.measured = (full,)
        await pass_time(80)
        assert 1 == len(await house.told(AlarmRaised))
        house.measured = (silent,)
        await pass_time(300)
        assert 2 == len(await house.told(AlarmRaised))
        assert 1 == len(await house.told(AlarmCleared))

    at_home(story)


def test_without_channels_nobody_looks() -> None:
    """An installation that tells nobody spends nothing on alarms, and records none."""

    async def story(house: House) -> None:
        await house.ledger.execute(add_cache("orders"), ANNA)
        before = len(house.log.batches)
        await pass_time(3600)
        assert before == len(house.log.batches)
        assert [] == await house.told(AlarmRaised)

    at_home(story, channels=0)


def test_a_bug_in_a_delivery_is_a_failure_of_it() -> None:
    """What nobody foresaw is recorded as a failed try, and the next try is made."""

    async def story(house: House) -> None:
        house.far.mad = True
        await house.ledger.execute(add_cache("orders"), ANNA)
        await pass_time(30)
        failed = await house.told(NotificationFailed)
        assert failed
        assert {"bug"} == {e.failure.code for e in failed if isinstance(e, NotificationFailed)}
        house.far.mad = False
        await pass_time(600)
        assert 1 == len(house.far.sent)

    at_home(story)


def test_a_test_overtakes_what_waits() -> None:
    """A test is tried at once, and when it arrives, what waited for its next try follows."""

    async def story(house: House) -> None:
        house.far.broken = True
        await house.ledger.execute(add_cache("orders"), ANNA)
        await pass_time(300)
        house.far.broken = False
        await house.ledger.execute(TestNotifications(), ANNA)
        await pass_time(1)
        assert [
            "Test from Valkeep [far]",
            "WARNING [far]: orders: nothing is backed up by itself",
        ] == [outgoing.title for _, outgoing in house.far.sent]

    at_home(story)


def test_a_log_that_cannot_be_written_is_told_without_it() -> None:
    """The one alarm that the log cannot hold goes out directly, once to each channel."""

    async def story(house: House) -> None:
        house.log.failures = [full_disk() for _ in range(200)]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.ledger.report, TestNotifications(OPS))
            await pass_time(20 * 60)
            assert Counter({OPS: 1, OTHER: 1}) == Counter(name for name, _ in house.far.sent)
            assert "the disk is full" in house.far.sent[0][1].text
            house.log.failures = []
            await pass_time(5 * LOOK_SECONDS)
        titles = [outgoing.title for _, outgoing in house.far.sent]
        assert 2 == titles.count("RECOVERED [far]: Valkeep: its log can be written again")

    at_home(story, channels=2)


def test_a_heart_beats_while_all_is_well() -> None:
    """Beats go out while the verdict is ok and the worker lives, and stop when either is not."""

    async def story(house: House) -> None:
        house.alarms.heart.replace(Beating(house.far, 60.0))
        await pass_time(600)
        assert 9 <= len(house.far.beats) <= 11
        house.alive = False
        await pass_time(600)
        assert len(house.far.beats) <= 11
        house.alive = True
        await house.ledger.execute(add_cache("orders"), ANNA)
        await pass_time(60)
        count = len(house.far.beats)
        await pass_time(600)
        assert count == len(house.far.beats)

    at_home(story, channels=0)


def test_a_heart_says_that_it_is_ill_where_that_is_wanted() -> None:
    """A switch that understands it is told at once; warnings may count as well."""

    async def beats(house: House, *, well: Level) -> set[bool]:
        house.far.beats.clear()
        beating = Beating(house.far, 60.0, well=well, tells_ill=True)
        house.alarms.heart.replace(beating)
        await pass_time(300)
        return set(house.far.beats)

    async def story(house: House) -> None:
        await house.ledger.execute(add_cache("orders"), ANNA)
        await pass_time(60)
        assert {False} == await beats(house, well="ok")
        assert {True} == await beats(house, well="warning")

    at_home(story)


def test_beats_that_do_not_arrive_are_told_once() -> None:
    """A heartbeat that fails is an alarm like any other, and its end too; beats grow no log."""

    async def story(house: House) -> None:
        house.alarms.heart.replace(Beating(house.far, 60.0))
        await pass_time(3600)
        assert [] == house.far.sent
        assert len(house.log.batches) <= 2
        house.far.broken = True
        await pass_time(1800)
        house.far.broken = False
        await pass_time(7200)
        titles = [outgoing.title for _, outgoing in house.far.sent]
        assert "WARNING [far]: Valkeep: heartbeats do not arrive" in titles
        assert "RECOVERED [far]: Valkeep: heartbeats do not arrive" in titles[-1]
        assert 2 == len(titles)

    at_home(story)
