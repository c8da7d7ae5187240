"""Reading what is to be imported, as if it were a cache's snapshot.

Knows in which order doubts are settled: is there an engine that may look at it, does it begin
as an RDB of a version that this engine reads, does it stay within its limit. Whether it is whole
the pipeline finds out, and whether it parses the engine's checker, before it is kept.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from msgspec import Struct

from daemon.actors.importing.foreign import created_at, server_facts
from daemon.actors.importing.refusal import (
    check_version,
    could_be,
    damaged,
    explained,
    no_engine,
    no_rdb,
    too_large,
    too_long,
    too_short,
    unread,
)
from daemon.actors.importing.uploads import Uploads
from daemon.actors.seams import Judged
from daemon.errors import Transient
from daemon.ports import Clock, Progress
from daemon.storage.arrival import Found
from daemon.storage.sources import Reach, open_source
from daemon.valkey.checker import Broken, Checker, Limits, Unread, rdb_checker
from daemon.valkey.engine import Engine, sound
from daemon.valkey.rdb import HEADER_LIMIT, Header, read_header
from events.facts import Failure, RdbTotals, SnapshotFacts
from events.moves import ImportedFrom
from projections.catalog import Backup
from projections.imports import Origin

DEFAULT_MAX_BYTES = 1 << 40
GENTLE = Limits(nice=15)
Read = Callable[[], Awaitable[bytes]]
"""The next bytes, none after the last."""


class Readers(Struct, frozen=True):
    """The engines that may look at what others have written, best first, and all there are."""

    usable: tuple[Engine, ...]
    installed: tuple[Engine, ...]


class Importer(Struct, frozen=True):
    """The `Imports` of the real daemon."""

    readers: Readers
    uploads: Uploads
    reach: Reach
    clock: Clock
    max_bytes: int = DEFAULT_MAX_BYTES

    @asynccontextmanager
    async def snapshot(
        self, backup: Backup, progress: Progress
    ) -> AsyncGenerator["Imported", None]:
        """See `Imports.snapshot`."""
        origin = backup.origin
        if origin is None:
            raise ValueError(f"backup {backup.backup_id} is no import")
        if not self.readers.usable:
            raise no_engine(self.readers.installed)
        progress.phase("opening")
        if origin.kind == "client":
            upload = await self.uploads.take(backup.backup_id)
            try:
                async with self._checked(origin, upload.read, None) as imported:
                    yield imported
            finally:
                upload.leave()
        else:
            async with (
                open_source(origin.source, self.reach) as source,
                self._checked(origin, source.read, source.found) as imported,
            ):
                yield imported

    def explained(self, failure: Failure, origin: Origin) -> Failure:
        """See `Imports.explained`."""
        return explained(failure, origin)

    @asynccontextmanager
    async def _checked(
        self, origin: Origin, read: Read, found: Found | None
    ) -> AsyncGenerator["Imported", None]:
        begun = await self._begun(origin, read, found)
        async with rdb_checker(self.readers.usable[0], GENTLE) as checker:
            yield Imported(self, begun, read, checker)

    async def _begun(self, origin: Origin, read: Read, found: Found | None) -> "Beginning":
        """Look at the beginning, and go on only with what could be an RDB for our engine."""
        if found is not None and found.size_bytes > self.max_bytes:
            raise too_large(origin, self.max_bytes)
        head = b""
        while len(head) < HEADER_LIMIT and (chunk := await read()):
            head += chunk
        try:
            header = read_header(head)
        except Transient:
            raise no_rdb(origin.source, head) from None
        if header is None:
            raise no_rdb(origin.source, head) if not could_be(head) else too_short(len(head))
        engine = self.readers.usable[0]
        check_version(origin.source, header.version, engine)
        return Beginning(origin, header, head, found)


class Beginning(Struct, frozen=True):
    """The first bytes of an import, and what they and its place tell."""

    origin: Origin
    header: Header
    head: bytes
    found: Found | None


class Imported:
    """What is imported, as a `Foreign` snapshot."""

    def __init__(self, importer: Importer, begun: Beginning, read: Read, checker: Checker) -> None:
        self._importer = importer
        self._begun = begun
        self._read = read
        self._checker = checker
        self._seen_bytes = 0
        self._totals: RdbTotals | None = None

    @property
    def expected_bytes(self) -> int | None:
        """See `Snapshot.expected_bytes`."""
        return self._begun.found.size_bytes if self._begun.found else None

    @property
    def holds_fork(self) -> bool:
        """Nobody waits for us: no disk need be used where the vault is slow."""
        return False

    @property
    def judged(self) -> Judged:
        """See `Foreign.judged`."""
        return Judged(self._totals)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """See `Snapshot.chunks`; ends where the checker does, which sees every byte first."""
        limit = self._importer.max_bytes
        chunk = self._begun.head
        while chunk:
            self._seen_bytes += len(chunk)
            if self._seen_bytes > limit:
                raise too_large(self._begun.origin, limit)
            await self._checker.feed(chunk)
            if self._checker.ended:
                await self._judge()
                raise too_long(self._begun.origin)
            yield chunk
            chunk = await self._read()

    async def facts(self) -> SnapshotFacts:
        """See `Foreign.facts`; what is known of the server is what the RDB says."""
        await self._judge()
        origin, header, found = self._begun.origin, self._begun.header, self._begun.found
        made_at, now = created_at(header), self._importer.clock.now()
        changed_at = found.changed_at if found else None
        return SnapshotFacts(
            server=server_facts(header, self._seen_bytes, databases=self._databases),
            source="import",
            reason=f"imported from {origin.source}",
            rdb_version=header.version,
            taken_at=min(now, made_at or changed_at or now),
            rdb_created_at=made_at,
            imported=ImportedFrom(
                kind=origin.kind,
                source=origin.source,
                size_bytes=self._seen_bytes,
                changed_at=changed_at,
                version=found.version if found else "",
                notes=self._notes(),
            ),
        )

    @property
    def _databases(self) -> int:
        return self._totals.highest_database + 1 if self._totals else 0

    async def _judge(self) -> None:
        """Keep what the checker has counted, or refuse what it could not read."""
        match await self._checker.verdict():
            case RdbTotals() as totals:
                self._totals = totals
            case Broken() as broken:
                raise damaged(broken.reason)
            case Unread() as unknown:
                raise unread(self._begun.origin, unknown.reason)

    def _notes(self) -> tuple[str, ...]:
        engine = self._importer.readers.usable[0]
        if sound(engine):
            return ()
        told = (
            f"{engine.label}, which checked it, is not known to be free of holes in its RDB loader"
        )
        return (f"{told} (Valkey 8.1.9, 9.0.5 and 9.1.1 are)",)
