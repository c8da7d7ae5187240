"""The log's file: what it refuses, who may open it, and what a full or broken disk does."""

import os
import resource
import sqlite3
import stat
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing, contextmanager
from pathlib import Path

import pytest

from events import schema
from events.lockfile import lock_path
from events.log import (
    Appended,
    Conflict,
    LogCorrupt,
    LogError,
    LogFailed,
    LogInUse,
    LogUnreadable,
    LogUnwritable,
)
from events.sqlite import PAGE, open_log, open_stopped
from tests.support.commits import all_of, chain_of, commit, places

pytestmark = pytest.mark.anyio

ME = os.getpid()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log lies."""
    return tmp_path / "events.sqlite"


@pytest.fixture
async def filled(path: Path) -> Path:
    """A stopped log of ten records on one stream, each of a commit of its own."""
    async with open_log(path, pid=ME) as log:
        await log.append(chain_of(10))
    return path


def change(path: Path, *statements: str) -> None:
    """Do to the file of a stopped log what anybody with the rights could do."""
    with closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def content_of(path: Path) -> dict[str, bytes]:
    """The bytes of a file, or of each file in a folder, by name."""
    files = path.iterdir() if path.is_dir() else [path]
    return {file.name: file.read_bytes() for file in files}


UNLOCK = [
    "DROP TRIGGER record_is_next",
    "DROP TRIGGER record_never_changes",
    "DROP TRIGGER record_never_goes",
]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE record SET data = 'x'",
        "DELETE FROM record WHERE position = 10",
        "INSERT INTO record VALUES (12, 'new', 0, x'', x'', x'')",
        "INSERT INTO record VALUES (5, 'new', 0, x'', x'', x'')",
        "INSERT OR REPLACE INTO record VALUES (5, 'new', 0, x'', x'', x'')",
        "INSERT OR REPLACE INTO record VALUES (11, 'a-3', 0, x'', x'', x'')",
        "INSERT OR IGNORE INTO record VALUES (11, 'a-3', 0, x'', x'', x'')",
        "UPDATE OR REPLACE record SET position = 1 WHERE position = 2",
    ],
)
async def test_database_itself_is_append_only(filled: Path, statement: str) -> None:
    """Any program's attempt to change, remove, replace or misplace a record is refused."""
    with pytest.raises(sqlite3.DatabaseError):
        change(filled, statement)


async def test_new_log_is_for_its_owner_only(path: Path) -> None:
    """The log, its WAL and its lock can be read by nobody but the user that runs Valkeep."""
    async with open_log(path, pid=ME) as log:
        await log.append(chain_of(1))
        files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

    assert {path.name: 0o600, f"{path.name}-wal": 0o600, f"{path.name}.lock": 0o600} == files


async def test_settings_are_those_of_a_log(path: Path) -> None:
    """The one connection is exclusive, with a WAL and commits that wait for the disk."""
    async with open_log(path, pid=ME) as log:
        found = {
            name: next(iter(await log._db.execute_fetchall(f"PRAGMA {name}")))[0]
            for name in ("locking_mode", "journal_mode", "synchronous")
        }

    assert {"locking_mode": b"exclusive", "journal_mode": b"wal", "synchronous": 2} == found


async def test_reopened_log_goes_on(filled: Path) -> None:
    """A log that is opened again has its records and knows its streams and commits."""
    async with open_log(filled, pid=ME) as log:
        assert (await log.head()).position == 10
        late, again, new = await log.append(
            [commit("late", {"a": 9}), commit("a-3", {"b": 0}), commit("new", {"c": 0})]
        )

    assert "Conflict" == type(late).__name__
    assert [3] == places(again)
    assert [11] == places(new)


async def test_records_come_in_pages(path: Path) -> None:
    """A log of many pages is read whole, and appends get in between two pages."""
    async with open_log(path, pid=ME) as log:
        await log.append([commit("many", {"a": 0}, size=2 * PAGE + 1)])
        async with aclosing(log.read()) as records:
            assert (await anext(records)).position == 1
            (answer,) = await log.append([commit("between", {"b": 0})])
            assert [2 * PAGE + 2] == places(answer)
            rest = [record.position async for record in records]

    assert list(range(2, 2 * PAGE + 2)) == rest


async def test_log_is_open_once_even_in_one_process(filled: Path) -> None:
    """The same process cannot open the log twice either, and is named as its holder."""
    async with open_log(filled, pid=ME) as log:
        with pytest.raises(LogInUse, match=f"process {ME}"):
            await open_log(filled, pid=ME).__aenter__()
        await log.append(chain_of(1, after=10))


