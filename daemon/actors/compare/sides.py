"""The two sides of a comparison on their way into private engines, all bytes checked (R5).

Knows what there is to know of a side before it is read, and how it is read. A live cache is a
fresh snapshot: one instant of it, at the price of a fork on its server.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from daemon.actors.holding import held
from daemon.actors.seams import ReadableVaults
from daemon.errors import Permanent
from daemon.ports import Offload, Progress
from daemon.storage.catalog import read_manifest
from daemon.storage.manifest import ShardObject
from daemon.storage.reader import Reading, check_opens, read_plain
from daemon.storage.sealing import Keys
from daemon.storage.vault import Vault
from daemon.valkey.engine import Engine
from daemon.valkey.loader import Loader
from daemon.valkey.rdb import RdbGuard
from daemon.valkey.source import Caches
from events.facts import CacheSettings, ServerFacts, SnapshotFacts
from projections.catalog import Backup
from projections.rdb_versions import newest_readable

MOST_DATABASES = 16_384
_UNKNOWN_DATABASES = 1_024
_NEVER = datetime.max.replace(tzinfo=UTC)


class Outside(Struct, frozen=True):
    """What comparisons need beside the ledger.

    `free_bytes` tells how much memory could be had now. Loads are made in `directory`.
    """

    vaults: ReadableVaults
    caches: Caches
    keys: Keys
    offload: Offload
    engines: tuple[Engine, ...]
    directory: Path
    free_bytes: Callable[[], int]


class Known(Struct, frozen=True):
    """What is known of a side before it is read; 0 as `rdb_version` or `plain_bytes` is unknown."""

    name: str
    rdb_version: int
    used_bytes: int
    databases: int
    plain_bytes: int = 0


class Side(Protocol):
    """One of the two."""

    @property
    def live(self) -> bool:
        """Whether a server keeps a fork for it while it is read."""
        ...

    async def look(self) -> Known:
        """What is known of it; reads nothing of the data."""
        ...

    async def prepare(self) -> None:
        """All that can fail before the first byte, and will: see `fill`."""
        ...

    async def fill(self, loader: Loader, progress: Progress) -> datetime:
        """Give an engine all of it, or as much as it takes; the instant that it is of.

        Raises `Transient` or `Permanent` with a hint; what was damaged on the way is not given
        whole.
        """
        ...


class StoredSide:
    """A stored backup."""

    live = False

    def __init__(self, outside: Outside, backup: Backup) -> None:
        self._outside = outside
        self._backup = backup
        self._opened: tuple[Vault, ShardObject, Reading, SnapshotFacts] | None = None

    async def look(self) -> Known:
        """See `Side`; all of it is in the log."""
        backup = self._backup
        snapshot, stored = backup.snapshot, backup.stored
        totals = stored.totals if stored else None
        highest = totals.highest_database + 1 if totals else _UNKNOWN_DATABASES
        plain_bytes = stored.plain_bytes if stored else 0
        return Known(
            name=f"backup {backup.cache}/{backup.name}",
            rdb_version=snapshot.rdb_version if snapshot else 0,
            used_bytes=snapshot.server.used_memory_bytes if snapshot else plain_bytes * 4,
            databases=_databases(highest, snapshot.server if snapshot else None),
            plain_bytes=plain_bytes,
        )

    async def prepare(self) -> None:
        """See `Side`: the manifest, the identity, the first block."""
        backup, outside = self._backup, self._outside
        vault = await outside.vaults.readable(backup.vault)
        sha256 = backup.stored.manifest_sha256 if backup.stored else None
        manifest = await read_manifest(
            vault, backup.cache, backup.backup_id, sha256, attempt=max(1, backup.attempts)
        )
        if len(manifest.shards) != 1:
            raise Permanent(
                "manifest-unreadable",
                f"The manifest of {backup.cache}/{backup.name} has {len(manifest.shards)} shards.",
                "Use the version of Valkeep that wrote it, or a newer one.",
            )
        shard, identities = manifest.shards[0], None
        if "age" in shard.codecs:
            identities = await outside.keys.identities(backup.vault)
        reading = Reading(outside.offload, guards=(RdbGuard(),), identities=identities)
        await check_opens(vault, shard, reading)
        self._opened = (vault, shard, reading, manifest.snapshot)

    async def fill(self, loader: Loader, progress: Progress) -> datetime:
        """See `Side`."""
        if self._opened is None:
            raise RuntimeError("it was not prepared")
        vault, shard, reading, snapshot = self._opened
        async with read_plain(vault, shard, reading) as chunks:
            await _feed(chunks, loader, progress)
        return _instant(snapshot)


class LiveSide:
    """A running cache, as it is when its snapshot is taken."""

    live = True

    def __init__(self, outside: Outside, name: str, settings: CacheSettings) -> None:
        self._outside = outside
        self._name = name
        self._settings = settings

    async def look(self) -> Known:
        """See `Side`: asks the server."""
        server = (await self._outside.caches.probe(self._settings)).server
        return Known(
            name=f"cache {self._name}",
            rdb_version=newest_readable(server.engine, server.version),
            used_bytes=server.used_memory_bytes,
            databases=_databases(0, server),
        )

    async def prepare(self) -> None:
        """See `Side`: a snapshot fails when it is taken, or not at all."""

    async def fill(self, loader: Loader, progress: Progress) -> datetime:
        """See `Side`; the fork is let go as soon as the engine has all of it."""
        guard = RdbGuard()
        async with held(self._outside.caches.snapshot(self._settings, progress)) as snapshot:
            progress.phase(f"loading a snapshot of {self._name}", snapshot.expected_bytes)
            async with aclosing(_guarded(snapshot.chunks(), guard)) as chunks:
                await _feed(chunks, loader, progress)
            if loader.failed:
                return _NEVER  # its verdict says why
            facts = await snapshot.facts()
        guard.finish()
        return _instant(facts)


async def _feed(chunks: AsyncGenerator[bytes, None], loader: Loader, progress: Progress) -> None:
    """What is fed on is not read for a loader that takes no more."""
    async for chunk in chunks:
        await loader.feed(chunk)
        progress.advance(len(chunk))
        if loader.failed:
            return


async def _guarded(
    chunks: AsyncGenerator[bytes, None], guard: RdbGuard
) -> AsyncGenerator[bytes, None]:
    async with aclosing(chunks) as source:
        async for chunk in source:
            guard.feed(chunk)
            yield chunk


def _instant(snapshot: SnapshotFacts) -> datetime:
    """By its server's own clock, where its RDB says so: keys expire by that one."""
    return snapshot.rdb_created_at or snapshot.taken_at


def _databases(highest: int, server: ServerFacts | None) -> int:
    """So many databases an engine must have for it."""
    return min(MOST_DATABASES, max(16, highest, server.databases if server else 0))
