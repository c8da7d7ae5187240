"""Retention and a wall clock that leaps: backups are not deleted by a wrong date at once.

On virtual time, with the real ledger, scheduler and rules. Two backups are there; the older
one expires after a week, and the newer one is kept as the newest.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from datetime import datetime, timedelta

import anyio
from structlog.testing import capture_logs

from daemon.actors.scheduler import Scheduler
from daemon.commands import (
    PolicyChange,
    ReportRestoreFailed,
    RequestRestore,
    SetPolicy,
    StartDaemon,
)
from daemon.ledger import Ledger
from events import codec
from events.facts import BackupId, Policy
from events.memory import InMemoryLog
from events.types import PolicySet, RetentionExpired
from tests.simulation.virtual import START, CountedIds, VirtualClock, pass_time, virtually
from tests.support.given import ANNA, DAEMON, At
from tests.support.samples import (
    B1,
    B2,
    HERE,
    ORDERS,
    OUTSIDE,
    STARTED,
    USERS,
    complete,
    registered,
)
from tests.support.stocked import stock

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OLD, NEW = START - 6 * DAY, START - 5 * DAY


class House:
    """A log, and the daemons that live on it one after the other."""

    def __init__(self) -> None:
        self.log = InMemoryLog()
        self.clock = VirtualClock(START - timedelta(seconds=anyio.current_time()))
        self.lives = 0

    @asynccontextmanager
    async def daemon(self) -> AsyncGenerator[Ledger, None]:
        """One life: a ledger and a scheduler, after the daemon's start was recorded."""
        self.lives += 1
        ledger = Ledger(self.log, self.clock, CountedIds(self.lives))
        await ledger.load()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ledger.run)
            await ledger.report(StartDaemon(HERE, "0.1.0"))
            tasks.start_soon(Scheduler(ledger, self.clock).run)
            yield ledger
            tasks.cancel_scope.cancel()

    async def expired(self) -> list[tuple[datetime, BackupId]]:
        """What retention has let go, and when."""
        async with aclosing(self.log.read()) as records:
            found = [(r.envelope.at, codec.decode(r.data)) async for r in records]
        return [(at, e.backup_id) for at, e in found if isinstance(e, RetentionExpired)]


async def house() -> House:
    """A log with a cache that has two scheduled backups, kept for a week."""
    made = House()
    policy = PolicySet(cache=ORDERS, policy=Policy(auto=True, retention_days=7))
    await stock(
        made.log,
        *(At(OLD, event) for event in (STARTED, registered(), policy)),
        *(At(OLD, event) for event in complete(B1, kind="auto")),
        *(At(NEW, event) for event in complete(B2, kind="auto")),
        At(START - 2 * HOUR, registered(USERS)),
    )
    return made


def test_what_expires_in_the_course_of_time_goes_at_its_instant() -> None:
    """A2: a clock that goes as it should deletes a backup to the second when its week is over."""

    async def main() -> None:
        made = await house()
        async with made.daemon():
            await pass_time(3 * 86_400)
        assert [(OLD + 7 * DAY, B1)] == await made.expired()

    virtually(main)


def test_a_leap_forward_deletes_nothing_for_an_hour() -> None:
    """A clock that goes a year forward while we run: what it makes old goes an hour later."""

    async def main() -> None:
        made = await house()
        with capture_logs() as lines:
            async with made.daemon():
                await pass_time(600)
                made.clock.set_by(365 * DAY)
                leapt = made.clock.now()
                await pass_time(7200)
        ((at, backup_id),) = await made.expired()
        assert B1 == backup_id
        assert HOUR <= at - leapt <= HOUR + timedelta(minutes=2)
        (held,) = [line for line in lines if line["event"] == "retention held"]
        assert ("warning", 60) == (held["log_level"], held["minutes"])
        assert "365 days" in held["reason"]

    virtually(main)


def test_a_clock_that_is_put_right_in_time_costs_no_backup() -> None:
    """A date that was mistyped and corrected within the hour deletes nothing at all."""

    async def main() -> None:
        made = await house()
        async with made.daemon():
            await pass_time(600)
            made.clock.set_by(365 * DAY)
            await pass_time(1800)
            made.clock.set_by(-365 * DAY)
            await pass_time(8 * 3600)
            assert [] == await made.expired()

    virtually(main)


