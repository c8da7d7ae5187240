"""The tables of the log in SQLite, how they are asked, and what SQLite's errors mean.

`record` is the log; its triggers let nothing in but the next position of a commit that is not
there (without the third, `INSERT OR REPLACE` gets around the others). `stream` is an index of
it: the last record of each stream, written in the same transaction. Holds no connection.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from events.chain import HINT
from events.facts import Position
from events.lockfile import unreadable
from events.log import (
    LogCorrupt,
    LogError,
    LogFailed,
    LogInUse,
    LogUnreadable,
    LogUnwritable,
)

APPLICATION = 0x564B4C47
"""SQLite's `application_id`: the letters VKLG, so that no other database is taken for a log."""
VERSION = 1
"""SQLite's `user_version`: rises when the tables change."""

CREATE = f"""
BEGIN IMMEDIATE;
CREATE TABLE record (
    position INTEGER PRIMARY KEY,
    commit_id TEXT NOT NULL,
    part INTEGER NOT NULL,
    envelope BLOB NOT NULL,
    data BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE INDEX record_by_commit ON record (commit_id);
CREATE TRIGGER record_is_next BEFORE INSERT ON record
    WHEN NEW.position IS NOT (SELECT coalesce(max(position), 0) + 1 FROM record)
        OR (NEW.part = 0 AND EXISTS (SELECT 1 FROM record WHERE commit_id = NEW.commit_id))
    BEGIN SELECT RAISE(ABORT, 'the log takes the next position of a new commit only'); END;
CREATE TRIGGER record_never_changes BEFORE UPDATE ON record
    BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER record_never_goes BEFORE DELETE ON record
    BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TABLE stream (stream TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
COMMIT;
"""  # noqa: S608 - the only things put in are our own two numbers

PROBE = f"PRAGMA user_version = {VERSION}"
"""Changes nothing, and is written like everything else."""
KIND = """
SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
FROM pragma_application_id, pragma_user_version
"""
INSERT = """
INSERT INTO record (position, commit_id, part, envelope, data, hash) VALUES (?, ?, ?, ?, ?, ?)
"""
MOVE = """
INSERT INTO stream (stream, position) VALUES (?, ?)
ON CONFLICT (stream) DO UPDATE SET position = excluded.position
"""
PAGE = """
SELECT position, commit_id, envelope, data, hash FROM record
WHERE position > ? AND position <= ? ORDER BY position LIMIT ?
"""
LAST_TWO = """
SELECT position, commit_id, envelope, data, hash FROM record ORDER BY position DESC LIMIT 2
"""
COMMITS = """
SELECT position, commit_id, envelope, data, hash FROM record
WHERE commit_id IN (SELECT value FROM json_each(?)) ORDER BY position
"""
STREAMS = """
SELECT stream.stream, stream.position, record.envelope
FROM stream LEFT JOIN record ON record.position = stream.position
"""

_PASSING = {
    sqlite3.SQLITE_FULL: "make room on the disk; the log goes on by itself",
    sqlite3.SQLITE_READONLY: "make the file and its file system writable again",
    sqlite3.SQLITE_BUSY: "another program holds the file; end it",
    sqlite3.SQLITE_LOCKED: "another program holds the file; end it",
    sqlite3.SQLITE_NOMEM: "the machine is out of memory; free some",
    sqlite3.SQLITE_TOOBIG: "one event is larger than SQLite's limit; make the request smaller",
}
"""Errors that SQLite finds before it writes the commit: nothing is stored, and it may go on."""


def create_file(path: Path) -> None:
    """Make sure that the file exists and that its owner alone can read and write it."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise unreadable(path, error) from error


def is_new(path: Path, *, application: int, version: int, tables: int) -> bool:
    """Whether the database is still empty; raises where it is no log that we can read."""
    if (application, version, tables) == (0, 0, 0):
        return True
    if application != APPLICATION:
        raise _not_a_log(path)
    if version > VERSION:
        raise LogUnreadable(
            f"the log {path} has tables of version {version}, this Valkeep knows {VERSION}",
            "it was written by a newer Valkeep; install that version",
        )
    return False


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into those of a log that cannot be opened."""
    try:
        yield
    except sqlite3.Error as error:
        raise not_readable(path, error) from error
    except UnicodeDecodeError as error:
        # Python's driver fails so when SQLite quotes damaged text of the schema in its message.
        raise LogCorrupt(f"the log {path} is damaged: its tables cannot be read", HINT) from error


def unwritable(path: Path, error: sqlite3.Error) -> LogUnwritable:
    """What a failed append means; after an I/O error nobody knows what the disk holds.

    A failed fsync must not be repeated: the kernel has dropped the pages and the next one
    succeeds, without them being on the disk.
    """
    hint = _PASSING.get(_code(error))
    if hint is not None:
        return LogUnwritable(f"the log {path} cannot be written: {error}", hint)
    return LogFailed(
        f"the log {path} failed while it was written: {error}",
        "look at the disk, then restart Valkeep: what had been stored is found then",
    )


def not_readable(path: Path, error: sqlite3.Error, after: Position | None = None) -> LogError:
    """What a failed read means; `after` is the last position that could be read."""
    where = "" if after is None else f" after position {after}"
    match _code(error):
        case sqlite3.SQLITE_NOTADB:
            return _not_a_log(path)
        case sqlite3.SQLITE_CORRUPT:
            return LogCorrupt(f"the log {path} is damaged{where}: {error}", HINT)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LogInUse(
                f"the log {path} is in use by another program",
                f"`fuser -v {path}` names it; end it, and read logs with `valkeep audit --file`",
            )
        case _:
            return LogUnreadable(
                f"the log {path} cannot be read{where}: {error}",
                "look at the disk, and at the rights of the file",
            )


def _not_a_log(path: Path) -> LogUnreadable:
    return LogUnreadable(
        f"{path} is not a Valkeep log", "correct the path, or move that file out of the way"
    )


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for what Python's driver found by itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
