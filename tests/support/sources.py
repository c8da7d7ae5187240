"""Snapshots of real servers, taken as the daemon takes them, and what became of them."""

from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import anyio.to_thread
from msgspec import Struct

from daemon.ports import Offload
from daemon.valkey.caches import ServerCaches
from daemon.valkey.connection import Timeouts
from daemon.valkey.engine import Engine
from daemon.valkey.rdb import RdbGuard
from events.facts import CacheSettings, SnapshotFacts, SourceKind, VaultName
from tests.support.servers import digest, start_node

P = ParamSpec("P")
T = TypeVar("T")

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHORT = Timeouts(connect=2.0, command=2.0, stall=0.5)
PATIENT = Timeouts(connect=10.0, command=20.0, stall=20.0)


class AlwaysNoon:
    """A clock that stands still."""

    def now(self) -> datetime:
        """Noon."""
        return NOON


class Board:
    """A progress board that remembers the phases."""

    def __init__(self) -> None:
        self.phases: list[str] = []

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        """Remember the name."""
        self.phases.append(name if total_bytes is None else f"{name} {total_bytes}")

    def advance(self, moved_bytes: int) -> None:
        """Of no interest here."""


class Snap(Struct):
    """A snapshot that came whole."""

    data: bytes
    facts: SnapshotFacts
    expected_bytes: int | None
    phases: list[str]
    chunks: int


async def threads(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """An `Offload` over the event loop's own threads."""
    return await anyio.to_thread.run_sync(partial(function, *args, **kwargs))


def settings(url: str, source: SourceKind = "auto") -> CacheSettings:
    """A cache there."""
    return CacheSettings(url=url, vault=VaultName("main"), source=source)


def caches(
    password: str | None = None, timeouts: Timeouts = PATIENT, offload: Offload = threads
) -> ServerCaches:
    """The daemon's view of caches, all of which have this password."""
    return ServerCaches(lambda _: password, offload, AlwaysNoon(), timeouts)


async def take(seen_by: ServerCaches, cache: CacheSettings) -> Snap:
    """A whole snapshot, guarded as the pipeline guards it."""
    board, guard, parts = Board(), RdbGuard(), []
    async with seen_by.snapshot(cache, board) as snapshot:
        async with aclosing(snapshot.chunks()) as chunks:
            async for chunk in chunks:
                guard.feed(chunk)
                parts.append(chunk)
        guard.finish()
        facts = await snapshot.facts()
    return Snap(b"".join(parts), facts, snapshot.expected_bytes, board.phases, len(parts))


async def loaded(engine: Engine, data: bytes, directory: Path) -> tuple[str, bytes]:
    """The digest of what an engine of that kind holds after loading these bytes."""
    await anyio.Path(directory).mkdir(parents=True)
    await anyio.Path(directory, "dump.rdb").write_bytes(data)
    async with start_node(engine, directory) as node:
        client = node.client()
        try:
            return await digest(client)
        finally:
            await client.aclose()