def test_a_leap_of_less_than_a_day_is_none() -> None:
    """A clock that is an hour or twenty off is set without further ado."""

    async def main() -> None:
        made = await house()
        with capture_logs() as lines:
            async with made.daemon():
                made.clock.set_by(20 * HOUR)
                await pass_time(6 * 3600)
        ((at, _),) = await made.expired()
        assert at == OLD + 7 * DAY
        assert "retention held" not in {line["event"] for line in lines}

    virtually(main)


def test_a_host_that_was_suspended_for_days_waits_an_hour() -> None:
    """A sleep that the monotonic clock does not count looks like a leap, and does no harm."""

    async def main() -> None:
        made = await house()
        async with made.daemon():
            made.clock.set_by(3 * DAY)
            await pass_time(7200)
        assert [B1] == [backup_id for _, backup_id in await made.expired()]

    virtually(main)


def test_a_start_after_months_deletes_nothing_for_an_hour() -> None:
    """A daemon that finds 31 days since its log's last record gives somebody an hour to look."""

    async def main() -> None:
        made = await house()
        made.clock.set_by(31 * DAY)
        began = made.clock.now()
        async with made.daemon():
            await pass_time(7200)
        ((at, _),) = await made.expired()
        assert HOUR <= at - began <= HOUR + timedelta(minutes=2)

    virtually(main)


def test_starting_it_again_is_no_way_around_the_hour() -> None:
    """A second start after such a leap holds retention for what is left of the hour."""

    async def main() -> None:
        made = await house()
        made.clock.set_by(400 * DAY)
        began = made.clock.now()
        for _ in range(3):
            async with made.daemon():
                await pass_time(900)
            assert [] == await made.expired()
        async with made.daemon():
            await pass_time(7200)
        ((at, _),) = await made.expired()
        assert HOUR <= at - began <= HOUR + timedelta(minutes=2)

    virtually(main)


def test_a_start_after_a_holiday_deletes_at_once() -> None:
    """A daemon that was off for three weeks does what retention asks at its start."""

    async def main() -> None:
        made = await house()
        made.clock.set_by(21 * DAY)
        began = made.clock.now()
        async with made.daemon():
            await pass_time(60)
        assert [(began, B1)] == await made.expired()

    virtually(main)


def test_a_clock_that_was_ahead_once_holds_nothing_later() -> None:
    """A leap in the log that was taken back is none: later starts do not wait for it."""

    async def main() -> None:
        made = await house()
        made.clock.set_by(400 * DAY)
        async with made.daemon():
            await pass_time(60)
        made.clock.set_by(-397 * DAY)
        async with made.daemon():
            await pass_time(60)
            assert [B1] == [backup_id for _, backup_id in await made.expired()]

    virtually(main)


def test_a_held_retention_still_makes_backups() -> None:
    """Nothing but deleting waits: schedules and policies go on while retention is held."""

    async def main() -> None:
        made = await house()
        made.clock.set_by(31 * DAY)
        async with made.daemon() as ledger:
            window = f"{made.clock.now():%H:%M}+15m"
            change = PolicyChange(auto=True, windows=(window,))
            await ledger.execute(SetPolicy("orders", change), ANNA)
            await pass_time(1200)
            *_, backup = ledger.state.catalog[ORDERS].values()
            assert ("auto", 3) == (backup.kind, len(ledger.state.catalog[ORDERS]))
            assert [] == await made.expired()

    virtually(main)


def test_the_end_of_a_restore_into_another_cache_lets_its_source_go() -> None:
    """A11: a backup that expired while it was read goes when the reader ends, wherever it wrote."""

    async def main() -> None:
        made = await house()
        async with made.daemon() as ledger:
            await ledger.execute(RequestRestore(B1, to="users"), ANNA)
            (restore_id,) = ledger.state.restores
            await pass_time(3 * 86_400)
            assert [] == await made.expired()
            await ledger.execute(ReportRestoreFailed(restore_id, OUTSIDE), DAEMON)
            ended = made.clock.now()
            await pass_time(1)
        assert [(ended, B1)] == await made.expired()

    virtually(main)