async def test_lock_of_a_dead_process_is_no_obstacle(filled: Path) -> None:
    """A lock file that a killed process left, with its pid in it, does not keep anybody out."""
    lock_path(filled).write_text("99999999999\n")
    async with open_log(filled, pid=ME) as log:
        assert f"{ME}\n" == lock_path(filled).read_text()
        assert (await log.head()).position == 10


async def test_foreign_program_that_holds_the_file_is_waited_for_a_while(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A foreign program's lock ends in a clear refusal, not in a wait for ever."""
    monkeypatch.setattr("events.sqlite.BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(filled, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogInUse, match="another program"):
            await open_log(filled, pid=ME).__aenter__()


async def test_running_log_keeps_foreign_programs_out(filled: Path) -> None:
    """While the log is open no other connection reads or writes it (L1)."""
    async with open_log(filled, pid=ME):
        with (
            closing(sqlite3.connect(filled, timeout=0)) as db,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            db.execute("SELECT * FROM record")


def _folder(path: Path) -> None:
    path.mkdir()


def _text(path: Path) -> None:
    path.write_text("these are my notes, not a database\n" * 100)


def _foreign(path: Path) -> None:
    change(path, "CREATE TABLE customer (name TEXT)")


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(schema.CREATE)
        db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_folder, "directory"),
        (_text, "not a Valkeep log"),
        (_foreign, "not a Valkeep log"),
        (_newer, "version 2"),
    ],
)
async def test_what_is_no_log_is_refused_and_left_alone(
    path: Path, make: Callable[[Path], None], message: str
) -> None:
    """A folder, a text, another program's database, a newer log: refused, and not touched."""
    make(path)
    before = content_of(path)
    for opening in (open_log(path, pid=ME), open_stopped(path)):
        with pytest.raises(LogUnreadable, match=message) as caught:
            await opening.__aenter__()
        assert caught.value.hint

    assert before == content_of(path)


@pytest.mark.parametrize("where", ["/sys/events.sqlite", "missing/events.sqlite"])
async def test_place_that_cannot_hold_a_log_is_refused(tmp_path: Path, where: str) -> None:
    """A folder that is missing or that nobody may write to is refused with a hint."""
    with pytest.raises(LogUnreadable, match=r"events\.sqlite cannot be opened") as caught:
        await open_log(tmp_path / where, pid=ME).__aenter__()
    assert caught.value.hint


async def test_stopped_log_that_is_not_there_is_refused(path: Path) -> None:
    """An audit of a log that does not exist says so, and does not create one."""
    with pytest.raises(LogUnreadable, match="No such file"):
        await open_stopped(path).__aenter__()
    assert [] == list(path.parent.iterdir())


async def test_stopped_log_is_read_where_it_lies(filled: Path) -> None:
    """An audit after a clean stop reads the file itself, and two may read at once."""
    before = content_of(filled.parent)
    async with open_stopped(filled) as one, open_stopped(filled) as two:
        assert await all_of(one) == await all_of(two)
        assert (await one.head()).position == 10
        with pytest.raises(LogInUse, match="audit"):
            await open_log(filled, pid=ME).__aenter__()

    assert before == content_of(filled.parent)
    async with open_log(filled, pid=ME) as log:
        assert (await log.head()).position == 10


async def test_full_disk_stores_nothing_and_the_log_goes_on(path: Path) -> None:
    """On a full disk an append fails whole; when there is room again the log goes on."""
    async with open_log(path, pid=ME) as log:
        await log.append(chain_of(3))
        head = await log.head()
        await log._db.execute("PRAGMA max_page_count = 20")
        with pytest.raises(LogUnwritable, match="full") as caught:
            await log.append([commit("x", {"a": 3}), commit("big", {"b": 0}, size=2_000)])
        assert not isinstance(caught.value, LogFailed)
        assert "room" in caught.value.hint
        assert (await log.head(), 3) == (head, len(await all_of(log)))

        await log._db.execute("PRAGMA max_page_count = 1000000")
        answers = await log.append([commit("x", {"a": 3}), commit("big", {"b": 0}, size=2_000)])
        assert [4] == places(answers[0])
        assert 2_004 == len(await all_of(log))


