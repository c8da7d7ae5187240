"""Rows 7 and 8: what the event log costs, against SQLite used plainly on the same disk."""

import os
import sqlite3
import tempfile
from contextlib import aclosing, closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import anyio
from structlog.testing import capture_logs

from benchmarks.history import fleet, write, years
from benchmarks.stage import seconds
from daemon.app.memory import uncollected
from daemon.app.real import Threads
from daemon.commands import RecordCache, SetCache
from daemon.frozen import FileDrawer, Freezer
from daemon.frozen.sheet import Stamp, lines
from daemon.ledger import Ledger
from events import codec
from events.envelope import Who
from events.facts import CacheSettings, VaultName
from events.sqlite import open_log
from projections.folding import Folding
from projections.state import State

CALLERS = 64
ANNA = Who(kind="user", uid=1000, user="anna", pid=42)
PAGE_ROWS = 2_000
AFTER = 1_000
"""Records after the state that was kept: what a daemon that was killed has to read, or more."""
CODE = "bench"


class _Clock:
    def now(self) -> datetime:
        """The present instant."""
        return datetime.now(UTC)


class _Ids:
    def __init__(self) -> None:
        self._count = 0

    def new(self) -> str:
        """Ids that count."""
        self._count += 1
        return f"20300114T093000Z-{self._count:08x}"

    def token(self, length: int) -> str:
        """Not used here."""
        return "0" * length

    def jitter(self) -> float:
        """Not used here."""
        return 0.0


def appends(*, events: int, rounds: int) -> None:
    """Row 7: durable events a second of 64 callers, against a commit for each with sqlite3."""
    print(f"row 7: durable appends, {CALLERS} callers / a commit per event (at least 6x)")
    ratios = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="vkb-") as folder:
            ours = events / anyio.run(_append, Path(folder), events)
            theirs = events / 10 / _commit_each(Path(folder), events // 10)
        ratios.append(ours / theirs)
        print(f"    ours {ours:,.0f}/s, theirs {theirs:,.0f}/s: {ratios[-1]:.1f}x", flush=True)
    print(f"    median {median(ratios):.1f}x")


async def _append(folder: Path, events: int) -> float:
    """Seconds for so many commands of one event each, from callers that wait for each answer."""
    await write(folder / "ours.db", fleet(CALLERS), pid=os.getpid())
    async with open_log(folder / "ours.db", pid=os.getpid()) as log:
        ledger = Ledger(log, _Clock(), _Ids())
        await ledger.load()
        async with anyio.create_task_group() as writing:
            writing.start_soon(ledger.run)
            took = await _called(ledger, turns=events // CALLERS)
            writing.cancel_scope.cancel()
    return took


async def _called(ledger: Ledger, *, turns: int) -> float:
    began = seconds()
    async with anyio.create_task_group() as callers:
        for number in range(CALLERS):
            callers.start_soon(_caller, ledger, f"cache-{number:05}", turns)
    return seconds() - began


async def _caller(ledger: Ledger, cache: str, turns: int) -> None:
    for turn in range(turns):
        settings = CacheSettings(url=f"valkey://127.0.0.1:{turn}", vault=VaultName("main"))
        await ledger.execute(RecordCache(SetCache(cache), settings), ANNA)


def _commit_each(folder: Path, events: int) -> float:
    """Seconds for so many rows as the log's, each in a transaction of its own."""
    row = (b"e" * 150, b'{"type":"cache-reconfigured/2","cache":"cache-00001"}' * 3, b"h" * 32)
    with closing(sqlite3.connect(folder / "theirs.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE record (position INTEGER PRIMARY KEY, e BLOB, d BLOB, h BLOB)")
        began = seconds()
        for _ in range(events):
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO record (e, d, h) VALUES (?, ?, ?)", row)
            db.execute("COMMIT")
        return seconds() - began


def folds(*, events: int, rounds: int) -> None:
    """Row 8: the start's fold of a long log, and from a state snapshot, against its bare rows."""
    print(f"row 8: fold of {events:,} events / reading and decoding them (at most 4x the time)")
    with tempfile.TemporaryDirectory(prefix="vkb-") as made:
        path = Path(made, "events.db")
        anyio.run(lambda: write(path, years(events), pid=os.getpid()))
        anyio.run(_keep, path, events - AFTER)
        times = [
            (
                anyio.run(_load, path, None),
                anyio.run(_read, path),
                _decode(path),
                anyio.run(_load, path, path.with_name("state")),
            )
            for _ in range(rounds)
        ]
    own, read, bare, kept = (median(column) for column in zip(*times, strict=True))
    print(f"    ours {own:.1f} s; the log's own reading, its chain checked: {read:.1f} s")
    print(f"    {own / read:.1f}x of that; {own / bare:.1f}x of bare rows and events, {bare:.1f} s")
    ratios = f"{kept / own:.3f}x of the fold (at most 0.1x); {kept / bare:.2f}x of bare rows"
    print(f"    from a state {AFTER:,} records before the end: {kept:.2f} s, {ratios}", flush=True)


async def _keep(path: Path, position: int) -> None:
    """Keep the state as it was at a position beside the log."""
    folding = Folding(State())
    async with open_log(path, pid=os.getpid()) as log, aclosing(log.read()) as records:
        async for record in records:
            folding.add(record.envelope, codec.decode(record.data))
            if record.position == position:
                break
    state = folding.state()
    stamp = Stamp(CODE, state.installation, state.position, record.hash.hex())
    FileDrawer(path.with_name("state")).put(lines(stamp, state))


async def _load(path: Path, kept: Path | None) -> float:
    """Seconds of a start with a log, with or without a state that was kept."""
    async with open_log(path, pid=os.getpid()) as log:
        ledger = Ledger(log, _Clock(), _Ids())
        drawer = FileDrawer(kept or path.with_name("none"))
        freezer = Freezer(ledger, drawer, Threads(), lambda: CODE)
        with uncollected(), capture_logs():
            begun = await freezer.load()
    assert bool(begun.position) == (kept is not None), begun.unused
    return begun.seconds


async def _read(path: Path) -> float:
    """Seconds for the same rows through the log, each envelope and event decoded."""
    async with open_log(path, pid=os.getpid()) as log, aclosing(log.read()) as records:
        began = seconds()
        async for record in records:
            codec.decode(record.data)
        return seconds() - began


def _decode(path: Path) -> float:
    """Seconds for the same rows in pages, each event decoded and nothing made of it."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        began, last = seconds(), 0
        while rows := db.execute(
            "SELECT position, envelope, data, hash FROM record WHERE position > ? "
            "ORDER BY position LIMIT ?",
            (last, PAGE_ROWS),
        ).fetchall():
            for row in rows:
                codec.decode(row[2])
            last = rows[-1][0]
        return seconds() - began
