"""What the clients of a target see while it is restored into: the table in docs/restore.md."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import NamedTuple

import pytest

from daemon.valkey.engine import Engine, find_engines
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.onlooker import CLOSED, Onlooker, watched
from tests.support.poll import until
from tests.support.replicas import asking
from tests.support.servers import fill, start_node

pytestmark = pytest.mark.anyio


class Stage(NamedTuple):
    """A daemon with a backup, `orders/b`, in which `which` is "new"."""

    daemon: DaemonProcess
    engine: Engine


@pytest.fixture(scope="module")
async def stage(
    nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Stage, None]:
    """One daemon and one backup for all."""
    engine = (await find_engines(os.defpath))[0]
    vault = directory_vault(tmp_path_factory.mktemp("v"))
    async with (
        start_node(engine, tmp_path_factory.mktemp("s")) as source,
        installation(nursery, vault) as daemon,
    ):
        async with asking(source) as client:
            await fill(client, keys=100)
            await client.set("which", "new")
        await daemon.start()
        await daemon.add("orders", url=source.url)
        assert (await daemon.backup("orders", name="b")).phase == "complete"
        yield Stage(daemon, engine)


class Case(NamedTuple):
    """A kind of target, and the answers that its readers get, each run once."""

    mode: str
    aof: str
    reads: tuple[str, ...] = ("old", "LOADING", "new")
    stale: str = "yes"


CASES = [
    Case("disabled", "no"),
    Case("disabled", "yes"),
    Case("swapdb", "no"),
    Case("swapdb", "yes"),
    Case("disabled", "no", ("old", "MASTERDOWN", "new"), stale="no"),
]
REFUSED = ["OK", "NOREPLICAS", "READONLY"]
WRITES = [[*REFUSED, "OK"], [*REFUSED, "NOREPLICAS", "OK"]]
"""The second NOREPLICAS lasts until the data is durable, which may be too short to be met."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.mode}-{case.aof}-{case.stale}")
async def test_clients_see_these_answers_in_this_order(
    stage: Stage, short_path: Path, case: Case
) -> None:
    """Readers see old data, LOADING, new data; writers are refused from freeze to durability."""
    settings = {
        "repl_diskless_load": case.mode,
        "appendonly": case.aof,
        "replica_serve_stale_data": case.stale,
        "save": "3600 1",
        # The load takes long enough to be seen, and answers often while it lasts.
        "key_load_delay": "1000",
        "loading_process_events_interval_bytes": "1024",
    }
    name = f"watched-{case.mode}-{case.aof}-{case.stale}"
    async with start_node(stage.engine, short_path, **settings) as node:
        async with asking(node) as client:
            await fill(client, keys=10, prefix="old")
            await client.set("which", "old")
        await stage.daemon.add(name, url=node.url)
        reads = Onlooker(node.port, "GET which")
        writes = Onlooker(node.port, "SET counter 1")
        waits = Onlooker(node.port, "BLPOP empty 0")

        async def over() -> bool:
            return (reads.kinds[-1], writes.kinds[-1]) == ("new", "OK")

        async with watched(reads, writes, waits):
            restore = await stage.daemon.restore("orders/b", to=name)
            await until(over, "clients to be served again")

    assert restore.phase == "completed", restore.failure
    assert reads.kinds == list(case.reads)
    assert writes.kinds in WRITES
    assert waits.kinds[:2] == ["UNBLOCKED", CLOSED]
    assert set(waits.kinds[2:]) <= {"READONLY", "MASTERDOWN", "NOREPLICAS"}
