"""Both snapshot sources against real servers: whole data, every way in, every way to fail."""

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest
import redis.asyncio
import redis.exceptions

from daemon.errors import Failed, Permanent, Transient
from daemon.valkey.checker import Limits, rdb_checker
from daemon.valkey.connection import Timeouts
from daemon.valkey.engine import Engine, find_engines
from events.facts import CacheSettings, RdbTotals, SourceKind
from tests.support.poll import until
from tests.support.servers import Node, command, digest, fill, free_port, start_node
from tests.support.sources import (
    NOON,
    SHORT,
    Board,
    caches,
    loaded,
    settings,
    take,
)
from tests.support.tampering import FlipAt, tampered

pytestmark = pytest.mark.anyio

PASSWORD = "a pass'word\u00fc"
ENGINES = ("valkey", pytest.param("redis", marks=pytest.mark.debian("redis-server")))
SOURCES: tuple[SourceKind, ...] = ("bgsave", "replication")
LARGE_BYTES = 64 << 20


@pytest.fixture(scope="session")
async def engine() -> Engine:
    """The wheel's engine."""
    return (await find_engines(""))[0]


async def engine_of(kind: str) -> Engine:
    """The engine of that kind that is installed."""
    return next(found for found in await find_engines(os.defpath) if found.kind == kind)


@asynccontextmanager
async def asking(node: Node) -> AsyncGenerator[redis.asyncio.Redis, None]:
    """A client that is closed again."""
    client = node.client()
    try:
        yield client
    finally:
        await client.aclose()


async def info(node: Node, section: str) -> dict[str, object]:
    """A section of INFO."""
    async with asking(node) as client:
        found: dict[str, object] = await client.info(section)
        return found


