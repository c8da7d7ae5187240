"""Proving a stored backup: as far as engine, memory and keys allow, and why no further.

Knows the three levels and the way down from each (DESIGN 7). What was found in the stored bytes
is raised as `Permanent` with a code in `DAMAGE`; any other error says nothing of the backup.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import anyio
from msgspec import Struct
from msgspec.structs import replace

from daemon.actors.verify.census import Counting, Served, Told, no_census
from daemon.errors import Permanent
from daemon.ports import Offload, Progress
from daemon.storage.manifest import ShardObject
from daemon.storage.reader import Reading, check_opens, read_plain, read_stored
from daemon.storage.sealing import Keys
from daemon.storage.vault import Vault
from daemon.valkey import likeness
from daemon.valkey.checker import Broken, Limits, Unread, rdb_checker
from daemon.valkey.engine import Engine, sound
from daemon.valkey.loader import Loaded, NotLoaded, Room, rdb_loader
from daemon.valkey.rdb import RdbGuard
from events.facts import ProofLevel, RdbTotals, Receipt
from projections.catalog import Backup
from projections.rdb_versions import reads

DAMAGE: Mapping[str, ProofLevel] = {
    "manifest-missing": "hashes",
    "manifest-tampered": "hashes",
    "manifest-unreadable": "hashes",
    "object-missing": "hashes",
    "object-size": "hashes",
    "block-damaged": "hashes",
    "manifest-mismatch": "parsed",
    "rdb-type": "parsed",
    "rdb-truncated": "parsed",
    "rdb-checksum": "parsed",
    "rdb-broken": "parsed",
}
"""What is held against a backup, and how far a verification must get to take it back."""
NEEDED = 1.3
"""Of the memory that the source used, a load is given so much (DESIGN 7)."""
ADDRESSES_BYTES = 1 << 30
"""What an engine maps beside its data: stacks, libraries, its allocator's own."""
MOST_DATABASES = 16_384
QUICK = "only the hashes were asked for"
GENTLE = Limits(nice=15)


class Case(Struct, frozen=True):
    """One stored backup to prove; its manifest was read and is the one of the log.

    The keys of one that is loaded are counted, if that is wanted.
    """

    vault: Vault
    backup: Backup
    shard: ShardObject
    quick: bool
    progress: Progress
    counted: bool = True


class Prover(Protocol):
    """How backups are proven."""

    async def __call__(self, case: Case) -> Receipt:
        """The receipt, of the highest level that could be had; see `DAMAGE` for what it raises."""
        ...


class EngineProver(Struct, frozen=True):
    """The `Prover` of the real daemon, with these engines, the best one first.

    `free_bytes` tells how much memory could be had now. Loads are made in `directory`, and their
    keys are counted by `census`.
    """

    offload: Offload
    keys: Keys
    engines: tuple[Engine, ...]
    directory: Path
    free_bytes: Callable[[], int]
    limits: Limits = GENTLE
    census: Counting = no_census

    async def __call__(self, case: Case) -> Receipt:
        """See `Prover`."""
        return await _Proving(self, case).prove()


class _Consumer(Protocol):
    """What takes the plain bytes while they are read."""

    @property
    def failed(self) -> bool: ...

    async def feed(self, chunk: bytes) -> None: ...


