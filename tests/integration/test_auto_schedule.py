"""Auto backups of a real server by a real daemon: when they start, and when they do not.

Windows are set through the command line; the daemon is started with a wall clock that is
nearly at the instant that it names itself.
"""

import sys
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest

from daemon.app.real import OFFSET_VARIABLE
from events.types import (
    AttemptStarted,
    BackupCompleted,
    BackupDeleted,
    BackupRequested,
    DaemonStarted,
    RetentionExpired,
    WindowMissed,
)
from tests.support.autos import next_start, prompt, shortly_before, told, typing, until
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import ROOT, Nursery
from tests.support.outcome import is_tidy, log_is_sound
from tests.support.servers import Node

pytestmark = pytest.mark.anyio

NOON = datetime(2030, 1, 14, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
async def daemon(nursery: Nursery, vault: Path) -> AsyncGenerator[DaemonProcess, None]:
    """An installation with that vault, at noon of a Monday."""
    async with installation(nursery, directory_vault(vault)) as daemon:
        await daemon.travel(NOON)
        yield daemon


def utc(text: str) -> datetime:
    """An instant, written as a person would."""
    return datetime.fromisoformat(f"{text}Z")


async def add(daemon: DaemonProcess, node: Node, *policy: str, cache: str = "orders") -> None:
    """Put a cache under backup with a policy."""
    await typing(daemon, "cache", "add", cache, "--url", node.url, "--auto", *policy)


async def test_a_window_makes_a_backup_at_its_instant(
    daemon: DaemonProcess, node: Node, vault: Path
) -> None:
    """A5: the backup starts at the instant that `schedule` names, which no restart changes."""
    await add(daemon, node, "--window", "14:00+2h")
    start = await next_start(daemon)
    assert NOON + 2 * HOUR <= start.at <= NOON + 3 * HOUR
    await daemon.travel(NOON + HOUR)
    assert start == await next_start(daemon)

    await shortly_before(daemon, start.at)
    await until(daemon, BackupCompleted)

    ((at, asked),) = await told(daemon, BackupRequested)
    assert prompt(at, due=start.at), (at, start.at)
    assert ("auto", start.occurrence) == (asked.kind, asked.occurrence)
    assert asked.start_before == NOON + 4 * HOUR
    shown = await typing(daemon, "backup", "show", asked.backup_id)
    assert "14:00" in shown.out
    assert NOON + DAY < (await next_start(daemon)).at
    await daemon.travel(NOON + 3 * HOUR + HOUR / 2)
    await until(daemon, DaemonStarted, count=4)
    assert [b.name for b in await daemon.listed()] == [asked.name] == ["auto-20300114-1400"]
    await is_tidy(daemon, vault)
    await log_is_sound(daemon)


async def test_a_backup_by_command_serves_the_open_window(
    daemon: DaemonProcess, node: Node
) -> None:
    """A5b: `backup create CACHE --auto` makes the scheduled backup now; the window needs no other.

    It is refused for a cache that has none.
    """
    await add(daemon, node, "--window", "12:30+3h", "--retries", "0")
    start = await next_start(daemon)
    earlier = start.at - timedelta(minutes=5)
    assert start.occurrence.opens_at < earlier
    await daemon.travel(earlier)
    await typing(daemon, "backup", "create", "orders", "--auto", "--wait")

    ((_, asked),) = await told(daemon, BackupRequested)
    assert asked.occurrence == start.occurrence
    assert (await next_start(daemon)).at > NOON + 12 * HOUR
    await daemon.travel(start.occurrence.closes_at - timedelta(minutes=1))
    await daemon.backup("orders", name="by-hand")
    assert ["auto", "manual"] == [e.kind for _, e in await told(daemon, BackupRequested)]

    await typing(daemon, "policy", "set", "orders", "--no-auto")
    refused = await typing(daemon, "backup", "create", "orders", "--auto", code=3)
    assert "off" in refused.err


class Change(NamedTuple):
    """A window on a day whose clocks change, and when it is open (UTC)."""

    zone: str
    window: str
    opens_at: datetime
    closes_at: datetime


CHANGES = (
    # Paris has no 02:30 on 31 March 2030; its clocks go from 02:00 to 03:00 at 01:00 UTC.
    Change("Europe/Paris", "02:30+1h", utc("2030-03-31 01:00"), utc("2030-03-31 02:00")),
    # On 27 October it has two; the first is at 00:30 UTC.
    Change("Europe/Paris", "02:30+3h", utc("2030-10-27 00:30"), utc("2030-10-27 03:30")),
    # Lord Howe's clocks go by half an hour, from 02:00 to 02:30 at 15:30 UTC of the day before.
    Change("Australia/Lord_Howe", "02:15+1h", utc("2030-10-05 15:30"), utc("2030-10-05 16:30")),
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change.zone} {change.window}")
async def test_daylight_saving_leaves_one_backup(
    daemon: DaemonProcess, node: Node, change: Change
) -> None:
    """A8: on the day that the clocks change there is one backup, in a window of its full length."""
    await daemon.travel(change.opens_at - 12 * HOUR)
    await add(daemon, node, "--window", change.window, "--timezone", change.zone)
    start = await next_start(daemon)
    assert (start.occurrence.opens_at, start.occurrence.closes_at) == change[2:]

    await shortly_before(daemon, start.at)
    await until(daemon, BackupCompleted)

    ((at, _),) = await told(daemon, BackupRequested)
    assert prompt(at, due=start.at), (at, start.at)
    assert start.occurrence.closes_at + 12 * HOUR < (await next_start(daemon)).at
    # The hour that comes again passes without another one.
    await daemon.travel(start.occurrence.closes_at - timedelta(minutes=10))
    await daemon.backup("orders", name="by-hand")
    assert ["auto", "manual"] == [e.kind for _, e in await told(daemon, BackupRequested)]


async def test_windows_that_passed_while_it_was_down_are_missed_once_each(
    daemon: DaemonProcess, node: Node
) -> None:
    """A9: after two days without a daemon each window is recorded as missed, the open one runs."""
    await add(daemon, node, "--window", "02:00+1h", "--window", "14:00+2h")
    await daemon.travel(NOON + 2 * DAY + 3 * HOUR)
    await until(daemon, BackupCompleted)

    missed = [event.occurrence for _, event in await told(daemon, WindowMissed)]
    assert [(o.day.day, o.start) for o in missed] == [
        (14, "14:00"),
        (15, "02:00"),
        (15, "14:00"),
        (16, "02:00"),
    ]
    assert {"the daemon was not running"} == {e.reason for _, e in await told(daemon, WindowMissed)}
    ((_, asked),) = await told(daemon, BackupRequested)
    assert asked.occurrence is not None
    assert (16, "14:00") == (asked.occurrence.day.day, asked.occurrence.start)
    await daemon.kill()
    await daemon.start()
    await daemon.backup("orders", name="by-hand")
    assert 4 == len(await told(daemon, WindowMissed))
    assert ["auto", "manual"] == [e.kind for _, e in await told(daemon, BackupRequested)]


async def test_what_was_missed_longer_ago_than_a_week_is_not_recorded(
    daemon: DaemonProcess, node: Node
) -> None:
    """A9: after three weeks without a daemon there are the misses of the last seven days."""
    await add(daemon, node, "--window", "02:00+1h")
    await daemon.travel(NOON + 21 * DAY)
    await until(daemon, WindowMissed, count=7)
    await daemon.backup("orders", name="by-hand")

    missed = [event.occurrence.opens_at for _, event in await told(daemon, WindowMissed)]
    assert [NOON + n * DAY - 10 * HOUR for n in range(15, 22)] == missed
    assert ["manual"] == [e.kind for _, e in await told(daemon, BackupRequested)]


async def test_removing_a_cache_deletes_its_auto_backups(
    daemon: DaemonProcess, node: Node, vault: Path
) -> None:
    """A10, M2: with the cache its auto backups go, from the vault too; manual ones stay."""
    await add(daemon, node, "--window", "02:00+1h")
    await typing(daemon, "backup", "create", "orders", "--auto", "--wait")
    await typing(daemon, "backup", "create", "orders", "kept", "--wait")
    assert 2 == len(await daemon.listed())

    await typing(daemon, "cache", "remove", "orders", "--yes")
    await until(daemon, BackupDeleted)

    assert ["kept"] == [backup.name for backup in await daemon.listed()]
    await is_tidy(daemon, vault)
    await daemon.travel(NOON + 2 * DAY)
    await until(daemon, DaemonStarted, count=2)
    await typing(daemon, "backup", "show", "orders/kept")
    assert [] == await told(daemon, WindowMissed)


async def test_caches_of_one_host_are_backed_up_one_after_the_other(
    daemon: DaemonProcess, node: Node, vault: Path
) -> None:
    """A7, DESIGN 5: windows that are due together make one snapshot at a time on a host."""
    names = ("carts", "orders", "users")
    for name in names:
        await add(daemon, node, "--window", "14:00+2h", cache=name)
    await daemon.travel(NOON + 3 * HOUR + HOUR / 2)
    await until(daemon, BackupCompleted, count=3)

    steps = [
        (type(one.event), one.event.backup_id)
        for one in await daemon.history()
        if isinstance(one.event, AttemptStarted | BackupCompleted)
    ]
    order = [backup_id for kind, backup_id in steps if kind is AttemptStarted]
    assert steps == [
        step for one in order for step in ((AttemptStarted, one), (BackupCompleted, one))
    ]
    assert set(names) == {backup.cache for backup in await daemon.listed()}
    await is_tidy(daemon, vault)


async def test_a_wrong_date_deletes_no_backup(
    daemon: DaemonProcess, node: Node, vault: Path
) -> None:
    """A2: by a clock that leapt by months nothing expires at once; put right, retention goes on.

    A11: what the wrong clock has dated is not taken for the newest: one of the true dates stays.
    """
    await add(daemon, node, "--retention-days", "1")
    for _ in range(2):
        await typing(daemon, "backup", "create", "orders", "--auto", "--wait")
    true_dates = [view.taken_at for view in await daemon.listed()]
    for _ in range(2):
        await daemon.travel(NOON + 40 * DAY)
        await typing(daemon, "backup", "create", "orders", "--auto", "--wait")
        assert [] == await told(daemon, RetentionExpired)
    assert 2 == daemon.output().count("retention held")

    await daemon.travel(NOON + 2 * DAY)
    await until(daemon, BackupDeleted, count=1)

    assert true_dates[1:] == [view.taken_at for view in await daemon.listed()][:-2]
    await is_tidy(daemon, vault)


async def test_a_clock_offset_that_is_no_number_is_refused(daemon: DaemonProcess) -> None:
    """The setting for tests is told when it is used, and a slip in it ends the daemon with 2."""
    assert "clock moved for a test" in daemon.output()

    command = [sys.executable, "-m", "daemon.cli", "serve", "--config", str(daemon.config)]
    environment = daemon.environment | {OFFSET_VARIABLE: "tomorrow"}
    done = await anyio.run_process(command, env=environment, cwd=ROOT, check=False)

    assert 2 == done.returncode
    assert f"{OFFSET_VARIABLE} is 'tomorrow'" in done.stderr.decode()
