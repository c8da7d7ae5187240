"""What a probe finds on real servers, and how it bears refusals and strangers."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest
from anyio.abc import SocketAttribute, SocketStream

from daemon.errors import Failed, Permanent, Transient
from daemon.valkey.address import parse
from daemon.valkey.connection import Credentials, Login, open_node
from daemon.valkey.engine import find_engines
from events.facts import Probe
from tests.support.poll import until
from tests.support.servers import DATABASES, Node, command, fill, free_port, start_node
from tests.support.sources import PATIENT, SHORT, Board, caches, settings

pytestmark = pytest.mark.anyio

PASSWORD = "canary hunter2"
ENGINES = ("valkey", pytest.param("redis", marks=pytest.mark.debian("redis-server")))


@asynccontextmanager
async def a_node(kind: str, directory: Path, **configured: str) -> AsyncGenerator[Node, None]:
    """A running server of that kind."""
    engine = next(found for found in await find_engines(os.defpath) if found.kind == kind)
    async with start_node(engine, directory, **configured) as node:
        yield node


async def do(node: Node, *words: str) -> object:
    """One command by another client."""
    client = node.client()
    try:
        return await command(client, *words)
    finally:
        await client.aclose()


async def limited(node: Node, *rights: str) -> str:
    """The URL of a user with these rights only."""
    await do(node, "ACL", "SETUSER", "b", "reset", "on", f">{PASSWORD}", *rights)
    return node.url.replace("//", "//b@")


@pytest.mark.parametrize("kind", ENGINES)
async def test_probe_tells_what_is_there(kind: str, tmp_path: Path) -> None:
    """Engine, data, settings, functions and user names are found; hashes and secrets are not."""
    async with a_node(kind, tmp_path, requirepass=PASSWORD, masterauth=PASSWORD) as node:
        client = node.client()
        await fill(client, keys=20)
        await client.aclose()
        await do(node, "ACL", "SETUSER", "alice", "on", ">secret-of-alice")
        await do(node, "CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru")
        probe = await caches(PASSWORD).probe(settings(node.url))
    found = probe.server
    assert (found.engine, found.role) == (kind, "primary")
    assert found.version.startswith("8." if kind == "valkey" else "7.")
    assert tuple(found.keys) == DATABASES
    assert found.databases == 16
    assert found.maxmemory_bytes == 100 << 20
    assert found.system_memory_bytes > found.used_memory_bytes > 0
    assert found.functions == ("warehouse",)
    assert found.acl_users == ("alice", "default")
    assert found.settings["maxmemory-policy"] == "allkeys-lru"
    assert found.settings["rdbcompression"] == "yes"
    assert found.unknown == ()
    assert probe.missing_rights is None
    assert probe.choice.source == "bgsave"
    written = msgspec.json.encode(probe).decode()
    assert PASSWORD not in written
    assert "secret-of-alice" not in written
    assert "#" not in written


@pytest.mark.parametrize("kind", ENGINES)
async def test_refusals_are_listed_and_rights_named(kind: str, tmp_path: Path) -> None:
    """A user who may do little still gets a probe, and the line that gives what is missing."""
    async with a_node(kind, tmp_path) as node:
        url = await limited(node, "+info", "+ping")
        probe = await caches(PASSWORD).probe(settings(url))
        assert "CONFIG GET" in probe.server.unknown
        assert "ACL USERS" in probe.server.unknown
        assert probe.choice.source == "replication"
        assert probe.missing_rights == "ACL SETUSER b +replconf +psync"

        probe = await caches(PASSWORD).probe(settings(url, "bgsave"))
        assert probe.missing_rights == "ACL SETUSER b +config|get +time +bgsave"


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("source", ["bgsave", "replication"])
async def test_named_rights_are_enough(kind: str, source: str, tmp_path: Path) -> None:
    """After the line that a probe named was typed in, nothing is missing any more."""
    async with a_node(kind, tmp_path) as node:
        url = await limited(node, "+info")
        wanted = settings(url, "bgsave" if source == "bgsave" else "replication")
        line = (await caches(PASSWORD).probe(wanted)).missing_rights
        assert line is not None
        await do(node, *line.split())
        probe = await caches(PASSWORD).probe(wanted)
        assert probe.missing_rights is None
        async with caches(PASSWORD).snapshot(wanted, Board()) as snapshot:
            assert [chunk async for chunk in snapshot.chunks()]


@pytest.mark.parametrize("kind", ENGINES)
async def test_looking_changes_nothing(kind: str, tmp_path: Path) -> None:
    """Finding out about rights starts no save and no synchronisation."""
    async with a_node(kind, tmp_path) as node:
        url = await limited(node, "+@all", "-acl|dryrun")
        for source in ("bgsave", "replication"):
            wanted = settings(url, "bgsave" if source == "bgsave" else "replication")
            assert (await caches(PASSWORD).probe(wanted)).missing_rights is None
        client = node.client()
        found = await client.info()
        await client.aclose()
    assert found["rdb_saves"] == 0
    assert found["sync_full"] == 0
    assert found["latest_fork_usec"] == 0
    assert found["connected_slaves"] == 0


async def test_user_without_info_is_told_so(tmp_path: Path) -> None:
    """Without INFO there is nothing to say, so that is an error with the line to type."""
    async with a_node("valkey", tmp_path) as node:
        error = await failure(await limited(node, "+ping"))
    assert isinstance(error, Permanent)
    assert error.code == "cache-rights"
    assert "ACL SETUSER b +info" in error.hint


async def test_replica_cluster_and_sentinel_are_seen(tmp_path: Path) -> None:
    """Roles and topologies are reported, not refused: a probe is a look."""
    async with a_node("valkey", tmp_path / "p") as primary:
        following = f"127.0.0.1 {primary.port}"
        async with a_node("valkey", tmp_path / "r", replicaof=following) as replica:
            await until(lambda: has_replica(primary), "the replica to come")
            assert (await caches().probe(settings(replica.url))).server.role == "replica"
            assert (await caches().probe(settings(primary.url))).server.replicas == 1
        watcher = primary.client()
        async with watcher.pubsub() as listening:
            await listening.subscribe("__sentinel__:hello")
            await listening.execute_command("CLIENT", "SETNAME", "sentinel-1a2b-pubsub")
            await until(lambda: sentinel_seen(primary), "the name to show")
        await watcher.aclose()
    async with a_node(
        "valkey", tmp_path / "c", cluster_enabled="yes", cluster_port=str(free_port())
    ) as node:
        assert (await caches().probe(settings(node.url))).server.cluster


async def has_replica(node: Node) -> bool:
    """Whether a replica is connected."""
    return (await caches().probe(settings(node.url))).server.replicas == 1


async def sentinel_seen(node: Node) -> bool:
    """Whether a probe tells of a Sentinel."""
    return (await caches().probe(settings(node.url))).server.sentinel


async def test_file_that_cannot_be_read_means_replication(tmp_path: Path) -> None:
    """Where the daemon cannot read the server's file, auto says so and reads the stream."""
    async with a_node("valkey", tmp_path) as node:
        await anyio.Path(tmp_path, "dump.rdb").mkdir()
        probe = await caches().probe(settings(node.url))
    assert probe.choice.source == "replication"
    assert "cannot read" in probe.choice.reason
    assert probe.missing_rights is None


