"""What integration tests share: the process that daemons are forked from, an engine, a server."""

import os
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from daemon.valkey.engine import Engine, find_engines
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery, nursery
from tests.support.servers import Node, fill, start_node


@pytest.fixture(scope="session", name="nursery")
def shared_nursery() -> Iterator[Nursery]:
    """One for the whole run; it is as old as the first test that wants a daemon."""
    with nursery() as shared:
        yield shared


@pytest.fixture
def short_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the test's own whose path leaves room for a socket's name."""
    return tmp_path_factory.mktemp("t")


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    """Where the backups go."""
    return tmp_path / "vault"


@pytest.fixture(scope="session")
async def engine() -> Engine:
    """The engine that the servers run."""
    return (await find_engines(os.defpath))[0]


@pytest.fixture(scope="session")
async def engines() -> dict[str, Engine]:
    """The best engine of each family."""
    found = await find_engines(os.defpath)
    return {engine.kind: engine for engine in reversed(found)}


@pytest.fixture(scope="module")
async def node(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Node, None]:
    """A server that holds some data; one for all tests of a module."""
    folder = tmp_path_factory.mktemp("n")
    async with start_node(engine, folder, rdbcompression="no") as node:
        client = node.client()
        await fill(client)
        await client.aclose()
        yield node


@pytest.fixture
async def daemon(nursery: Nursery, vault: Path) -> AsyncGenerator[DaemonProcess, None]:
    """An installation with that vault, whose daemon the test starts."""
    async with installation(nursery, directory_vault(vault)) as daemon:
        yield daemon
