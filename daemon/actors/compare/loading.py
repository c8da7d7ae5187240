"""Two sides into two private engines: which engine, what memory, and when they can be asked.

Refuses what cannot be done before anything is read, with the figures; an engine that does not
take its side says why in its own words.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import anyio

from daemon.actors.compare.sides import Known, Outside, Side
from daemon.errors import Permanent, Transient
from daemon.ports import Progress
from daemon.storage.one_error import one_error
from daemon.valkey import contrast
from daemon.valkey.engine import Engine, version_numbers
from daemon.valkey.figures import amount
from daemon.valkey.keyspace import OLDEST, OPTIONS, keyspace
from daemon.valkey.loader import Loader, NotLoaded, Room, rdb_loader
from projections.rdb_versions import reads

NEEDED = 1.3
"""Of the memory that the source used, a load is given so much (DESIGN 7)."""
ADDRESSES_BYTES = 1 << 30
"""What an engine maps beside its data: stacks, libraries, its allocator's own."""
_BLIND = (
    "keys whose TTL has ended by now were not compared: it takes Valkey 8.1 or newer on the "
    "daemon's host to see them"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Loaded(NamedTuple):
    """Both sides, ready to be asked; `notes` tell what the engines went without."""

    first: contrast.Side
    second: contrast.Side
    instants: tuple[datetime, datetime]
    engine: Engine
    seconds: float
    notes: tuple[str, ...]
    total_bytes: int = 0
    """Of both as plain RDBs, as far as that was known before; a live cache's is its memory."""


@asynccontextmanager
async def loaded(
    outside: Outside, sides: tuple[Side, Side], progress: Progress
) -> AsyncGenerator[Loaded, None]:
    """Both sides in engines of their own, which end with the context.

    Raises `Permanent` (``rdb-version``, ``memory``, and what reading raises) before anything is
    read, `Transient("not-loaded")` when an engine does not take its side.
    """
    progress.phase("looking at both sides")
    known = (await sides[0].look(), await sides[1].look())
    engine = _engine(outside, known)
    rooms = _rooms(outside, known)
    for side in sides:
        await side.prepare()
    began = anyio.current_time()
    async with rdb_loader(engine, rooms[0]) as first, rdb_loader(engine, rooms[1]) as second:
        plain_bytes = sum(one.plain_bytes for one in known)
        instants = await _filled(sides, (first, second), progress, plain_bytes)
        lacks = {*await _verdict(first, known[0]), *await _verdict(second, known[1])}
        seconds = anyio.current_time() - began
        async with (
            keyspace(engine, first.socket) as ours,
            keyspace(engine, second.socket) as theirs,
        ):
            notes = [f"{engine.label} ran without {what}" for what in sorted(lacks)]
            yield Loaded(
                first=contrast.Side(ours, _unix_ms(instants[0])),
                second=contrast.Side(theirs, _unix_ms(instants[1])),
                instants=instants,
                engine=engine,
                seconds=seconds,
                notes=tuple(notes) if ours.sees_expired else (*notes, _BLIND),
                total_bytes=sum(one.plain_bytes or one.used_bytes for one in known),
            )


def _engine(outside: Outside, known: tuple[Known, Known]) -> Engine:
    """The best engine that reads both, by what is known of versions."""
    fit = [e for e in outside.engines if version_numbers(e.version) >= OLDEST]
    for engine in fit:
        versions = [one.rdb_version for one in known if one.rdb_version]
        if all(reads(engine.kind, engine.version, version) for version in versions):
            return engine
    told = " and ".join(f"{one.name} has RDB version {one.rdb_version}" for one in known)
    labels = ", ".join(engine.label for engine in fit) or "none of version 7.0 or newer"
    raise Permanent(
        "rdb-version",
        f"No engine on the daemon's host reads both sides: {told}; engines: {labels}.",
        "Install a newer valkey-server there: `valkeep doctor` tells which ones are found.",
    )


def _rooms(outside: Outside, known: tuple[Known, Known]) -> tuple[Room, Room]:
    """The memory for both loads; `Permanent` with the figures where there is not enough."""
    first, second = (_room(outside, one) for one in known)
    needed = [int(one.used_bytes * NEEDED) for one in known]
    free = outside.free_bytes()
    if free < sum(needed):
        raise Permanent(
            "memory",
            "A comparison has both sides in the memory of the daemon's host: "
            f"{known[0].name} takes {amount(needed[0])} and {known[1].name} {amount(needed[1])} "
            f"(1.3 times what their servers used), and {amount(free)} are free.",
            "Let less run there meanwhile, or compare on a host with more memory.",
        )
    return first, second


def _room(outside: Outside, known: Known) -> Room:
    return Room(
        directory=outside.directory,
        memory_bytes=int(known.used_bytes * NEEDED) + ADDRESSES_BYTES,
        databases=known.databases,
        options=OPTIONS,
    )


async def _filled(
    sides: tuple[Side, Side],
    loaders: tuple[Loader, Loader],
    progress: Progress,
    plain_bytes: int,
) -> tuple[datetime, datetime]:
    """Give both engines their data, and tell the instants.

    Two backups at once, but a live cache first and alone: its fork is to live a short time.
    """
    if sides[1].live:
        second = await sides[1].fill(loaders[1], progress)
        progress.phase("loading the backup", plain_bytes)
        return await sides[0].fill(loaders[0], progress), second
    found: dict[int, datetime] = {}

    async def fill(index: int) -> None:
        found[index] = await sides[index].fill(loaders[index], progress)

    progress.phase("loading both backups", plain_bytes)
    with one_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fill, 0)
            tasks.start_soon(fill, 1)
    return found[0], found[1]


async def _verdict(loader: Loader, known: Known) -> tuple[str, ...]:
    """What the engine went without; `Transient` with its words when it has not loaded."""
    verdict = await loader.verdict()
    if isinstance(verdict, NotLoaded):
        raise Transient(
            "not-loaded",
            f"The data of {known.name} could not be loaded: {verdict.reason}.",
            "`valkeep backup verify BACKUP` tells whether a backup is damaged; then ask again.",
        )
    return verdict.lacks


def _unix_ms(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)
