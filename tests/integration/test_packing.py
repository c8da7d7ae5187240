"""A real snapshot on its way into a vault, with a real engine reading the bytes."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from daemon.actors.packing import PipelinePacker
from daemon.actors.seams import Judged
from daemon.storage import names
from daemon.storage.memory import MemoryStore, MemoryVault
from daemon.valkey.caches import ServerCaches
from daemon.valkey.engine import Engine
from events.facts import ONLY_SHARD, BackupId, CacheName, CacheSettings, VaultName
from tests.support.offload import THREADS
from tests.support.servers import Node, fill, start_node
from tests.support.sources import AlwaysNoon, Board

pytestmark = pytest.mark.anyio

NAME = names.shard_object(CacheName("orders"), BackupId("20261122T120000Z-00000001"), ONLY_SHARD)


@pytest.fixture(scope="module")
async def node(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Node, None]:
    """A server with keys in several databases."""
    async with start_node(engine, tmp_path_factory.mktemp("n")) as node:
        client = node.client()
        await fill(client, keys=2_000)
        await client.aclose()
        yield node


async def packed(node: Node, packer: PipelinePacker, store: MemoryStore) -> Judged:
    """Store one snapshot of the node, and what the checker says of it."""
    caches = ServerCaches(lambda _: None, THREADS, AlwaysNoon())
    settings = CacheSettings(node.url, VaultName("main"), source="replication")
    async with packer(MemoryVault(store), NAME, Board()) as pack:
        async with caches.snapshot(settings, Board()) as snapshot:
            await pack.read(snapshot)
        await pack.store()
        return await pack.judge()


@pytest.mark.parametrize("when", ["along", "afterwards"])
async def test_the_checker_counts_what_was_stored(node: Node, engine: Engine, when: str) -> None:
    """Keys and the highest database come from the stored bytes, whenever they are read."""
    packer = PipelinePacker(THREADS, engine, along=when == "along")
    judged = await packed(node, packer, MemoryStore())

    assert judged.totals is not None, judged.unread
    assert (9, engine.label) == (judged.totals.highest_database, judged.totals.by)
    client = node.client()
    info = await client.info("keyspace")
    await client.aclose()
    assert sum(database["keys"] for database in info.values()) == judged.totals.keys


async def test_without_an_engine_the_backup_says_so(node: Node, tmp_path: Path) -> None:
    """Where nothing can read the bytes the backup is stored all the same."""
    store = MemoryStore()
    judged = await packed(node, PipelinePacker(THREADS, None), store)

    assert [NAME] == list(store.objects)
    assert judged.totals is None
    assert judged.unread is not None
    assert "no engine" in judged.unread
