"""The log in one SQLite file: the only place that knows it (L1, L3, L7).

One connection with an exclusive lock, WAL, and a commit that waits for the disk. The tables
refuse everything but the next position; each record read is checked against the chain. It
knows bytes only, never an event's type.

`record` is the log. `stream` is an index of it, the last record of each stream, written in
the same transaction; it is checked against the log on opening and whenever records are read.
"""

import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import aiosqlite
import anyio
import msgspec

from events import database
from events.batch import Admitted, Standing, admit, check
from events.bell import Bell, follow
from events.chain import EMPTY, Stored, broken, envelope_bytes, follow_stored, opened
from events.database import Row
from events.envelope import Commit, Head, Record
from events.facts import START, CommitId, Position, Stream
from events.lockfile import reading, writing
from events.log import Appended, Conflict, LogFailed

PAGE = 2_000
"""Records per read: long enough to be fast, short enough to let appends in between."""


class StoppedLog:
    """A log that nobody writes: `read` and `head` of an `EventLog`."""

    def __init__(self, db: aiosqlite.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        self._lock = anyio.Lock()
        self._head = EMPTY
        self._streams: dict[Stream, Position] = {}

    async def load(self) -> None:
        """Find the head and check it and the index of streams; before anything else."""
        rows = await self._rows(database.LAST_TWO, ())
        stored = [_stored(row) for row in reversed(rows)]
        before = EMPTY
        if len(stored) > 1:
            before = Head(stored[0].position, stored[0].hash)
        for last in stored[-1:]:
            record = follow_stored(before, last)
            self._head = Head(record.position, record.hash)
        self._streams = await self._load_streams()

    async def head(self) -> Head:
        """See `EventLog.head`."""
        return self._head

    def read(self, after: Position = START) -> AsyncGenerator[Record, None]:
        """See `EventLog.read`."""
        return self._read(after, self._head.position)

    async def _read(self, after: Position, last: Position) -> AsyncGenerator[Record, None]:
        tip = EMPTY if START in (after, last) else await self._tip(after)
        while tip.position < last:
            rows = await self._locked_rows(database.PAGE, (tip.position, last, PAGE))
            if not rows:
                raise broken(tip.position + 1, "is missing")
            for row in rows:
                record = self._checked(tip, row)
                tip = Head(record.position, record.hash)
                yield record

    def _checked(self, tip: Head, row: Row) -> Record:
        """The record in a row: it follows, and what is kept beside it agrees with it."""
        record = follow_stored(tip, _stored(row))
        envelope = record.envelope
        if row[1] != envelope.commit_id.encode():
            raise broken(record.position, "is filed under another commit's id")
        if self._streams.get(envelope.stream, START) < record.position:
            raise broken(record.position, f"is not in the index of {envelope.stream}")
        return record

    async def _tip(self, after: Position) -> Head:
        """The place after which to read; the record there is taken at its word."""
        rows = await self._locked_rows(database.PAGE, (after - 1, after, 1))
        if not rows:
            raise broken(after, "is missing")
        return Head(after, _stored(rows[0]).hash)

    async def _load_streams(self) -> dict[Stream, Position]:
        """The index of streams, each entry of which must point to a record of its stream."""
        streams = {}
        for name, position, envelope in await self._rows(database.STREAMS, ()):
            stream = Stream(bytes(name).decode(errors="replace"))
            if envelope is None or f'"stream":{msgspec.json.encode(stream).decode()}'.encode() not in envelope:
                raise broken(position, f"is not of {stream}, as the index of streams has it")
            streams[stream] = Position(position)
        if max(streams.values(), default=START) != self._head.position:
            raise broken(self._head.position, "is not the last one in the index of streams")
        return streams

    async def _locked_rows(self, sql: str, parameters: Sequence[object]) -> list[Row]:
        async with self._lock:
            return await self._rows(sql, parameters)

    async def _rows(self, sql: str, parameters: Sequence[object]) -> list[Row]:
        try:
            return cast("list[Row]", await self._db.execute_fetchall(sql, parameters))
        except sqlite3.Error as error:
            raise database.unreadable(self._path, error) from error
