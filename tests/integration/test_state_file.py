"""The state beside the log of a real daemon (L5): a start goes on from it, or does without it."""

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks.history import Told, write
from daemon.answers import Caches, Status
from daemon.answers.standing import StateView
from daemon.app.settings import STATE_NAME
from events.facts import CacheName, CacheSettings, VaultName
from events.types import CacheReconfigured, CacheRegistered
from tests.support.autos import typing
from tests.support.daemon import DaemonProcess

pytestmark = pytest.mark.anyio

RECORDS = 1_500
CACHES = 20


def changes(daemon: DaemonProcess, port: int) -> Iterator[Told]:
    """A history of caches whose address was corrected again and again, until it had that port."""
    at = daemon.clock.now() - timedelta(days=2)
    for number in range(RECORDS):
        cache, vault = CacheName(f"cache-{number % CACHES:02}"), VaultName("main")
        url = f"valkey://127.0.0.1:{port if number >= RECORDS - CACHES else 1 + number}"
        kind = CacheRegistered if number < CACHES else CacheReconfigured
        yield at, kind(cache=cache, settings=CacheSettings(url=url, vault=vault))


@pytest.fixture
async def state(daemon: DaemonProcess) -> Path:
    """Where the state lies, beside the log of a daemon that has a history and has not run yet."""
    daemon.log.parent.mkdir(mode=0o700)
    await write(daemon.log, changes(daemon, 7001), pid=os.getpid())
    return daemon.log.with_name(STATE_NAME)


async def began(daemon: DaemonProcess) -> StateView:
    """What a start begins with; every cache is as the log has it."""
    await daemon.start()
    host = (await daemon.get(Status, "status")).host
    ports = {cache.settings.url for cache in (await daemon.get(Caches, "caches")).caches}
    assert {"valkey://127.0.0.1:7001"} == ports
    assert host is not None
    assert host.state is not None
    return host.state


async def test_start_goes_on_from_the_state(daemon: DaemonProcess, state: Path) -> None:
    """The end keeps a state; later starts read what follows it, also after `kill -9`."""
    first = await began(daemon)
    assert await daemon.stop() == 0
    mode = mode_of(state)
    second = await began(daemon)
    page = await typing(daemon, "status")
    await daemon.kill()
    third = await began(daemon)

    assert (0, RECORDS) == (first.position, first.records)
    assert mode == 0o600
    assert second.position == third.position == second.kept >= RECORDS
    assert second.records < 5
    assert third.records < 5
    assert f"from the state at {second.position:,} and" in " ".join(page.out.split())


def mode_of(state: Path) -> int:
    """Who may use it; it has to be there."""
    return state.stat().st_mode & 0o777


def cut(state: Path) -> None:
    """Half of it is missing."""
    os.truncate(state, state.stat().st_size // 2)


def pipe(state: Path) -> None:
    """A pipe that nobody writes to is in its place."""
    state.unlink()
    os.mkfifo(state, 0o600)


def opened(state: Path) -> None:
    """Others may write it."""
    state.chmod(0o666)


@pytest.mark.parametrize(
    ("harm", "told"), [(cut, "damaged"), (pipe, "no file"), (opened, "its mode is 0666")]
)
async def test_start_does_without_the_state(
    daemon: DaemonProcess, state: Path, harm: Callable[[Path], None], told: str
) -> None:
    """A state that is not as it was left is told of, not used, and replaced at the next end."""
    await began(daemon)
    assert await daemon.stop() == 0
    harm(state)
    without = await began(daemon)
    assert await daemon.stop() == 0
    again = await began(daemon)

    assert without.position == 0
    assert told in without.unused
    assert "state not used" in daemon.output()
    assert again.position >= RECORDS


async def test_state_of_another_log_is_not_used(
    daemon: DaemonProcess, state: Path, tmp_path: Path
) -> None:
    """A log that was put in the place of another never meets the other's state."""
    other = tmp_path / "other.db"
    shutil.copy(daemon.log, other)
    daemon.log.unlink()
    await write(daemon.log, changes(daemon, 7002), pid=os.getpid())
    await daemon.start()
    assert await daemon.stop() == 0
    assert mode_of(state) == 0o600
    shutil.copy(other, daemon.log)

    found = await began(daemon)

    assert (0, "it is of another history than the log") == (found.position, found.unused)