class _Proving:
    """One try; `_why` gathers why the level is not a higher one."""

    def __init__(self, outside: EngineProver, case: Case) -> None:
        self._outside = outside
        self._case = case
        self._why: list[str] = []
        self._began = anyio.current_time()
        self._spent: float | None = None

    async def prove(self) -> Receipt:
        reading = await self._reading()
        if reading is None:
            return await self._stored()
        engine = None if self._case.quick else self._engine()
        if engine is not None and (receipt := await self._loaded(engine, reading)):
            return receipt
        if engine is not None:
            return await self._parsed(engine, reading)
        if self._case.quick:
            self._why.append(QUICK)
        self._case.progress.phase("checking hashes", self._case.shard.plain_bytes)
        await self._read(reading)
        return self._receipt("hashes")

    async def _reading(self) -> Reading | None:
        """How to read the plain bytes; None where they cannot be, for want of an identity."""
        reading = Reading(self._outside.offload, guards=(RdbGuard(),))
        if "age" not in self._case.shard.codecs:
            return reading
        try:
            identities = await self._outside.keys.identities(self._case.backup.vault)
            reading = replace(reading, identities=identities)
            await check_opens(self._case.vault, self._case.shard, reading)
        except Permanent as error:
            if error.code != "identity":
                raise
            self._why.append(f"it is encrypted, and only stored blocks were read: {error.message}")
            return None
        return reading

    async def _stored(self) -> Receipt:
        case = self._case
        case.progress.phase("checking hashes", case.shard.stored_bytes)
        async with read_stored(case.vault, case.shard, self._outside.offload) as blocks:
            async for block in blocks:
                case.progress.advance(len(block))
        return replace(self._receipt("hashes"), plain_bytes=0)

    def _engine(self) -> Engine | None:
        """The best engine that reads this RDB version, by what is known of versions."""
        version, engines = self._version(), self._outside.engines
        for engine in engines:
            if version is None or reads(engine.kind, engine.version, version):
                return engine
        labels = ", ".join(engine.label for engine in engines)
        self._why.append(
            f"none of the engines here ({labels}) reads RDB version {version}"
            if engines
            else "no engine that may be used is installed here"
        )
        return None

    def _version(self) -> int | None:
        return self._case.backup.snapshot.rdb_version if self._case.backup.snapshot else None

    async def _loaded(self, engine: Engine, reading: Reading) -> Receipt | None:
        """A receipt of a load; None, with the reason kept, where there was none."""
        room = self._room(engine)
        if room is None:
            return None
        self._case.progress.phase(f"loading into {engine.label}", self._case.shard.plain_bytes)
        try:
            async with rdb_loader(engine, room) as loader:
                await self._read(_fresh(reading), loader)
                found = await loader.verdict()
                told = await self._counted(engine, loader.socket, found)
        except (OSError, Permanent) as error:
            if isinstance(error, Permanent) and error.code != "engine-socket":
                raise
            self._why.append(f"no engine could be run: {error}")
            return None
        if not isinstance(found, Loaded):
            self._why.append(found.reason)
            return None
        return self._of_load(engine, found, told)

    async def _counted(self, engine: Engine, socket: str, found: Loaded | NotLoaded) -> Told:
        if not isinstance(found, Loaded) or not self._case.counted:
            return Told()
        case, self._spent = self._case, anyio.current_time() - self._began
        served = Served(case.backup, engine, socket, self._spent, case.progress)
        return await self._outside.census(served)

    def _room(self, engine: Engine) -> Room | None:
        """The memory for a load, or None with the figures where there is not enough."""
        snapshot, stored = self._case.backup.snapshot, self._case.backup.stored
        used = snapshot.server.used_memory_bytes if snapshot else self._case.shard.plain_bytes * 4
        needed, free = int(used * NEEDED), self._outside.free_bytes()
        if free < needed:
            self._why.append(
                f"a load takes {needed:,} bytes of memory (1.3 times what the source used), "
                f"and {free:,} are free"
            )
            return None
        totals = stored.totals if stored else None
        databases = max(
            16,
            snapshot.server.databases if snapshot else 0,
            totals.highest_database + 1 if totals else 1_024,
        )
        return Room(
            directory=self._outside.directory,
            memory_bytes=needed + ADDRESSES_BYTES,
            databases=min(databases, MOST_DATABASES),
            options=likeness.options(engine, snapshot.server.settings) if snapshot else (),
        )

    def _of_load(self, engine: Engine, found: Loaded, told: Told) -> Receipt:
        lacks = tuple(f"{engine.label} ran without {what}" for what in found.lacks)
        uncounted = (told.note,) if told.note else ()
        return replace(
            self._receipt("loaded"),
            load_seconds=round(found.seconds, 3),
            engine=engine.label,
            keys=found.keys,
            expired=found.expired,
            keys_per_database=found.keys_per_database,
            used_memory_bytes=found.used_memory_bytes,
            notes=(
                *self._differences(found.keys + found.expired),
                *_hole(engine),
                *lacks,
                *uncounted,
            ),
            keyspace=told.facts,
        )

    async def _parsed(self, engine: Engine, reading: Reading) -> Receipt:
        self._case.progress.phase(f"parsing with {engine.label}", self._case.shard.plain_bytes)
        async with rdb_checker(engine, self._outside.limits) as checker:
            await self._read(_fresh(reading), checker)
            verdict = await checker.verdict()
        match verdict:
            case Broken():
                raise Permanent(
                    "rdb-broken",
                    f"The stored bytes are those that were taken, and yet {verdict.reason}.",
                    "This backup cannot be restored: make a new one, and look at the memory of the "
                    "host that it came from.",
                )
            case Unread():
                self._why.append(verdict.reason)
                return self._receipt("hashes")
            case RdbTotals():
                return replace(
                    self._receipt("parsed"),
                    engine=verdict.by,
                    keys=verdict.keys,
                    notes=(*self._differences(verdict.keys), *_hole(engine)),
                )

    async def _read(self, reading: Reading, consumer: _Consumer | None = None) -> None:
        """All plain bytes, checked; for a consumer that takes no more the rest is not read."""
        case = self._case
        plain: AbstractAsyncContextManager[AsyncGenerator[bytes, None]]
        plain = read_plain(case.vault, case.shard, reading)
        async with plain as chunks:
            async for chunk in chunks:
                await consumer.feed(chunk) if consumer is not None else None
                case.progress.advance(len(chunk))
                if consumer is not None and consumer.failed:
                    return

    def _receipt(self, level: ProofLevel) -> Receipt:
        shard, spent = self._case.shard, self._spent
        return Receipt(
            level=level,
            stored_bytes=shard.stored_bytes,
            plain_bytes=shard.plain_bytes,
            read_seconds=round(anyio.current_time() - self._began if spent is None else spent, 3),
            reason="; ".join(self._why),
        )

    def _differences(self, keys: int) -> tuple[str, ...]:
        """What does not agree with what the source said: ``INFO`` is not of the fork's instant."""
        snapshot, stored = self._case.backup.snapshot, self._case.backup.stored
        told = []
        asked = snapshot is not None and snapshot.imported is None
        if snapshot and asked and (said := sum(snapshot.server.keys.values())) != keys:
            told.append(f"the source's INFO counted {said:,} keys, and the backup has {keys:,}")
        if stored is not None and stored.totals is not None and stored.totals.keys != keys:
            told.append(
                f"{stored.totals.by} counted {stored.totals.keys:,} keys when it was stored, "
                f"and now there are {keys:,}"
            )
        return tuple(told)


def _fresh(reading: Reading) -> Reading:
    """The same with a guard that has seen nothing yet."""
    return replace(reading, guards=(RdbGuard(),))


def _hole(engine: Engine) -> tuple[str, ...]:
    if sound(engine):
        return ()
    told = f"{engine.label} is not known to be free of holes in its RDB loader"
    return (f"{told} (Valkey 8.1.9, 9.0.5 and 9.1.1 are)",)
