"""Counting the keys of a backup that a private engine has just loaded, as a part of its proof.

Never costs a proof: whatever goes wrong here is a note. The figures go into the receipt; names
are data and go on a shelf of their own, beside what the backup before had.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

import anyio
import msgspec
from msgspec import Struct

from daemon.actors.verify.shelf import KeyspaceShelf
from daemon.commands.surveyed import KeyPrefix, KeyspaceBefore, KeyspaceDetail, LargeKey
from daemon.errors import ValkeepError
from daemon.ports import Progress
from daemon.valkey.census import Bounds, Census, Large, Prefix, Standing, counted
from daemon.valkey.engine import Engine
from events.keyspace import KeyspaceFacts
from projections.catalog import Backup

SHARE = 0.3
"""Of the time that reading and loading took, counting may always take so much."""
GRACE_SECONDS = 30.0
"""One slice of keys may go on for so long after time is over."""
TOLD_EACH = 50_000
"""So many keys are counted until the progress is told anew."""


class Served(Struct, frozen=True):
    """A backup that an engine has loaded and serves on this socket, after so many seconds."""

    backup: Backup
    engine: Engine
    socket: str
    spent_seconds: float
    progress: Progress


class Told(NamedTuple):
    """What the receipt says of the keys: figures, or why there are none; or neither."""

    facts: KeyspaceFacts | None = None
    note: str = ""


class Counting(Protocol):
    """How keys are counted."""

    async def __call__(self, served: Served) -> Told:
        """What is to be told; raises nothing that is about the keys or the engine."""
        ...


async def no_census(served: Served) -> Told:  # noqa: ARG001 - as `Counting` says
    """Nobody wants to know."""
    return Told()


class CensusTaker(Struct, frozen=True):
    """The `Counting` of the real daemon: at least `seconds` for it, and names if wanted."""

    shelf: KeyspaceShelf
    seconds: float
    names: bool

    async def __call__(self, served: Served) -> Told:
        """See `Counting`."""
        seconds = max(self.seconds, SHARE * served.spent_seconds)
        bounds = Bounds(seconds, names=self.names)
        served.progress.phase("counting keys")
        try:
            with anyio.fail_after(seconds + GRACE_SECONDS):
                found = await counted(served.engine, served.socket, bounds, _signs(served.progress))
        except (ValkeepError, OSError) as error:  # TimeoutError is an OSError.
            why = str(error) or "the engine took too long"
            return Told(note=f"its keys were not counted: {why}")
        try:
            await self._keep(served, found)
        except OSError as error:
            why = error.strerror or "an error of the file system"
            return Told(found.facts, f"only sums of its keys were kept: {why}")
        return Told(found.facts)

    async def _keep(self, served: Served, found: Census) -> None:
        backup = served.backup
        detail = _detail(served.engine, found, names=self.names)
        before = await self.shelf.before(backup)
        if before is not None:
            detail = msgspec.structs.replace(detail, before=_earlier(*before))
        await self.shelf.put(backup.cache, backup.backup_id, detail)


def _signs(progress: Progress) -> Callable[[Standing], None]:
    """Signs of life, and how far it is every now and then."""
    told = 0

    def sign(standing: Standing) -> None:
        nonlocal told
        progress.advance(0)
        if standing.counted - told >= TOLD_EACH:
            told = standing.counted
            progress.phase(f"counting keys: {told:,} of {standing.keys:,}")

    return sign


def _detail(engine: Engine, found: Census, *, names: bool) -> KeyspaceDetail:
    return KeyspaceDetail(
        engine=engine.label,
        facts=found.facts,
        largest=tuple(_large(found.by_bytes)),
        longest=tuple(_large(found.by_elements)),
        prefixes=tuple(_prefix(n, row) for n, rows in found.prefixes.items() for row in rows),
        least_bytes=found.least_bytes,
        named=names,
    )


def _earlier(backup: Backup, detail: KeyspaceDetail) -> KeyspaceBefore:
    return KeyspaceBefore(
        backup_id=backup.backup_id,
        name=backup.name,
        completed_at=backup.completed_at or backup.requested_at,
        engine=detail.engine,
        facts=detail.facts,
        prefixes=detail.prefixes,
        least_bytes=detail.least_bytes,
    )


def _large(keys: Iterable[Large]) -> Iterable[LargeKey]:
    for one in keys:
        text, encoded = _named(one.name)
        yield LargeKey(
            database=one.database,
            type=one.type,
            encoding=one.encoding,
            bytes=one.size,
            elements=one.elements,
            key=text,
            key_base64=encoded,
            name_bytes=one.name_bytes if one.name_bytes > len(one.name) else None,
        )


def _prefix(database: int, row: Prefix) -> KeyPrefix:
    text, encoded = _named(row.pattern)
    return KeyPrefix(
        database=database,
        keys=row.keys,
        bytes=row.size,
        lasting_bytes=row.lasting,
        lacking_bytes=row.lacking,
        pattern=text,
        pattern_base64=encoded,
    )


def _named(name: bytes) -> tuple[str | None, str | None]:
    """As text, or where that cannot be in base64."""
    try:
        return name.decode(), None
    except UnicodeDecodeError:
        return None, b64encode(name).decode()