async def fill_large(node: Node) -> None:
    """More data than any socket buffer holds, stored as it is."""
    async with asking(node) as client:
        await client.config_set("rdbcompression", "no")
        await command(client, "DEBUG", "POPULATE", 2000, "large", LARGE_BYTES // 2000)


async def failure(cache: CacheSettings, password: str | None = None) -> Failed:
    """What taking a snapshot fails with."""
    with pytest.raises(Failed) as raised:
        await take(caches(password), cache)
    assert raised.value.hint
    assert PASSWORD not in f"{raised.value.message} {raised.value.hint}"
    return raised.value


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize(
    ("source", "diskless"), [("bgsave", "yes"), ("replication", "yes"), ("replication", "no")]
)
async def test_every_way_in_gives_the_whole_data(
    kind: str, source: SourceKind, diskless: str, tmp_path: Path
) -> None:
    """TCP and Unix socket, by password and by ACL user: each snapshot loads to equal data."""
    engine = await engine_of(kind)
    configured = {"requirepass": PASSWORD, "repl_diskless_sync": diskless}
    async with start_node(engine, tmp_path / "node", **configured) as node:
        async with asking(node) as client:
            await fill(client)
            rights = ["+info", "+ping", "+replconf", "+psync", "+time", "+bgsave", "+config|get"]
            await command(client, "ACL", "SETUSER", "backup", "on", f">{PASSWORD}", *rights)
            expected = await digest(client)
        urls = (
            node.url,
            node.unix_url,
            node.url.replace("//", "//backup@"),
            f"{node.unix_url}?user=backup",
        )
        for number, url in enumerate(urls):
            snap = await take(caches(PASSWORD), settings(url, source))
            assert expected == await loaded(engine, snap.data, tmp_path / str(number))
            assert snap.facts.source == source
            framed = source == "replication" and diskless == "yes"
            assert snap.expected_bytes == (None if framed else len(snap.data))
        assert (await info(node, "replication"))["connected_slaves"] == 0


@pytest.mark.parametrize("source", SOURCES)
async def test_server_without_passwords_is_read_by_an_engines_checker(
    engine: Engine, source: SourceKind, tmp_path: Path
) -> None:
    """The bytes pass the engine's own RDB checker, which finds every key."""
    async with start_node(engine, tmp_path) as node:
        async with asking(node) as client:
            await fill(client)
        snap = await take(caches(), settings(node.url, source))
    async with rdb_checker(engine, Limits()) as checker:
        await checker.feed(snap.data)
        verdict = await checker.verdict()
    assert isinstance(verdict, RdbTotals)
    assert verdict.keys == sum(snap.facts.server.keys.values())
    assert verdict.highest_database == 9


@pytest.mark.parametrize("source", SOURCES)
async def test_facts_are_of_the_snapshots_own_instant(
    engine: Engine, source: SourceKind, tmp_path: Path
) -> None:
    """Version, creation time, offset, fork and copying are recorded beside the server's facts."""
    async with start_node(engine, tmp_path) as node:
        await take(caches(), settings(node.url, "replication"))  # Makes the backlog count.
        async with asking(node) as client:
            await client.set("a", "b")
        before = (await info(node, "replication"))["master_repl_offset"]
        snap = await take(caches(), settings(node.url, source))
        replication = await info(node, "replication")
    assert snap.facts.server.replication_offset == before
    assert snap.facts.server.replication_id == replication["master_replid"]
    assert snap.facts.taken_at == NOON
    assert snap.facts.rdb_version == int(snap.data[5:9])
    assert snap.facts.rdb_created_at is not None
    assert snap.facts.fork_seconds is not None
    assert 0 <= snap.facts.fork_seconds < 10
    assert snap.facts.copy_on_write_bytes is not None
    assert snap.facts.copy_on_write_bytes > 0
    assert snap.facts.server.keys == {0: 1}


async def test_auto_takes_the_file_where_it_can_be_read(engine: Engine, tmp_path: Path) -> None:
    """On the same host with a readable folder it is bgsave, and the reason is recorded."""
    async with start_node(engine, tmp_path) as node:
        snap = await take(caches(), settings(node.url))
    assert snap.facts.source == "bgsave"
    assert str(tmp_path) in snap.facts.reason
    assert snap.phases[-1] == f"reading {len(snap.data)}"


async def test_auto_does_without_rights_to_save(engine: Engine, tmp_path: Path) -> None:
    """A user who may replicate but not save gets a snapshot all the same."""
    async with start_node(engine, tmp_path) as node:
        async with asking(node) as client:
            rights = ["+info", "+ping", "+replconf", "+psync", "+config|get"]
            await command(client, "ACL", "SETUSER", "backup", "on", "nopass", *rights)
        snap = await take(caches(), settings(node.url.replace("//", "//backup@")))
    assert snap.facts.source == "replication"
    assert "BGSAVE" in snap.facts.reason


async def test_large_snapshots_come_in_large_portions(engine: Engine, tmp_path: Path) -> None:
    """Portions are large enough that handling each costs next to nothing, on any transport."""
    async with start_node(engine, tmp_path) as node:
        await fill_large(node)
        for url in (node.url, node.unix_url):
            snap = await take(caches(), settings(url, "replication"))
            assert len(snap.data) > LARGE_BYTES
            assert snap.chunks <= len(snap.data) / (200 << 10)


@pytest.mark.parametrize("diskless", ["yes", "no"])
async def test_server_without_rdb_only_is_left_at_the_end_mark(
    engine: Engine, diskless: str, tmp_path: Path
) -> None:
    """A server that knows no rdb-only would go on: the snapshot ends where the RDB does."""
    async with start_node(engine, tmp_path / "node", repl_diskless_sync=diskless) as node:
        async with asking(node) as client:
            await fill(client)
            expected = await digest(client)
        async with tampered(node.port, to_server=without_rdb_only) as port:
            url = f"valkey://127.0.0.1:{port}"
            snap = await take(caches(), settings(url, "replication"))
    assert expected == await loaded(engine, snap.data, tmp_path / "loaded")


def without_rdb_only(data: bytes) -> bytes:
    """The option under a name that no server knows."""
    return data.replace(b"rdb-only", b"rdb-lone")


async def test_keep_alives_are_signs_of_life(engine: Engine, tmp_path: Path) -> None:
    """Waiting for the fork longer than the stall limit is no stall while newlines come."""
    limits = Timeouts(connect=2.0, command=2.0, stall=1.6)
    async with start_node(engine, tmp_path, repl_diskless_sync_delay="3") as node:
        snap = await take(caches(timeouts=limits), settings(node.url, "replication"))
    assert snap.phases == ["connecting", "waiting for the fork", "reading"]
    assert snap.facts.fork_seconds is not None
    assert snap.facts.fork_seconds < 1.6


@asynccontextmanager
async def begun(
    node: Node, source: SourceKind, timeouts: Timeouts = SHORT
) -> AsyncGenerator[AsyncGenerator[bytes, None]]:
    """The rest of a large snapshot, of which the first portion has been read."""
    await fill_large(node)
    ours = caches(timeouts=timeouts)
    async with (
        ours.snapshot(settings(node.url, source), Board()) as snapshot,
        aclosing(snapshot.chunks()) as chunks,
    ):
        assert await anext(chunks)
        yield chunks


async def rest_of(chunks: AsyncGenerator[bytes, None]) -> str:
    """The code that reading on fails with."""
    with pytest.raises(Transient) as raised:
        async for _ in chunks:
            pass
    assert raised.value.hint
    return raised.value.code


@pytest.mark.parametrize("diskless", ["yes", "no"])
async def test_server_that_dies_in_the_middle_is_noticed(
    engine: Engine, diskless: str, tmp_path: Path
) -> None:
    """A stream cut by kill -9 is a failure in both framings, never a shorter backup.

    The limit is above the second between the newlines that come while the file is written.
    """
    limits = Timeouts(connect=2.0, command=2.0, stall=10.0)
    async with (
        start_node(engine, tmp_path, repl_diskless_sync=diskless) as node,
        begun(node, "replication", limits) as chunks,
    ):
        await node.kill()
        assert await rest_of(chunks) == "source-ended-early"


async def test_server_that_freezes_in_the_middle_is_noticed(engine: Engine, tmp_path: Path) -> None:
    """A stream that stops without ending fails after the stall limit."""
    async with start_node(engine, tmp_path) as node, begun(node, "replication") as chunks:
        node.pause()
        assert await rest_of(chunks) == "source-stalled"


async def test_slow_reader_slows_the_server(engine: Engine, tmp_path: Path) -> None:
    """Nothing is read ahead: while nobody asks for more, the server's child waits."""
    async with start_node(engine, tmp_path) as node, begun(node, "replication") as chunks:
        assert (await info(node, "persistence"))["rdb_bgsave_in_progress"] == 1
        async for _ in chunks:
            pass
        await until(lambda: no_child(node), "the child to end")


async def no_child(node: Node) -> bool:
    """Whether no save runs."""
    return (await info(node, "persistence"))["rdb_bgsave_in_progress"] == 0


async def test_snapshot_that_is_left_ends_the_servers_child(engine: Engine, tmp_path: Path) -> None:
    """Leaving early closes the connection, so that the server stops saving for us."""
    async with start_node(engine, tmp_path) as node:
        async with begun(node, "replication"):
            pass
        await until(lambda: no_child(node), "the child to end")
        assert (await info(node, "replication"))["connected_slaves"] == 0


async def test_file_that_shrinks_while_it_is_read_is_noticed(
    engine: Engine, tmp_path: Path
) -> None:
    """A saved file that is cut while we read it is a failure, never a shorter backup."""
    async with start_node(engine, tmp_path) as node, begun(node, "bgsave") as chunks:
        os.truncate(tmp_path / "dump.rdb", 2 << 20)
        assert await rest_of(chunks) == "source-ended-early"


@pytest.mark.parametrize("at", [200, 5_000_000])
async def test_byte_that_changes_on_its_way_is_found(
    engine: Engine, at: int, tmp_path: Path
) -> None:
    """One flipped bit, near the beginning or far in, fails the checksum."""
    async with start_node(engine, tmp_path) as node:
        await fill_large(node)
        async with tampered(node.port, to_client=FlipAt(at)) as port:
            error = await failure(settings(f"valkey://127.0.0.1:{port}", "replication"))
    assert error.code == "rdb-checksum"


@pytest.mark.parametrize("source", SOURCES)
async def test_wrong_password_is_permanent(
    engine: Engine, source: SourceKind, tmp_path: Path
) -> None:
    """No other try can help against a wrong or missing password; the hint says what can."""
    async with start_node(engine, tmp_path, requirepass=PASSWORD) as node:
        for wrong in (None, "wrong"):
            error = await failure(settings(node.url, source), wrong)
            assert isinstance(error, Permanent)
            assert error.code == "cache-auth"
            assert "password_file" in error.hint


@pytest.mark.parametrize(
    ("source", "lacking"),
    [
        ("bgsave", "bgsave"),
        ("bgsave", "time"),
        ("replication", "psync"),
        ("replication", "replconf"),
        ("replication", "ping"),
        ("replication", "info"),
    ],
)
async def test_missing_right_is_named_with_the_line_that_grants_it(
    engine: Engine, source: SourceKind, lacking: str, tmp_path: Path
) -> None:
    """Whichever right an ACL user lacks, the error holds what to type on the server."""
    async with start_node(engine, tmp_path) as node:
        async with asking(node) as client:
            await command(client, "ACL", "SETUSER", "b", "on", "nopass", "+@all", f"-{lacking}")
        error = await failure(settings(node.url.replace("//", "//b@"), source))
    assert isinstance(error, Permanent)
    assert error.code == "cache-rights"
    assert "ACL SETUSER b " in error.hint
    assert f"+{lacking}" in error.hint


async def test_server_that_loads_is_worth_another_try(engine: Engine, tmp_path: Path) -> None:
    """LOADING is a passing state."""
    async with start_node(engine, tmp_path) as node, asking(node) as client:
        await command(client, "DEBUG", "POPULATE", 20_000)
        await client.config_set("key-load-delay", "500")
        await client.config_set("loading-process-events-interval-bytes", "1024")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reload, node)
            await until(lambda: is_loading(node), "the server to load")
            error = await failure(settings(node.url, "replication"))
            await node.kill()
    assert isinstance(error, Transient)
    assert error.code == "cache-loading"


