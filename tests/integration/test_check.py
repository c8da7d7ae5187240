"""`valkeep check`, `schedule` and `status` of a real daemon, over days that its clock skips."""

import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from daemon.answers.schedule import Schedule
from daemon.commands import PolicyChange, RequestAutoBackup, SetPolicy
from daemon.valkey.engine import find_engines
from events.facts import CacheName
from events.types import BackupAbandoned, BackupCompleted, RetryScheduled, WindowMissed
from tests.support.api import Printed
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import ROOT, Nursery
from tests.support.servers import Node, fill, start_node

pytestmark = pytest.mark.anyio

NIGHTLY = PolicyChange(auto=True, timezone="Europe/Paris", windows=("02:00+2h",))
MONDAY = datetime(2030, 6, 3, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3


@pytest.fixture
async def node(tmp_path: Path) -> AsyncGenerator[Node, None]:
    """A filled server."""
    engine = (await find_engines(os.defpath))[0]
    async with start_node(engine, tmp_path / "n") as node:
        client = node.client()
        await fill(client)
        await client.aclose()
        yield node


@pytest.fixture
async def daemon(
    nursery: Nursery, node: Node, tmp_path: Path
) -> AsyncGenerator[DaemonProcess, None]:
    """A daemon that backs the server up by a policy, at a time at which nothing is due."""
    async with installation(nursery, directory_vault(tmp_path / "vault")) as daemon:
        await daemon.travel(MONDAY)
        await daemon.add("orders", url=node.url, source="replication")
        await daemon.command(SetPolicy("orders", NIGHTLY))
        yield daemon


async def valkeep(daemon: DaemonProcess, *words: str) -> Printed:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "daemon.cli", "--socket", str(daemon.socket), *words]
    done = await anyio.run_process(
        command, check=False, cwd=ROOT, env={**daemon.environment, "COLUMNS": "80"}
    )
    return Printed(done.returncode, done.stdout.decode(), done.stderr.decode())


async def next_window(daemon: DaemonProcess, *, later: timedelta = timedelta(0)) -> None:
    """Restart the daemon a second before the next start, or as much later as is said."""
    found = await daemon.get(Schedule, "schedule")
    start = found.caches[0].starts[0]
    await daemon.travel(start.at - SECOND + later)


async def test_days_of_a_schedule_as_monitoring_sees_them(
    daemon: DaemonProcess, node: Node
) -> None:
    """A good night is OK, a failing one a warning, a lost one critical, and mending makes it OK."""
    first = await valkeep(daemon, "check")
    await next_window(daemon)
    await daemon.until(lambda _, event: isinstance(event, BackupCompleted))
    good = await valkeep(daemon, "check")
    schedule = await valkeep(daemon, "schedule")

    await node.kill()
    await next_window(daemon)
    await daemon.until(lambda _, event: isinstance(event, RetryScheduled))
    failing = await valkeep(daemon, "check")
    status = await valkeep(daemon, "status")

    await next_window(daemon, later=timedelta(hours=-20))
    await daemon.until(lambda _, event: isinstance(event, BackupAbandoned))
    lost = await valkeep(daemon, "check", "orders")

    await node.start()
    made = await daemon.command(RequestAutoBackup("orders"))
    assert made.backup_id is not None
    assert (await daemon.backup_ended(made.backup_id)).phase == "complete"
    mended = await valkeep(daemon, "check")

    assert (OK, OK) == (first.code, good.code), good.out
    assert "the first one starts at " in first.out
    assert "complete" in schedule.out.splitlines()[1]
    assert WARNING == failing.code, failing.out
    assert failing.out.startswith("WARNING last-attempt orders: attempt 1 at auto-")
    assert f"127.0.0.1:{node.port}" in failing.out.splitlines()[0]
    assert "failed, another follows at " in " ".join(status.out.split())
    assert CRITICAL == lost.code, lost.out
    assert {"CRITICAL abandoned", "CRITICAL fresh"} == {
        " ".join(line.split()[:2]) for line in lost.out.splitlines()[:2]
    }
    assert OK == mended.code, mended.out


async def test_windows_that_passed_while_nobody_was_there(daemon: DaemonProcess) -> None:
    """A9: after days without a daemon the last missed window is told, how many, and what to do."""
    await next_window(daemon, later=timedelta(days=2, hours=4))
    await daemon.until(lambda state, _: len(state.slots.get(CacheName("orders"), ())) == 3)
    checked = await valkeep(daemon, "check")
    schedule = await valkeep(daemon, "schedule", "orders")

    assert CRITICAL == checked.code
    critical, warning = checked.out.splitlines()[:2]
    assert critical.startswith("CRITICAL fresh orders: there is no good scheduled backup, and a ")
    assert warning.startswith("WARNING missed orders: nobody served the window 02:00 of ")
    assert ": the daemon was not running; 3 in all; make one now: `valkeep backup" in warning
    assert "the daemon was not running" in " ".join(schedule.out.split())
    events = [event for event in await daemon.events() if isinstance(event, WindowMissed)]
    assert 3 == len(events)


async def test_a_daemon_that_is_gone_or_stuck_is_critical(daemon: DaemonProcess) -> None:
    """A daemon that was killed, or hangs, is CRITICAL with exit 2, and again OK when it is back."""
    daemon.signal(signal.SIGSTOP)
    stuck = await valkeep(daemon, "check", "--timeout", "0.2")
    daemon.signal(signal.SIGCONT)
    before = await valkeep(daemon, "check", "--json")
    await daemon.kill()
    gone = await valkeep(daemon, "check")
    await daemon.start()
    after = await valkeep(daemon, "check")

    assert (CRITICAL, "") == (stuck.code, stuck.err)
    assert "has not answered for 0.2 s" in stuck.out
    assert (OK, "ok") == (before.code, json.loads(before.out)["level"])
    assert (CRITICAL, "") == (gone.code, gone.err)
    assert gone.out.startswith("CRITICAL daemon: No daemon can be reached on ")
    assert OK == after.code


async def test_a_clock_that_was_not_set_is_critical(daemon: DaemonProcess) -> None:
    """A daemon that starts in 1970 says so, schedules nothing, and calls ages unknown."""
    now = daemon.clock.now()
    await daemon.travel(now.replace(year=1971))
    wrong = await valkeep(daemon, "check")
    schedule = await valkeep(daemon, "schedule")
    await daemon.travel(now)
    right = await valkeep(daemon, "check")

    assert CRITICAL == wrong.code
    assert wrong.out.startswith("CRITICAL clock: the clock shows 1971-")
    assert "UNKNOWN fresh orders: " in wrong.out
    assert "the clock is wrong" in schedule.out
    assert OK == right.code, right.out


async def test_an_unknown_cache_is_unknown(daemon: DaemonProcess) -> None:
    """A check of a cache that is not there is exit 3, and of a wrong flag 2."""
    unknown = await valkeep(daemon, "check", "order")
    usage = await valkeep(daemon, "check", "--nonsense")

    assert (UNKNOWN, "") == (unknown.code, unknown.err)
    assert "did you mean 'orders'" in unknown.out
    assert (2, "") == (usage.code, usage.out)
