"""The log in one SQLite file; the only place that holds a connection to it (L1, L3, L7).

One connection with an exclusive lock, a WAL, and a commit that waits for the disk. Every
record that is read is checked against the chain. It knows bytes, never an event's type.
"""

import shutil
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar, cast

import aiosqlite
import anyio
import msgspec

from events import schema
from events.batch import Admitted, Standing, admit, check
from events.bell import Bell, follow
from events.chain import EMPTY, Stored, broken, envelope_bytes, follow_stored, opened, parsed
from events.chain import follow as follow_record
from events.envelope import Commit, Head, Record
from events.facts import START, CommitId, Position, Stream
from events.lockfile import reading, unreadable, writing
from events.log import Appended, Conflict, LogFailed, LogUnreadable, LogUnwritable

PAGE = 2_000
"""Records per read: enough to be fast, few enough to let appends in between."""
BUSY_SECONDS = 2.0
"""How long opening waits for a foreign program that holds the file."""

T = TypeVar("T")
Known = Mapping[CommitId, tuple[Record, ...]]
Row = tuple[int, object, object, object, object]
"""Position, commit id, envelope, data and hash; damage can turn all but the first into anything."""


class StoppedLog:
    """A log that nobody writes: `read` and `head` of an `EventLog`; see `open_stopped`."""

    def __init__(self, db: aiosqlite.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        self._lock = anyio.Lock()
        self._head = EMPTY
        self._streams: dict[Stream, Position] = {}

    async def load(self) -> None:
        """Find the head, and check that it follows and that the index of streams fits."""
        rows = [_stored(row) for row in await self._ask(schema.LAST_TWO, ())]
        if rows:
            before = Head(rows[1].position, rows[1].hash) if rows[1:] else EMPTY
            record = follow_stored(before, rows[0])
            self._head = Head(record.position, record.hash)
        self._streams = await self._load_streams()

    async def head(self) -> Head:
        """See `EventLog.head`."""
        return self._head

    def read(self, after: Position = START) -> AsyncGenerator[Record, None]:
        """See `EventLog.read`."""
        return self._read(after=after, last=self._head.position)

    async def _read(self, *, after: Position, last: Position) -> AsyncGenerator[Record, None]:
        if after >= last:
            return
        tip = await self._tip(after)
        while tip.position < last:
            for row in await self._page(PAGE, after=tip.position, last=last):
                record = self._checked(tip, row)
                tip = Head(record.position, record.hash)
                yield record

    async def _tip(self, after: Position) -> Head:
        """Where to begin; the record there is taken at its word, the next one proves it."""
        if after == START:
            return EMPTY
        (row,) = await self._page(1, after=Position(after - 1), last=after)
        return Head(after, _stored(row).hash)

    async def _page(self, limit: int, *, after: Position, last: Position) -> list[Row]:
        """At least one row; where SQLite finds a broken page, those before it."""
        try:
            async with self._lock:
                rows = await self._ask(schema.PAGE, (after, last, limit))
        except sqlite3.DatabaseError as error:
            if limit > 1:
                return await self._page(limit // 2, after=after, last=last)
            raise schema.not_readable(self._path, error, after) from error
        if not rows:
            raise broken(Position(after + 1), "is missing")
        return rows

    def _checked(self, tip: Head, row: Row) -> Record:
        """The record in a row: it follows, and what is kept beside it agrees with it."""
        record = follow_stored(tip, _stored(row))
        envelope = record.envelope
        if row[1] != envelope.commit_id.encode():
            raise broken(record.position, "is filed under another commit's id")
        if self._streams.get(envelope.stream, START) < record.position:
            raise broken(record.position, f"is beyond the end of {envelope.stream} in the index")
        return record

    async def _load_streams(self) -> dict[Stream, Position]:
        """The index of streams, each entry of which must point to a record of its stream."""
        streams: dict[Stream, Position] = {}
        for name, place, envelope in await self._db.execute_fetchall(schema.STREAMS):
            position = Position(place)
            if envelope is None:
                raise broken(position, "is missing, the index of streams has it")
            if parsed(position, envelope).stream.encode() != name:
                raise broken(position, "is not of the stream that the index of streams has it in")
            streams[Stream(name.decode())] = position
        if max(streams.values(), default=START) != self._head.position:
            raise broken(self._head.position, "is not the last one in the index of streams")
        return streams

    async def _ask(self, sql: str, parameters: Sequence[object]) -> list[Row]:
        return cast("list[Row]", await self._db.execute_fetchall(sql, parameters))


class SqliteLog(StoppedLog):
    """An `EventLog` in one file; see `open_log`."""

    def __init__(self, db: aiosqlite.Connection, path: Path) -> None:
        super().__init__(db, path)
        self._bell = Bell()
        self._certain = True  # that memory agrees with the database
        self._failure: LogFailed | None = None

    async def append(self, commits: Sequence[Commit]) -> tuple[Appended | Conflict, ...]:
        """See `EventLog.append`.

        The shield matters: a cancelled statement still runs in aiosqlite's thread, and would
        leave its transaction open for the next one.
        """
        check(commits)
        if not commits:
            return ()
        with anyio.CancelScope(shield=True):
            async with self._lock:
                admitted = await self._written(partial(self._stored, commits))
        return admitted.answers

    async def probe(self) -> None:
        """See `EventLog.probe`."""
        with anyio.CancelScope(shield=True):
            async with self._lock:
                await self._written(self._probed)

    async def restore(self, records: Sequence[Record]) -> None:
        """Store the next records of a copy of this log as they are, in one transaction.

        They must follow its head: raises `LogCorrupt`. For a log that nobody else uses yet.
        """
        tip, moved = self._head, {}
        for record in records:
            tip = follow_record(tip, record)
            moved[record.envelope.stream] = record.position
        commits = groupby(records, lambda record: record.envelope.commit_id)
        answers = tuple([Appended(tuple(group)) for _, group in commits])
        with anyio.CancelScope(shield=True):
            async with self._lock:
                await self._store(Admitted(answers, tuple(records), tip, moved))

    def subscribe(self, after: Position = START) -> AsyncGenerator[Record, None]:
        """See `EventLog.subscribe`."""
        return follow(self.read, self._bell, after)

    async def _written(self, write: Callable[[], Awaitable[T]]) -> T:
        """What a transaction led to; an error of the database is one of the log's."""
        if self._failure is not None:
            raise LogFailed(self._failure.message, self._failure.hint)
        try:
            if not self._certain:
                await self._recover()
            return await write()
        except sqlite3.Error as error:
            raise self._given_up(error) from error

    async def _probed(self) -> None:
        self._certain = False
        await self._db.execute("BEGIN IMMEDIATE")
        await self._db.execute(schema.PROBE)
        await self._db.execute("COMMIT")
        self._certain = True

    async def _stored(self, commits: Sequence[Commit]) -> Admitted:
        """Decide and store a batch, asking for known commits only where there can be one.

        A commit that is repeated as it was conflicts with itself: it moved a stream that it
        relies on. One that was decided anew under its old id is refused by the table.
        """
        admitted = self._decided(commits, {})
        if all(isinstance(answer, Appended) for answer in admitted.answers):
            try:
                await self._store(admitted)
            except sqlite3.IntegrityError:
                await self._recover()
            else:
                return admitted
        admitted = self._decided(commits, await self._known(commits))
        if admitted.records:
            await self._store(admitted)
        return admitted

    def _decided(self, commits: Sequence[Commit], known: Known) -> Admitted:
        return admit(commits, Standing(self._head, self._streams), known)

    async def _store(self, admitted: Admitted) -> None:
        """One transaction. What ends it early, be it a cancellation, leaves us uncertain."""
        self._certain = False
        # The driver sends BEGIN IMMEDIATE before the first of them: one trip less to its thread.
        await self._db.executemany(schema.INSERT, _rows(admitted))
        await self._db.executemany(schema.MOVE, list(admitted.moved.items()))
        await self._db.execute("COMMIT")
        self._head = admitted.head
        self._streams.update(admitted.moved)
        self._certain = True
        self._bell.ring()

    async def _known(self, commits: Sequence[Commit]) -> Known:
        """Those of the commits that are stored already, with their records."""
        ids = msgspec.json.encode([commit.commit_id for commit in commits]).decode()
        known: dict[CommitId, tuple[Record, ...]] = {}
        for row in await self._ask(schema.COMMITS, (ids,)):
            record = opened(_stored(row))
            commit_id = record.envelope.commit_id
            known[commit_id] = (*known.get(commit_id, ()), record)
        return known

    def _given_up(self, error: sqlite3.Error) -> LogUnwritable:
        """What the failure of an append means for the next one, which undoes its transaction."""
        trouble = schema.unwritable(self._path, error)
        if isinstance(trouble, LogFailed):
            self._failure = trouble
        return trouble

    async def _recover(self) -> None:
        """Ask the database where it stands, after an append of which nobody saw the end."""
        with suppress(sqlite3.OperationalError):  # after some errors SQLite has done it itself
            await self._db.execute("ROLLBACK")
        await self.load()
        self._certain = True
        self._bell.ring()


@asynccontextmanager
async def open_log(path: Path, *, pid: int) -> AsyncGenerator[SqliteLog, None]:
    """The log at `path`, created if there is none, held alone until the context is left.

    Its head is checked, the rest of it when it is read. Raises `LogInUse` with the pid of the
    process that has it, `LogUnreadable` for what is no log of ours, `LogCorrupt`. `pid` is
    our own, for the message to others. End every append before leaving.
    """
    with writing(path, pid=pid):
        schema.create_file(path)
        async with _connected(_uri(path, "mode=rw"), path) as db:
            with schema.opening(path):
                await _prepare(db, path)
                log = SqliteLog(db, path)
                await log.load()
            yield log


@asynccontextmanager
async def open_stopped(path: Path) -> AsyncGenerator[StoppedLog, None]:
    """The log at `path` for an audit without a daemon (L8); nothing beside it is changed.

    Raises `LogInUse` while a daemon has it, and keeps daemons out while it is open. After a
    clean stop the file is read where it lies. What a killed daemon left in the WAL would be
    written into the file by opening it, so then both are copied to a temporary folder
    (`TMPDIR` says where), which needs as much room as the log.
    """
    with reading(path), TemporaryDirectory(prefix="valkeep-audit-") as folder:
        async with _connected(_untouched(path, copies=Path(folder)), path) as db:
            log = StoppedLog(db, path)
            with schema.opening(path):
                await _refuse_empty(db, path)
                await log.load()
            yield log


def _untouched(path: Path, *, copies: Path) -> str:
    """What to open so that the log at `path` stays as it is."""
    wal = path.with_name(f"{path.name}-wal")
    try:
        path.open("rb").close()
        if not wal.exists() or wal.stat().st_size == 0:
            return _uri(path, "mode=ro&immutable=1")
        shutil.copyfile(path, copies / "log")
        shutil.copyfile(wal, copies / "log-wal")
    except OSError as error:
        raise unreadable(path, error) from error
    return _uri(copies / "log", "mode=rw")


def _uri(path: Path, query: str) -> str:
    return f"{path.absolute().as_uri()}?{query}"


@asynccontextmanager
async def _connected(uri: str, path: Path) -> AsyncGenerator[aiosqlite.Connection, None]:
    """One connection, whose transactions begin before the first row that is written."""
    with anyio.CancelScope(shield=True), schema.opening(path):
        db = await aiosqlite.connect(
            uri, uri=True, isolation_level="IMMEDIATE", timeout=BUSY_SECONDS
        )
    try:
        db.text_factory = bytes  # damaged text must reach our checks, not fail in the driver
        # Without shared memory: it is a file, and files are for processes that share the log.
        await db.execute("PRAGMA locking_mode = EXCLUSIVE")
        await db.execute("PRAGMA cell_size_check = ON")
        yield db
    finally:
        with anyio.CancelScope(shield=True):
            await db.close()


async def _prepare(db: aiosqlite.Connection, path: Path) -> None:
    """Take the database, refuse a foreign one before anything in it is changed, set it up."""
    is_new = await _is_new(db, path)
    ((mode,),) = await db.execute_fetchall("PRAGMA journal_mode = WAL")
    if mode != b"wal":
        raise LogUnreadable(
            f"the file system of {path} does not let SQLite keep a WAL", "use a local disk"
        )
    await db.execute("PRAGMA synchronous = FULL")
    if is_new:
        await db.executescript(schema.CREATE)
    await db.execute("BEGIN IMMEDIATE")
    await db.execute("COMMIT")


async def _refuse_empty(db: aiosqlite.Connection, path: Path) -> None:
    if await _is_new(db, path):
        raise LogUnreadable(f"the log {path} is empty", "correct the path")


async def _is_new(db: aiosqlite.Connection, path: Path) -> bool:
    ((application, version, tables),) = await db.execute_fetchall(schema.KIND)
    return schema.is_new(path, application=application, version=version, tables=tables)


def _stored(row: Row) -> Stored:
    """The row as a record to be checked."""
    position, _, envelope, data, digest = row
    if not (isinstance(envelope, bytes) and isinstance(data, bytes) and isinstance(digest, bytes)):
        raise broken(Position(position), "is not made of bytes")
    return Stored(Position(position), envelope, data, digest)


def _rows(admitted: Admitted) -> list[tuple[object, ...]]:
    """The new records as rows of the table, numbered within their commits."""
    return [
        _row(part, record)
        for answer in admitted.answers
        if isinstance(answer, Appended) and not answer.repeated
        for part, record in enumerate(answer.records)
    ]


def _row(part: int, record: Record) -> tuple[object, ...]:
    envelope = record.envelope
    stored = envelope_bytes(envelope)
    return record.position, envelope.commit_id, part, stored, record.data, record.hash
