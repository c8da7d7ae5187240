"""Auto backups that fail, wait or are cut off: what is tried again, when, and what is given up.

A real server that goes away, refuses, hangs and is slow; a real daemon that is killed; and
dates that are reached by another wall clock, not by waiting.
"""

import os
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from daemon.commands import RequestBackup
from daemon.valkey.engine import find_engines
from events.facts import CacheName, Occurrence
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCompleted,
    BackupDeferred,
    BackupFailed,
    BackupRequested,
    BackupSkipped,
    LeftoversSwept,
    RetryScheduled,
)
from projections.occurrences import instant
from tests.support.autos import (
    SURE_LEAD,
    next_start,
    prompt,
    shortly_before,
    told,
    typing,
    until,
)
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.outcome import is_tidy, log_is_sound
from tests.support.saving import saving_at_once, saving_slowly
from tests.support.servers import Node, fill, start_node

pytestmark = pytest.mark.anyio

NOON = datetime(2030, 1, 14, 12, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
PASSWORD = "open sesame"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncGenerator[Node, None]:
    """A filled server with a password, which each test may ruin."""
    engine = (await find_engines(os.defpath))[0]
    async with start_node(
        engine, tmp_path / "n", rdbcompression="no", requirepass=PASSWORD
    ) as node:
        client = node.client()
        await fill(client)
        await client.aclose()
        yield node


@pytest.fixture
async def daemon(nursery: Nursery, vault: Path) -> AsyncGenerator[DaemonProcess, None]:
    """An installation with that vault, at noon of a Monday."""
    async with installation(nursery, directory_vault(vault)) as daemon:
        await daemon.travel(NOON)
        yield daemon


@pytest.fixture
async def password(tmp_path: Path) -> Path:
    """The file that holds the server's password."""
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    return file


async def add(
    daemon: DaemonProcess, node: Node, password: Path, *policy: str, cache: str = "orders"
) -> None:
    """Put a cache under backup with a policy."""
    words = ("--url", node.url, "--password-file", str(password), "--auto", *policy)
    await typing(daemon, "cache", "add", cache, *words)


async def test_a_server_that_is_down_is_tried_again_until_it_is_back(
    daemon: DaemonProcess, node: Node, password: Path, vault: Path
) -> None:
    """A6: each failure records when the next try is due, after a growing delay; then it works."""
    await add(daemon, node, password, "--window", "14:00+2h", "--retries", "3")
    await node.kill()
    await shortly_before(daemon, (await next_start(daemon)).at)
    await until(daemon, RetryScheduled)
    ((failed_at, _),) = await told(daemon, BackupFailed)
    ((_, first),) = await told(daemon, RetryScheduled)
    assert 60 * SECOND <= first.retry_at - failed_at <= 75 * SECOND

    await shortly_before(daemon, first.retry_at)
    await until(daemon, RetryScheduled, count=2)
    failed_at, failed = (await told(daemon, BackupFailed))[1]
    second = (await told(daemon, RetryScheduled))[1][1]
    assert 120 * SECOND <= second.retry_at - failed_at <= 150 * SECOND
    assert ("outside", False) == (failed.cause, failed.failure.permanent)
    shown = await typing(daemon, "backup", "show", first.backup_id)
    assert f"{second.retry_at:%H:%M}" in shown.out
    await node.start()

    await shortly_before(daemon, second.retry_at)
    await until(daemon, BackupCompleted)

    attempts = await told(daemon, AttemptStarted)
    assert [1, 2, 3] == [event.attempt for _, event in attempts]
    assert prompt(attempts[1][0], due=first.retry_at), (attempts, first)
    assert prompt(attempts[2][0], due=second.retry_at), (attempts, second)
    assert [3] == [backup.attempts for backup in await daemon.listed()]
    await is_tidy(daemon, vault)
    await log_is_sound(daemon)


async def test_a_server_that_stays_down_uses_up_the_attempts(
    daemon: DaemonProcess, node: Node, password: Path
) -> None:
    """A3, A6: one attempt and one retry fail, and the backup is abandoned, saying which limit."""
    await add(daemon, node, password, "--window", "14:00+2h", "--retries", "1")
    await node.kill()
    await shortly_before(daemon, (await next_start(daemon)).at)
    await until(daemon, RetryScheduled)
    ((_, retry),) = await told(daemon, RetryScheduled)
    await shortly_before(daemon, retry.retry_at)
    await until(daemon, BackupAbandoned)

    ((_, abandoned),) = await told(daemon, BackupAbandoned)
    assert abandoned.reason == "no attempt is left: there were 2, one and 1 retries"
    assert 2 == len(await told(daemon, AttemptStarted))


async def test_a_window_that_closes_ends_the_retries(
    daemon: DaemonProcess, node: Node, password: Path, vault: Path
) -> None:
    """A6: an attempt that was cut off is not made again when its window has closed meanwhile."""
    await add(daemon, node, password, "--window", "14:00+2h", "--retries", "3")
    await shortly_before(daemon, (await next_start(daemon)).at, doom="phase storing")
    await daemon.died()
    await daemon.travel(NOON + 4 * HOUR + SECOND)
    await until(daemon, LeftoversSwept)

    ((_, abandoned),) = await told(daemon, BackupAbandoned)
    assert abandoned.reason == "a retry would come too late: its window closed"
    assert [] == await told(daemon, RetryScheduled)
    assert 1 == len(await told(daemon, AttemptStarted))
    await is_tidy(daemon, vault)


async def test_the_last_seconds_of_a_window_are_not_spent_at_once(
    daemon: DaemonProcess, node: Node, password: Path
) -> None:
    """A6: also shortly before the window closes some time passes between two attempts."""
    await add(daemon, node, password, "--window", "14:00+2h", "--retries", "1")
    await node.kill()
    await daemon.travel(NOON + 4 * HOUR - 10 * SECOND)
    await until(daemon, BackupAbandoned)

    (first, _), (second, _) = await told(daemon, AttemptStarted)
    assert second - first >= SECOND
    assert second < NOON + 4 * HOUR


async def test_a_window_that_closes_while_nobody_is_there_ends_the_backup(
    daemon: DaemonProcess, node: Node, password: Path
) -> None:
    """A6, A9: a retry that nobody was there to make is abandoned, not made after the window."""
    await add(daemon, node, password, "--window", "14:00+2h", "--retries", "3")
    await node.kill()
    await shortly_before(daemon, (await next_start(daemon)).at)
    await until(daemon, RetryScheduled)
    await node.start()
    await daemon.travel(NOON + 5 * HOUR)
    await until(daemon, BackupAbandoned)

    ((_, abandoned),) = await told(daemon, BackupAbandoned)
    assert "its window closed before the next attempt" in abandoned.reason
    assert 1 == len(await told(daemon, AttemptStarted))


async def test_a_wrong_password_is_not_tried_again_until_somebody_changes_it(
    daemon: DaemonProcess, node: Node, password: Path, vault: Path
) -> None:
    """A6: a permanent failure abandons at once; a change in the open window begins anew."""
    await add(daemon, node, password, "--window", "14:00+2h", "--retries", "3")
    await anyio.Path(password).write_text("open barley")
    await shortly_before(daemon, (await next_start(daemon)).at)
    await until(daemon, BackupAbandoned)

    ((_, failed),) = await told(daemon, BackupFailed)
    ((_, abandoned),) = await told(daemon, BackupAbandoned)
    assert failed.failure.permanent
    assert "permanent" in abandoned.reason
    assert [] == await told(daemon, RetryScheduled)
    assert "barley" not in daemon.output()

    better = password.with_name("better")
    await anyio.Path(better).write_text(PASSWORD)
    await typing(daemon, "cache", "set", "orders", "--password-file", str(better))
    await until(daemon, BackupCompleted)
    first, second = [event for _, event in await told(daemon, BackupRequested)]
    assert first.occurrence == second.occurrence
    assert first.backup_id != second.backup_id
    assert [second.backup_id] == [backup.backup_id for backup in await daemon.listed()]
    await is_tidy(daemon, vault)


async def test_kill_9_in_an_auto_backup_is_a_failed_attempt(
    daemon: DaemonProcess, node: Node, password: Path, vault: Path
) -> None:
    """A6: an attempt that was cut off is recorded first thing at the next start, and retried."""
    await add(daemon, node, password, "--window", "14:00+2h", "--retries", "1")
    start = await next_start(daemon)
    await shortly_before(daemon, start.at, doom="bytes 20000 storing")
    await daemon.died()
    await daemon.start()
    await until(daemon, RetryScheduled)

    ((_, failed),) = await told(daemon, BackupFailed)
    assert ("interrupted", "daemon") == (failed.failure.code, failed.cause)
    ((_, retry),) = await told(daemon, RetryScheduled)
    await shortly_before(daemon, retry.retry_at)
    await until(daemon, BackupCompleted)
    assert [2] == [backup.attempts for backup in await daemon.listed()]
    assert 1 == len(await told(daemon, BackupRequested))
    await is_tidy(daemon, vault)
    await log_is_sound(daemon)


async def test_sigterm_in_an_auto_backup_ends_in_time_and_is_retried(
    daemon: DaemonProcess, node: Node, password: Path, vault: Path
) -> None:
    """A6, fault 3: told to end in an auto backup, the daemon ends well; the next tries again."""
    await add(daemon, node, password, "--window", "14:00+2h", "--retries", "1")
    await saving_slowly(node)
    await shortly_before(daemon, (await next_start(daemon)).at)
    await until(daemon, AttemptStarted)
    with anyio.fail_after(10):
        assert await daemon.stop() == 0
    await saving_at_once(node)

    await daemon.start()
    await until(daemon, RetryScheduled)
    ((_, retry),) = await told(daemon, RetryScheduled)
    await shortly_before(daemon, retry.retry_at)
    await until(daemon, BackupCompleted)
    assert [2] == [backup.attempts for backup in await daemon.listed()]
    await is_tidy(daemon, vault)
    await log_is_sound(daemon)


async def test_a_backup_that_is_in_the_way_defers_the_next_inside_its_window(
    daemon: DaemonProcess, node: Node, password: Path, vault: Path
) -> None:
    """A7: at its instant the auto backup is told to wait for the manual one; then it is made."""
    await add(daemon, node, password, "--window", "14:00+2h")
    start = await next_start(daemon)
    await daemon.travel(start.at - SURE_LEAD)
    node.pause()
    await daemon.command(RequestBackup("orders", "by-hand"))
    await until(daemon, BackupDeferred)

    ((at, deferred),) = await told(daemon, BackupDeferred)
    assert prompt(at, due=start.at), (at, start.at)
    assert deferred.reason == "backup by-hand of this cache has to end first"
    shown = await typing(daemon, "backup", "show", deferred.backup_id)
    assert "by-hand" in shown.out
    node.resume()
    await until(daemon, BackupCompleted, count=2)
    names = [backup.name for backup in await daemon.listed()]
    assert sorted(names) == ["auto-20300114-1400", "by-hand"]
    begun = [event.backup_id for _, event in await told(daemon, AttemptStarted)]
    done = [event.backup_id for _, event in await told(daemon, BackupCompleted)]
    assert begun == done
    assert deferred.backup_id == begun[1]
    await is_tidy(daemon, vault)


BRIEF = Occurrence(
    day=datetime(2030, 3, 31, tzinfo=UTC).date(),
    start="01:59",
    opens_at=datetime(2030, 3, 31, 0, 59, tzinfo=UTC),
    closes_at=datetime(2030, 3, 31, 1, 0, tzinfo=UTC),
)
"""A minute in Paris: the next window opens at 02:30, which the clocks leap over to at 02:00."""


def late_in(occurrence: Occurrence) -> str:
    """A cache whose instant in an occurrence is near its end."""
    names = [CacheName(f"cache-{number}") for number in range(200)]
    return max(names, key=lambda name: instant(name, occurrence, retries=0))


async def test_a_backup_that_is_in_the_way_too_long_has_the_next_skipped(
    daemon: DaemonProcess, node: Node, password: Path
) -> None:
    """A7, A8: when its window closes first, the one that waited is skipped, saying what for."""
    cache = late_in(BRIEF)
    await daemon.travel(BRIEF.opens_at - 12 * HOUR)
    windows = ("--window", "01:59+15m", "--window", "02:30+15m", "--timezone", "Europe/Paris")
    await add(daemon, node, password, *windows, "--retries", "0", cache=cache)
    start = await next_start(daemon, cache)
    assert BRIEF == start.occurrence
    assert BRIEF.closes_at - start.at <= 8 * SECOND

    await daemon.travel(start.at - SURE_LEAD)
    node.pause()
    await daemon.command(RequestBackup(cache, "by-hand"))
    await until(daemon, BackupSkipped)
    node.resume()

    ((at, skipped),) = await told(daemon, BackupSkipped)
    assert prompt(at, due=BRIEF.closes_at), at
    assert skipped.reason == (
        "its window closed first: backup by-hand of this cache has to end first"
    )
    asked = [event for _, event in await told(daemon, BackupRequested)]
    assert ["manual", "auto"] == [event.kind for event in asked[:2]]
    assert asked[1].backup_id == skipped.backup_id