async def reload(node: Node) -> None:
    """Have the server load its data again, which ends with the server here."""
    async with asking(node) as client:
        with suppress(redis.exceptions.RedisError):
            await command(client, "DEBUG", "RELOAD")


async def is_loading(node: Node) -> bool:
    """Whether the server says so."""
    return (await info(node, "persistence"))["loading"] == 1


async def test_replica_is_a_source_while_it_has_its_primary(engine: Engine, tmp_path: Path) -> None:
    """A replica in step gives the data; one that lost its primary is refused."""
    async with start_node(engine, tmp_path / "primary") as primary:
        async with asking(primary) as client:
            await fill(client)
            expected = await digest(client)
        following = f"127.0.0.1 {primary.port}"
        async with start_node(engine, tmp_path / "r", replicaof=following) as replica:
            await until(lambda: in_step(replica), "the replica to be in step")
            for source in SOURCES:
                snap = await take(caches(), settings(replica.url, source))
                assert snap.facts.server.role == "replica"
                assert expected == await loaded(engine, snap.data, tmp_path / source)
            await primary.kill()
            await until(lambda: out_of_step(replica), "the replica to notice")
            for source in SOURCES:
                assert (await failure(settings(replica.url, source))).code == "replica-unlinked"


async def in_step(node: Node) -> bool:
    """Whether a replica has its primary."""
    return (await info(node, "replication"))["master_link_status"] == "up"


async def out_of_step(node: Node) -> bool:
    """Whether it has lost it."""
    return not await in_step(node)


async def test_node_of_a_cluster_is_refused(engine: Engine, tmp_path: Path) -> None:
    """A cluster's node holds a part, and a part is never taken for the whole."""
    async with start_node(
        engine, tmp_path, cluster_enabled="yes", cluster_port=str(free_port())
    ) as node:
        error = await failure(settings(node.url))
    assert isinstance(error, Permanent)
    assert error.code == "topology"


async def test_nobody_there(tmp_path: Path) -> None:
    """A server that is not running is unreachable over TCP and socket, worth another try."""
    for url in ("valkey://127.0.0.1:1", f"unix://{tmp_path}/none.sock"):
        error = await failure(settings(url))
        assert isinstance(error, Transient)
        assert error.code == "cache-unreachable"
