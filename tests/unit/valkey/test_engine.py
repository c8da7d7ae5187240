"""Engines are found, ranked and run in private; none of it needs the network."""

import os
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from daemon.errors import Permanent, Transient
from daemon.valkey.engine import Engine, configuration, find_engines, private_server, sound
from tests.support.servers import command, digest, fill, start_node

pytestmark = pytest.mark.anyio


def engine(kind: str, *, version: str) -> Engine:
    """An engine of a version, as if it had been found."""
    assert kind in {"valkey", "redis"}
    return Engine("/x", None, "valkey" if kind == "valkey" else "redis", version, "system")


@pytest.mark.parametrize(
    ("kind", "version", "expected"),
    [
        ("valkey", "8.1.8", False),
        ("valkey", "8.1.9", True),
        ("valkey", "8.0.99", False),
        ("valkey", "7.2.12", False),
        ("valkey", "9.0.4", False),
        ("valkey", "9.0.5", True),
        ("valkey", "9.1.0", False),
        ("valkey", "9.1.1", True),
        ("valkey", "9.2.0", True),
        ("valkey", "10.0.0", True),
        ("redis", "7.0.15", False),
        ("redis", "99.0.0", False),
    ],
)
def test_soundness_follows_the_fixed_versions(kind: str, version: str, *, expected: bool) -> None:
    """An engine is sound from the release on that closed its line's hole, and no Redis is."""
    assert expected is sound(engine(kind, version=version))


def test_settings_cannot_break_out_of_their_line() -> None:
    """A value with quotes, backslashes and newlines stays one argument of one setting."""
    assert b'requirepass "a\\"b\\\\c\\nport 1"\n' == configuration(
        {"requirepass": 'a"b\\c\nport 1'}
    )


async def test_the_wheels_engine_is_found_without_a_path() -> None:
    """An empty search path still gives the engine that the wheel brought."""
    (found,) = await find_engines("/nonexistent")

    assert ("valkey", "wheel") == (found.kind, found.origin)
    assert found.version.startswith("8.")
    assert found.cli is not None


@pytest.mark.debian("redis-server")
async def test_valkey_comes_before_redis() -> None:
    """A system Redis is found too, and ranks behind any Valkey."""
    kinds = [found.kind for found in await find_engines(os.defpath)]

    assert "valkey" == kinds[0]
    assert "redis" == kinds[-1]


async def test_a_private_server_answers_on_its_socket_only(tmp_path: Path) -> None:
    """A private server has no TCP port, saves nothing, and is gone after its context."""
    (found, *_) = await find_engines("")
    async with private_server(found, tmp_path, {"maxmemory": "100mb"}) as server:
        client = server.client()
        assert {"port": "0", "save": "", "maxmemory": "104857600"} == await client.config_get(
            "port", "save", "maxmemory"
        ) | {}
        await client.set("a", "b")
        await client.aclose()
    with pytest.raises((RedisError, OSError)):
        await server.client().ping()
    assert server.process.returncode is not None
    assert not (tmp_path / "dump.rdb").exists()


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """What the engine printed comes with the error."""
    (found, *_) = await find_engines("")
    with pytest.raises(Transient, match="no-such-setting") as caught:
        async with private_server(found, tmp_path, {"no-such-setting": "1"}):
            pass
    assert "engine-start" == caught.value.code


async def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    """A directory too deep for a Unix socket is refused by name, before anything runs."""
    (found, *_) = await find_engines("")
    with pytest.raises(Permanent) as caught:
        async with private_server(found, tmp_path / ("d" * 120), {}):
            pass
    assert "engine-socket" == caught.value.code


async def test_a_private_server_loads_the_dump_it_finds(tmp_path: Path) -> None:
    """A dump that lies in the directory is served, byte for byte, when the server is ready."""
    (found, *_) = await find_engines("")
    async with start_node(found, tmp_path / "node") as node:
        client = node.client()
        await fill(client)
        await command(client, "SAVE")
        expected = await digest(client)
        await client.aclose()
    settings = {"enable-debug-command": "local"}
    async with private_server(found, tmp_path / "node", settings) as server:
        client = server.client()
        assert expected == await digest(client)
        await client.aclose()


async def test_a_killed_node_comes_back_on_its_port(tmp_path: Path) -> None:
    """A test server that was killed starts again on the same port with what it had saved."""
    (found, *_) = await find_engines("")
    async with start_node(found, tmp_path, save="3600 1", appendonly="yes") as node:
        first, client = node.pid, node.client()
        assert {"save": "3600 1"} == await client.config_get("save")
        await client.set("a", "b")
        await command(client, "SAVE")
        await client.aclose()
        await node.kill()
        await node.start()
        client = node.client()
        assert b"b" == await client.get("a")
        assert first != node.pid
        await client.aclose()
