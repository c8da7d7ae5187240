"""A backup in a private engine of ours: which one, in how much memory, and loaded with its data.

Every byte is checked on its way in (R5). Nothing here knows a target.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from daemon.actors.restore.planning import known
from daemon.actors.seams import ReadableVaults
from daemon.errors import Permanent, Transient
from daemon.ports import Offload, Progress
from daemon.storage.catalog import read_manifest
from daemon.storage.manifest import ShardObject
from daemon.storage.reader import Reading, check_opens, read_plain
from daemon.storage.sealing import Identities
from daemon.storage.vault import Vault
from daemon.valkey.engine import Engine
from daemon.valkey.keys.store import AS_REPLICA, shows_expired, usable
from daemon.valkey.loader import Loaded, Loader, Room, rdb_loader
from daemon.valkey.rdb import RdbGuard
from events.facts import ServerFacts
from projections.catalog import Backup
from projections.rdb_versions import newest_readable, reads

NEEDED = 1.3
"""Of the memory that the source used, a load is given so much (DESIGN 7)."""
ADDRESSES_BYTES = 2 << 30
"""What an engine maps beside its data, and what it copies of it to pack it."""
MOST_DATABASES = 16_384
LOADING = "loading the backup"


class Workshop(Struct, frozen=True):
    """What a load is made with; see `EngineProver`, whose engines and memory these are too."""

    vaults: ReadableVaults
    offload: Offload
    engines: tuple[Engine, ...]
    directory: Path
    free_bytes: Callable[[], int]


class Source(Struct, frozen=True):
    """A stored backup that can be read, and how."""

    backup: Backup
    vault: Vault
    shard: ShardObject
    reading: Reading


class Filled(Struct, frozen=True):
    """A private engine with the backup in it."""

    engine: Engine
    socket: str
    loaded: Loaded


def engine_for(workshop: Workshop, backup: Backup, target: ServerFacts) -> Engine:
    """The best engine that reads the backup; one whose own format the target reads comes first."""
    snapshot, _ = known(backup)
    fitting = [
        engine
        for engine in workshop.engines
        if usable(engine) and reads(engine.kind, engine.version, snapshot.rdb_version)
    ]
    for engine in fitting:
        packs = newest_readable(engine.kind, engine.version)
        if reads(target.engine, target.version, packs):
            return engine
    if fitting:
        return fitting[0]
    raise Permanent(
        "engine-missing",
        f"No engine here reads RDB version {snapshot.rdb_version}, which the backup is of.",
        "Install valkey-server on Valkeep's host (7.2 or newer), or restore by replication.",
    )


async def source_of(workshop: Workshop, backup: Backup, identities: Identities | None) -> Source:
    """The backup's data, once its manifest has been found untouched."""
    _, stored = known(backup)
    vault = await workshop.vaults.readable(backup.vault)
    manifest = await read_manifest(
        vault, backup.cache, backup.backup_id, stored.manifest_sha256, attempt=backup.attempts
    )
    if len(manifest.shards) != 1:
        raise Permanent(
            "shards",
            f"The backup has {len(manifest.shards)} shards.",
            "Use a newer Valkeep: this one restores backups of single nodes.",
        )
    reading = Reading(workshop.offload, guards=(RdbGuard(),), identities=identities)
    await check_opens(vault, manifest.shards[0], reading)
    return Source(backup, vault, manifest.shards[0], reading)


@asynccontextmanager
async def filled(
    workshop: Workshop, engine: Engine, source: Source, progress: Progress
) -> AsyncGenerator[Filled, None]:
    """An engine that has loaded all of it, for as long as the context lasts."""
    room = _room(workshop, engine, source.backup)
    progress.phase(LOADING, source.shard.plain_bytes)
    async with rdb_loader(engine, room) as loader:
        await _fed(loader, source, progress)
        found = await loader.verdict()
        if not isinstance(found, Loaded):
            raise Permanent(
                "engine-load",
                f"The backup cannot be loaded here: {found.reason}",
                "Nothing was changed on the target. Restore by replication, which lets the "
                "target's own engine load it.",
            )
        yield Filled(engine, loader.socket, found)


async def _fed(loader: Loader, source: Source, progress: Progress) -> None:
    async with read_plain(source.vault, source.shard, source.reading) as chunks:
        async for chunk in chunks:
            await loader.feed(chunk)
            progress.advance(len(chunk))
            if loader.failed:
                return


def _room(workshop: Workshop, engine: Engine, backup: Backup) -> Room:
    """The memory for a load; raises `Transient("engine-memory")` where there is not enough."""
    snapshot, stored = known(backup)
    needed, free = int(snapshot.server.used_memory_bytes * NEEDED), workshop.free_bytes()
    if free < needed:
        raise Transient(
            "engine-memory",
            f"Loading the backup here takes {needed:,} bytes of memory (1.3 times what its source "
            f"used), and {free:,} are free.",
            "Free memory on Valkeep's host, or restore by replication, which needs none here.",
        )
    highest = stored.totals.highest_database + 1 if stored.totals else 1_024
    databases = max(16, snapshot.server.databases, highest)
    return Room(
        directory=workshop.directory,
        memory_bytes=needed + ADDRESSES_BYTES,
        databases=min(databases, MOST_DATABASES),
        options=AS_REPLICA if shows_expired(engine) else (),
        nice=0,  # Somebody waits for it, and the target is not kept from its work.
    )