@contextmanager
def no_file_beyond(limit_bytes: int) -> Iterator[None]:
    """The kernel fails this process's writes beyond that place in any file, with EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_failed_write_ends_the_log_until_it_is_opened_again(path: Path) -> None:
    """After an I/O error nothing more is written; reopened, the log is whole and goes on."""
    async with open_log(path, pid=ME) as log:
        await log.append(chain_of(3))
        head = await log.head()
        wal = path.with_name(f"{path.name}-wal").stat().st_size
        with no_file_beyond(wal + 5_000), pytest.raises(LogFailed, match="I/O"):
            await log.append([commit("big", {"b": 0}, size=2_000)])
        with pytest.raises(LogFailed, match="I/O") as caught:
            await log.append(chain_of(1, after=3))
        assert "restart" in caught.value.hint
        assert (await log.head(), 3) == (head, len(await all_of(log)))

    async with open_log(path, pid=ME) as log:
        await log.append(chain_of(1, after=3))
        assert 4 == len(await all_of(log))


@pytest.mark.parametrize("step", ["executemany", "execute"])
async def test_append_cut_off_from_outside_leaves_the_log_right(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Where even the shield is pierced, the next append finds out what had been stored."""
    async with open_log(path, pid=ME) as log:
        await log.append(chain_of(3))
        ask = getattr(log._db, step)

        async def ask_and_never_hear(*question: object) -> None:
            await ask(*question)
            raise CancelledError

        monkeypatch.setattr(log._db, step, ask_and_never_hear)
        with pytest.raises(CancelledError):
            await log.append([commit("x", {"a": 3})])
        monkeypatch.undo()
        (ahead,) = await log.append([commit("z", {"a": 9})])
        assert isinstance(ahead, Conflict)
        assert ahead.actual == (4 if step == "execute" else 3)
        again, late = await log.append([commit("x", {"a": 3}), commit("y", {"a": 3})])

        assert [4] == places(again)
        assert isinstance(again, Appended)
        assert again.repeated == (step == "execute")  # that was the COMMIT
        assert isinstance(late, Conflict)
        assert 4 == len(await all_of(log))


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE record SET data = x'7b7d' WHERE position = 6", "position 6 does not follow"),
        ("UPDATE record SET commit_id = 'a-5' WHERE position = 6", "position 6 is filed"),
        ("DELETE FROM record WHERE position = 6", "position 6 is missing"),
        ("DELETE FROM record WHERE position = 10", "index of streams"),
        ("UPDATE record SET data = x'7b7d' WHERE position = 10", "position 10 does not follow"),
        ("UPDATE stream SET position = 9", "index of streams"),
        ("UPDATE stream SET stream = 'b'", "position 10 is not of the stream"),
        ("DELETE FROM stream", "index of streams"),
        ("INSERT INTO stream VALUES ('b', 3)", "position 3 is not of the stream"),
    ],
)
async def test_tampering_is_named(filled: Path, statement: str, message: str) -> None:
    """Whoever gets around the triggers is found out, with the position he tampered with."""
    change(filled, *UNLOCK, statement)
    with pytest.raises(LogCorrupt, match=message) as caught:
        async with open_log(filled, pid=ME) as log:
            await all_of(log)
    assert caught.value.hint


async def test_stream_behind_its_index_is_named(path: Path) -> None:
    """An index that forgot a stream's last record is found out when that record is read."""
    async with open_log(path, pid=ME) as log:
        await log.append([commit("x", {"a": 0}), commit("y", {"a": 1}), commit("z", {"b": 0})])
    change(path, "UPDATE stream SET position = 1 WHERE stream = 'a'")
    with pytest.raises(LogError, match="position 2 is beyond the end of a"):
        async with open_log(path, pid=ME) as log:
            await all_of(log)


async def test_a_copy_of_a_log_is_the_log(filled: Path, tmp_path: Path) -> None:
    """Records restored into a fresh log are the old ones by their hashes, and it goes on."""
    copy = tmp_path / "copy.sqlite"
    async with open_log(filled, pid=ME) as old, open_log(copy, pid=ME) as new:
        records = await all_of(old)
        await new.restore(records[:4])
        with pytest.raises(LogCorrupt):
            await new.restore(records[5:])
        await new.restore(records[4:])
        assert await old.head() == await new.head()
    async with open_log(copy, pid=ME) as new:
        assert records == await all_of(new)
        (answer,) = await new.append([commit("more", {"a": 10})])
        assert isinstance(answer, Appended)
