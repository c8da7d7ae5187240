"""Primaries with replicas, as tests want them: in step, and put back in order afterwards."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import redis.asyncio

from daemon.valkey.engine import Engine
from tests.support.poll import until
from tests.support.servers import Node, command, start_node


@asynccontextmanager
async def asking(node: Node) -> AsyncGenerator[redis.asyncio.Redis, None]:
    """A client that is closed again."""
    client = node.client()
    try:
        yield client
    finally:
        await client.aclose()


async def said(node: Node, field: str) -> object:
    """One field of INFO."""
    async with asking(node) as client:
        found: dict[str, object] = await client.info()
        return found.get(field)


@asynccontextmanager
async def replica_of(
    engine: Engine, primary: Node, directory: Path, **settings: str
) -> AsyncGenerator[Node, None]:
    """A running replica in step, of which its primary knows that."""
    following = {"replicaof": f"127.0.0.1 {primary.port}"}
    async with start_node(engine, directory, **(following | settings)) as node:
        await in_step(node)
        yield node


async def in_step(node: Node) -> None:
    """Wait until a replica is linked, and has acknowledged it where it says who it follows."""

    async def linked() -> bool:
        return await said(node, "master_link_status") == "up"

    await until(linked, "the replica to be in step")


async def listed_online(primary: Node, replicas: int) -> None:
    """Wait until a node lists so many replicas that are online."""

    async def online() -> bool:
        async with asking(primary) as client:
            found = await client.info("replication")
        listed = [line for name, line in found.items() if name.startswith("slave")]
        states = [line["state"] for line in listed if isinstance(line, dict)]
        return states == ["online"] * replicas

    await until(online, f"{replicas} replicas to be online")


async def caught_up(primary: Node) -> None:
    """Wait until every replica of a node has acknowledged all that was written there before."""
    async with asking(primary) as client:
        written = int((await client.info("replication"))["master_repl_offset"])

        async def acknowledged() -> bool:
            found = await client.info("replication")
            lines = [line for name, line in found.items() if name.startswith("slave")]
            offsets = [int(line["offset"]) for line in lines if isinstance(line, dict)]
            return bool(offsets) and min(offsets) >= written

        await until(acknowledged, "its replicas to have what was written")


@asynccontextmanager
async def configured(*nodes: Node, **settings: str) -> AsyncGenerator[None, None]:
    """Settings of running nodes, for as long as the context lasts; ``_`` means ``-``."""
    before: list[tuple[Node, dict[str, str]]] = []
    for node in nodes:
        async with asking(node) as client:
            old: dict[str, str] = {}
            for name, value in settings.items():
                dashed = name.replace("_", "-")
                old[dashed] = str((await client.config_get(dashed))[dashed])
                await client.config_set(dashed, value)
            before.append((node, old))
    yield
    for node, old in before:
        async with asking(node) as client:
            for name, value in old.items():
                await client.config_set(name, value)


async def promote(node: Node) -> None:
    """``REPLICAOF NO ONE``."""
    async with asking(node) as client:
        await command(client, "REPLICAOF", "NO", "ONE")
