"""Alarms of a real daemon, told to real receivers on loopback: through failures and ends."""

import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from daemon.answers.check import Checked
from daemon.answers.notifications import Notifications
from daemon.commands import AddCache, RemoveCache, RequestBackup, TestNotifications
from daemon.errors import NotFound
from events.alarms import AlarmRaised, NotificationFailed, NotificationSent
from events.types import Event
from projections.state import State
from tests.support.api import Printed
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import ROOT, Nursery
from tests.support.receivers import Web, web

pytestmark = pytest.mark.anyio

CANARY = "xoxbCANARY12345"


@pytest.fixture
async def server() -> AsyncGenerator[Web, None]:
    """Who takes the messages."""
    async with web() as server:
        yield server


@pytest.fixture
async def daemon(
    nursery: Nursery, server: Web, tmp_path: Path
) -> AsyncGenerator[DaemonProcess, None]:
    """A daemon with a channel to the server, and heartbeats."""
    (tmp_path / "vault").mkdir()
    (tmp_path / "ops.url").write_text(server.url(CANARY))
    (tmp_path / "beat.url").write_text(server.url(f"beat-{CANARY}", scheme="http"))
    config = f"""{directory_vault(tmp_path / "vault")}
[notify]
name = "east"
group_wait = "0s"
weekly = "off"
heartbeat_url_file = "{tmp_path}/beat.url"
[channels.ops]
url_file = "{tmp_path}/ops.url"
on = ["failed"]
"""
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(installation(nursery, config))
        await made.start()
        yield made


async def fails(daemon: DaemonProcess) -> None:
    """A backup fails: nobody listens where the cache should be."""
    await daemon.command(AddCache("orders", "valkey://127.0.0.1:1", probe=False))
    await daemon.command(RequestBackup("orders", "nightly"))


async def test_an_alarm_arrives_through_failures_and_ends(
    daemon: DaemonProcess, server: Web, tmp_path: Path
) -> None:
    """A message survives a server that fails and a ``kill -9``, and its end is told too."""
    await server.until(1)
    assert [f"/beat-{CANARY}"] == server.paths
    server.answers.extend([500, 0])
    await fails(daemon)
    await daemon.until(lambda _, event: isinstance(event, NotificationFailed))
    await daemon.travel(daemon.clock.now() + timedelta(minutes=1))
    await server.until(3)
    await daemon.kill()

    await daemon.start()
    state = await daemon.until(lambda _, event: isinstance(event, NotificationSent))
    assert state.alarms.channels
    first, second, third = server.bodies
    assert first == second == third
    assert "WARNING [east]: orders: a backup failed" == first["title"]
    assert "What to do: " in first["message"]
    assert f"/{CANARY}" == server.paths[-1]
    assert [] == [path for path in server.paths[1:] if "beat" in path]

    await daemon.travel(daemon.clock.now() + timedelta(minutes=10))
    await daemon.command(RemoveCache("orders"))
    await daemon.until(_both_sent)
    assert "RECOVERED [east]: orders: a backup failed" == server.bodies[-1]["title"]
    assert 1 == sum(isinstance(event, AlarmRaised) for event in await daemon.events())
    assert CANARY not in daemon.output()
    for path in (daemon.directory / "data").rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


def _both_sent(state: State, _event: Event) -> bool:
    told = [one for desk in state.alarms.channels.values() for one in desk.told.values()]
    mails = [mail for desk in state.alarms.channels.values() for mail in desk.mail]
    return bool(told) and not mails and not any(one.standing for one in told)


async def test_a_test_tells_what_became_of_it(
    daemon: DaemonProcess, server: Web, tmp_path: Path
) -> None:
    """`notify test` sends through each channel and says why one failed; names have near misses."""
    await server.until(1)  # the first heartbeat, which would use up an answer
    good = await valkeep(daemon, "notify", "test")
    server.answers.extend([403, 200])
    bad = await valkeep(daemon, "notify", "test", "ops")
    listed = await valkeep(daemon, "notify", "list")
    with pytest.raises(NotFound) as unknown:
        await daemon.command(TestNotifications("opps"))

    assert (0, "SENT ops: taken by JSON. Look whether it arrived.\n") == (good.code, good.out)
    assert 1 == bad.code
    assert bad.out.startswith("FAILED ops: The service does not accept our token or password.\n")
    assert "test failed" in listed.out
    assert "Did you mean 'ops'?" in unknown.value.hint
    assert CANARY not in f"{good} {bad} {listed}"
    assert "Test from Valkeep [east]" in [body["title"] for body in server.bodies]


async def test_a_reload_takes_other_channels(
    daemon: DaemonProcess, server: Web, tmp_path: Path
) -> None:
    """``SIGHUP`` adds a channel, which is told what stands; `check` is quiet when all work."""
    await fails(daemon)
    await daemon.until(lambda _, event: isinstance(event, NotificationSent))
    (tmp_path / "two.url").write_text(server.url("two"))
    text = daemon.config.read_text()
    more = f'[channels.two]\nurl_file = "{tmp_path}/two.url"\non = ["failed"]\n'
    daemon.config.write_text(text + more)
    daemon.signal(signal.SIGHUP)
    await daemon.until(_two_have_sent)

    assert "/two" == server.paths[-1]
    found = await daemon.get(Notifications, "notifications")
    assert ["ops", "two"] == [channel.name for channel in found.channels]
    assert ["failed"] == [alarm.kind for alarm in found.alarms]
    checked = await daemon.get(Checked, "check")
    assert "notify" not in {line.rule for line in checked.lines}


def _two_have_sent(state: State, _event: Event) -> bool:
    desks = state.alarms.channels.values()
    return len(desks) == 2 and all(desk.sent for desk in desks)


async def valkeep(daemon: DaemonProcess, *words: str) -> Printed:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "daemon.cli", "--socket", str(daemon.socket), *words]
    environment = {**daemon.environment, "COLUMNS": "80"}
    done = await anyio.run_process(command, check=False, cwd=ROOT, env=environment)
    return Printed(done.returncode, done.stdout.decode(), done.stderr.decode())