async def failure(url: str, password: str | None = PASSWORD) -> Failed:
    """What a probe fails with."""
    with pytest.raises(Failed) as raised:
        await caches(password, SHORT).probe(settings(url))
    assert raised.value.hint
    assert PASSWORD not in f"{raised.value.message} {raised.value.hint}"
    return raised.value


async def test_password_that_nobody_asked_for(tmp_path: Path) -> None:
    """A server without a password says so, and the hint tells to take ours away."""
    async with a_node("valkey", tmp_path) as node:
        error = await failure(node.url)
    assert error.code == "cache-auth"
    assert "remove password_file" in error.hint


async def test_frozen_server_is_given_up_in_time(tmp_path: Path) -> None:
    """A server that takes the connection and says nothing fails after the command's limit."""
    async with a_node("valkey", tmp_path) as node:
        node.pause()
        error = await failure(node.url, None)
        node.resume()
    assert isinstance(error, Transient)
    assert error.code == "cache-timeout"


async def test_name_that_nobody_knows() -> None:
    """A host name without an address is unreachable, and the hint speaks of names."""
    error = await failure("valkey://no-such-host.invalid")
    assert error.code == "cache-unreachable"
    assert "name" in error.hint


async def test_web_server_is_no_cache() -> None:
    """What answers in another protocol is named as that, for good."""

    async def answer(client: SocketStream) -> None:
        async with client:
            await client.receive()
            await client.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        error = await failure(f"valkey://127.0.0.1:{port}")
        tasks.cancel_scope.cancel()
    assert isinstance(error, Permanent)
    assert error.code == "cache-protocol"


async def test_password_is_asked_for_at_each_connection(tmp_path: Path) -> None:
    """A rotated password works at once: nothing remembers the old one."""
    async with a_node("valkey", tmp_path, requirepass="first") as node:
        words = ["first"]
        ours = caches()
        ours._secrets = lambda _: words[-1]
        await ours.probe(settings(node.url))
        await do(node, "CONFIG", "SET", "requirepass", "second")
        words.append("second")
        found: Probe = await ours.probe(settings(node.url))
    assert found.server.engine == "valkey"


def test_credentials_keep_their_secret() -> None:
    """Neither repr nor str of what holds a password shows it."""
    login = Login(parse("valkey://b@cache"), Credentials("b", PASSWORD))
    assert PASSWORD not in f"{login} {login!r} {login.credentials} {login.credentials!r}"
    assert PASSWORD not in repr(open_node(login, PATIENT))
