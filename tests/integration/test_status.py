"""`valkeep status` of a real daemon, watched over its restart; and its port for Prometheus."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
from anyio import to_thread
from msgspec import Struct

from daemon.answers import Status
from daemon.client import Client
from daemon.errors import NotFound
from tests.support.addresses import free_address
from tests.support.autos import typing
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.poll import until
from tests.support.servers import Node
from tests.support.terminal import terminal

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]


class Place(Struct, frozen=True):
    """A running daemon with one backup, its vault, and where its metrics are."""

    daemon: DaemonProcess
    vault: Path
    address: str

    def valkeep(self, *words: str) -> list[str]:
        """A command line for a process of its own."""
        return [sys.executable, "-m", "daemon.cli", "--socket", str(self.daemon.socket), *words]

    @property
    def environment(self) -> dict[str, str]:
        """For it."""
        return {**self.daemon.environment, "TERM": "xterm", "PYTHONPATH": str(ROOT)}

    def configure(self, address: str) -> None:
        """Write the configuration, with metrics at an address."""
        own = f'{directory_vault(self.vault)}[metrics]\nlisten = "{address}"\n'
        self.daemon.configure(own)


@pytest.fixture(scope="module")
async def place(
    nursery: Nursery, node: Node, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Place, None]:
    """One for all tests of this module, which leave it as they found it."""
    vault = tmp_path_factory.mktemp("vault")
    async with installation(nursery, "") as daemon:
        found = Place(daemon, vault, free_address())
        found.configure(found.address)
        await daemon.start()
        await daemon.add("orders", url=node.url)
        await daemon.backup("orders", name="one")
        yield found


async def test_the_host_and_the_vault_are_measured(place: Place) -> None:
    """A status has the daemon's memory, the room on its disks, its engine and its port."""
    found = await place.daemon.get(Status, "status")
    host, (vault,) = found.host, found.vaults
    assert () == found.problems
    assert host is not None
    assert (place.daemon.pid, str(place.daemon.log.parent)) == (host.pid, host.data_dir)
    assert host.log_bytes
    assert host.free_bytes
    assert host.engine is not None
    assert host.metrics is not None
    assert (place.address, None) == (host.metrics.listen, host.metrics.failure)
    assert vault.reach is not None
    assert vault.reach.failure is None
    assert vault.reach.free_bytes


async def test_one_cache_is_asked_for_alone(place: Place) -> None:
    """A page of one cache has its figures, and what a restore takes when that was timed."""
    await typing(place.daemon, "backup", "verify", "orders/one")
    page = (await typing(place.daemon, "status", "orders")).out
    assert "orders/one" not in page
    assert "one, just now: " in page or re.search(r"one, \d+ s ago: ", page)
    assert "a restore         of one takes " in page
    with pytest.raises(NotFound, match="ordres"):
        await place.daemon.raw("status", query={"cache": "ordres"})


async def test_a_watch_outlives_the_daemon_and_leaves_a_clean_terminal(place: Place) -> None:
    """It says since when nobody answers, goes on when somebody does, and ends with Ctrl-C."""
    daemon, command = place.daemon, place.valkeep("status", "--watch", "--interval", "0.2")
    with terminal(command, place.environment) as screen:
        await screen.shows("All is well.")
        await screen.shows(f"process {daemon.pid}")
        assert screen.written.startswith("\x1b[?1049h\x1b[?25l")
        assert 0 == await daemon.stop()
        await screen.shows("NO ANSWER since ")
        await screen.shows("All is well.")
        screen.resize(rows=12, columns=60)
        await screen.shows("more lines: make the window higher")
        assert all(len(line) <= 60 for line in screen.screen.splitlines())
        screen.resize(rows=40, columns=120)
        await daemon.start()
        await screen.shows(f"process {daemon.pid}")
        await screen.lacks("NO ANSWER")
        screen.signal(signal.SIGINT)
        assert 0 == await screen.ended()
    assert screen.written.endswith("\x1b[?25h\x1b[?1049l")


async def test_a_watch_of_a_daemon_that_hangs_ends_at_once(place: Place) -> None:
    """Ctrl-C ends it also while a daemon that was stopped in the middle does not answer."""
    command = place.valkeep("status", "--watch", "--interval", "0.2")
    with terminal(command, place.environment) as screen:
        await screen.shows("All is well.")
        place.daemon.signal(signal.SIGSTOP)
        try:
            screen.resize(rows=30, columns=90)
            await until(lambda: asking(screen.pid), "a question that nobody answers")
            screen.signal(signal.SIGINT)
            assert 0 == await screen.ended()
        finally:
            place.daemon.signal(signal.SIGCONT)
    assert screen.written.endswith("\x1b[?1049l")


async def asking(pid: int) -> bool:
    """Whether a process has a socket open."""
    folder = f"/proc/{pid}/fd"
    links = [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]  # noqa: PTH208, PTH115
    return 2 < sum(link.startswith("socket:") for link in links)


async def test_a_watch_on_a_pipe_is_lines_of_json(place: Place) -> None:
    """With --json each answer is one line, for whoever reads on and on."""
    command = place.valkeep("status", "--watch", "--interval", "0.2", "--json")

    def two() -> list[bytes]:
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=place.environment) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(2)]
            process.stdout.close()
            process.terminate()
        return lines

    first, second = (json.loads(line) for line in await to_thread.run_sync(two))
    assert first["now"] < second["now"]
    assert first["caches"][0]["name"] == "orders"


def scraped(address: str) -> str:
    """What Prometheus would get."""
    with urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return str(answer.read(), "utf-8")


async def test_a_scrape_and_a_reload(place: Place) -> None:
    """Figures come over TCP on the loopback; SIGHUP moves the port, and a bad file does not."""
    assert 'valkeep_backups_completed_total{cache="orders"}' in await to_thread.run_sync(
        scraped, place.address
    )
    other = free_address()

    async def moved() -> bool:
        host = (await place.daemon.get(Status, "status")).host
        return host is not None and host.metrics is not None and host.metrics.listen == other

    place.configure("10.0.0.7:9464")
    refused = refused_to_reload(place)
    place.daemon.signal(signal.SIGHUP)
    await until(refused, "the bad file is refused")
    assert "valkeep_build_info" in await to_thread.run_sync(scraped, place.address)
    place.configure(other)
    place.daemon.signal(signal.SIGHUP)
    await until(moved, "the port is at another address")
    assert "valkeep_build_info" in await to_thread.run_sync(scraped, other)
    with pytest.raises(OSError, match="refused"):
        await to_thread.run_sync(scraped, place.address)
    place.configure(place.address)
    place.daemon.signal(signal.SIGHUP)


def refused_to_reload(place: Place) -> Callable[[], Awaitable[bool]]:
    """Whether the daemon has said that it did not take a file."""
    seen = place.daemon.output().count("configuration not reloaded")

    async def told() -> bool:
        return place.daemon.output().count("configuration not reloaded") > seen

    return told


@pytest.mark.debian("prometheus")
async def test_prometheus_finds_nothing_to_mend(place: Place) -> None:
    """Its own checker takes what a real daemon tells, names and all."""
    text = await to_thread.run_sync(Client(str(place.daemon.socket)).get, "/metrics")
    done = await to_thread.run_sync(
        lambda: subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
        )
    )
    assert (0, b"", b"") == (done.returncode, done.stdout, done.stderr)
