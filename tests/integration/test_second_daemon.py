"""Two daemons that want the same thing: the second refuses, by name, and the first goes on."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from daemon.answers import Status
from daemon.valkey.engine import find_engines
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.servers import start_node

pytestmark = pytest.mark.anyio


@pytest.fixture
async def pair(
    nursery: Nursery, tmp_path: Path
) -> AsyncGenerator[tuple[DaemonProcess, DaemonProcess], None]:
    """A running daemon, and another installation that is not started."""
    config = directory_vault(tmp_path / "vault")
    async with installation(nursery, config) as first, installation(nursery, config) as second:
        await first.start()
        yield first, second


@pytest.fixture
async def node_url(short_path: Path) -> AsyncGenerator[str, None]:
    """An empty server."""
    async with start_node((await find_engines(os.defpath))[0], short_path) as node:
        yield node.url


async def refused(pair: tuple[DaemonProcess, DaemonProcess]) -> str:
    """What the second says; it does not come up, and the first is unharmed."""
    first, second = pair
    second.launch()
    assert await second.ended() == 1
    assert (await first.get(Status, "status")).problems == ()
    return second.output()


async def test_a_second_daemon_on_the_same_log_names_the_first(
    pair: tuple[DaemonProcess, DaemonProcess],
) -> None:
    """The log is held by one process; who comes second is told which one."""
    first, second = pair
    second.config.write_text(
        second.config.read_text().replace(
            f'data_dir = "{second.directory}', f'data_dir = "{first.directory}'
        )
    )

    said = await refused(pair)

    assert f"{first.log} is in use by process {first.pid}" in said
    assert "hint:" in said


async def test_a_second_daemon_on_the_same_socket_names_the_first(
    pair: tuple[DaemonProcess, DaemonProcess],
) -> None:
    """A living daemon's socket is not taken away from it."""
    first, second = pair
    second.config.write_text(
        second.config.read_text().replace(
            f'socket = "{second.directory}', f'socket = "{first.directory}'
        )
    )

    said = await refused(pair)

    assert f"already listens on {first.socket}: process {first.pid}" in said
    assert "hint:" in said


async def test_a_second_daemon_on_the_same_vault_may_only_read_it(
    pair: tuple[DaemonProcess, DaemonProcess], node_url: str
) -> None:
    """A vault belongs to the installation that came first: the other's backup is refused (S2)."""
    first, second = pair
    await second.start()
    for daemon in (first, second):
        await daemon.add("orders", url=node_url)
    assert (await first.backup("orders", name="b")).phase == "complete"

    backup = await second.backup("orders", name="b")

    assert backup.failure is not None
    assert backup.failure.code == "vault-foreign"
    assert len(await first.listed()) == 1


async def test_a_daemon_that_was_killed_leaves_its_place_to_the_next(
    pair: tuple[DaemonProcess, DaemonProcess],
) -> None:
    """After `kill -9` neither the socket's file nor the log's lock is in the way."""
    first, _ = pair
    await first.kill()
    assert first.socket.exists()

    await first.start()

    assert (await first.get(Status, "status")).problems == ()
