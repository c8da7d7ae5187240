"""Backup, disaster, restore: the cache holds again what it held, and keeps it through kill -9."""

import hashlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Literal, NamedTuple

import anyio
import pytest

from daemon.answers import BackupDetail
from daemon.valkey.engine import Engine
from events.facts import SourceKind
from tests.support.daemon import (
    S3_KEYS,
    DaemonProcess,
    directory_vault,
    installation,
    s3_vault,
)
from tests.support.nursery import Nursery
from tests.support.outcome import data_of, is_at_rest, settings_of
from tests.support.s3 import rclone_s3
from tests.support.servers import Node, command, fill, start_node

pytestmark = pytest.mark.anyio

Mode = Literal["swapdb", "disabled"]
MIB = 1 << 20


class Way(NamedTuple):
    """How a cache is backed up, and what it is like when it is restored into."""

    source: SourceKind
    mode: Mode
    aof: Literal["yes", "no"]

    def settings(self) -> dict[str, str]:
        """For the engine; without AOF a swapped-in dataset is only as durable as save points."""
        save = "3600 1" if self.aof == "no" and self.mode == "swapdb" else ""
        return {"repl_diskless_load": self.mode, "appendonly": self.aof, "save": save}


WAYS = [
    Way(source, mode, aof)
    for source in ("bgsave", "replication")
    for mode in ("swapdb", "disabled")
    for aof in ("yes", "no")
]


@pytest.fixture(scope="module", params=["directory", "s3"])
async def daemon(
    request: pytest.FixtureRequest, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[DaemonProcess, None]:
    """A running daemon with each kind of vault in turn."""
    folder = tmp_path_factory.mktemp("vault")
    if request.param == "directory":
        async with installation(nursery, directory_vault(folder)) as daemon:
            await daemon.start()
            yield daemon
        return
    async with (
        rclone_s3(folder / "s3") as server,
        installation(nursery, s3_vault(server), S3_KEYS) as daemon,
    ):
        await daemon.start()
        yield daemon


async def wrecked(node: Node) -> None:
    """Everything is gone, and something else is there."""
    client = node.client()
    await client.flushall()
    await command(client, "FUNCTION", "FLUSH")
    await client.set("rubbish", "yes")
    await client.sadd("k:1", "a set, where a string was")
    await client.aclose()


async def there_and_back(daemon: DaemonProcess, node: Node, cache: str, source: SourceKind) -> None:
    """Back a filled node up, wreck it, restore it, kill it: the data is the same each time."""
    held, settings = await data_of(node), await settings_of(node)
    await daemon.add(cache, url=node.url, source=source)
    backup = await daemon.backup(cache, name="before-the-accident")
    assert backup.phase == "complete", backup.failure
    await wrecked(node)
    assert await data_of(node) != held

    restore = await daemon.restore(backup.backup_id, to=cache)

    assert restore.phase == "completed", restore.failure
    assert restore.result is not None
    assert restore.result.durability.startswith("durable")
    await node.kill()
    await node.start()
    assert await data_of(node) == held
    await is_at_rest(node, settings)


@pytest.mark.parametrize("way", WAYS, ids="-".join)
async def test_a_wrecked_cache_comes_back(
    daemon: DaemonProcess, engines: dict[str, Engine], short_path: Path, way: Way
) -> None:
    """Every kind of value, expiry, database and function is restored and survives `kill -9`."""
    async with start_node(engines["valkey"], short_path, **way.settings()) as node:
        client = node.client()
        await fill(client)
        await client.aclose()
        await there_and_back(daemon, node, "-".join(way), way.source)


@pytest.mark.parametrize(
    "way", [Way("bgsave", "disabled", "yes"), Way("replication", "swapdb", "no")], ids="-".join
)
async def test_a_value_of_100_megabytes_comes_back(
    daemon: DaemonProcess, engines: dict[str, Engine], short_path: Path, way: Way
) -> None:
    """One large value, the end of which cannot be compressed, is restored like any other."""
    settings = way.settings() | {"rdbcompression": "no"}
    async with start_node(engines["valkey"], short_path, **settings) as node:
        client = node.client()
        await client.setrange("large", 100 * MIB, hashlib.shake_128(b"end").digest(MIB))
        await client.aclose()
        await there_and_back(daemon, node, f"large-{way.source}", way.source)


@pytest.mark.debian("redis-server")
@pytest.mark.parametrize(
    "way", [Way("bgsave", "disabled", "yes"), Way("replication", "swapdb", "no")], ids="-".join
)
async def test_a_wrecked_redis_comes_back(
    daemon: DaemonProcess, engines: dict[str, Engine], short_path: Path, way: Way
) -> None:
    """The same holds for Redis 7.0, which is backed up and restored without any Valkey."""
    async with start_node(engines["redis"], short_path, **way.settings()) as node:
        client = node.client()
        await fill(client)
        await client.aclose()
        await there_and_back(daemon, node, f"redis-{way.source}", way.source)


async def test_a_result_that_is_in_memory_only_is_called_so(
    daemon: DaemonProcess, engines: dict[str, Engine], short_path: Path
) -> None:
    """A target that never saves and swaps the data in loses it by `kill -9`, and we say so."""
    async with start_node(engines["valkey"], short_path, repl_diskless_load="swapdb") as node:
        client = node.client()
        await fill(client)
        await client.aclose()
        held = await data_of(node)
        await daemon.add("volatile", url=node.url)
        backup = await daemon.backup("volatile", name="b")
        restore = await daemon.restore(backup.backup_id, to="volatile")

        assert restore.result is not None
        assert "in memory only" in restore.result.durability
        assert await data_of(node) == held


@pytest.mark.debian("zstd")
async def test_a_stored_backup_opens_with_public_tools(
    nursery: Nursery, engines: dict[str, Engine], short_path: Path
) -> None:
    """`zstd -d` gives an RDB that the engine's own checker calls good."""
    config = directory_vault(short_path / "vault")
    async with (
        installation(nursery, config) as daemon,
        start_node(engines["valkey"], short_path / "n") as node,
    ):
        client = node.client()
        await fill(client)
        await client.aclose()
        await daemon.start()
        await daemon.add("orders", url=node.url)
        backup = await daemon.backup("orders", name="b")
        detail = await daemon.get(BackupDetail, "backups", backup.backup_id)

    (place,) = detail.objects
    dump = short_path / "dump.rdb"
    await anyio.run_process(["zstd", "-d", "-q", place.removeprefix("file://"), "-o", str(dump)])
    # The engine is the checker when it is called so.
    checker = short_path / "valkey-check-rdb"
    checker.symlink_to(engines["valkey"].server)
    checked = await anyio.run_process([str(checker), str(dump)], check=False)
    assert checked.returncode == 0, checked.stdout.decode()
    assert f"{backup.keys} keys read" in checked.stdout.decode()
