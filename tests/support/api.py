"""The socket API on a log in memory, and its callers: clients, the command line, raw sockets.

Running caches and restores are stood in for by fixed answers; everything between a caller's
bytes and the log is the real thing.
"""

import io
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, redirect_stderr, redirect_stdout
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import anyio
import msgspec
from anyio import to_thread
from msgspec import Struct

from daemon.api import Access, Limits, Outside, listening, serve
from daemon.api.seams import Exporter, Keyspace, no_keyspace
from daemon.board import Board
from daemon.cli import desk
from daemon.cli.main import run as run_cli
from daemon.client import Client, Query
from daemon.commands import Request
from daemon.errors import ValkeepError
from daemon.ledger import DAEMON, Ledger
from daemon.valkey.address import parse
from events import codec
from events.envelope import Commit, Entry
from events.facts import (
    START,
    CacheSettings,
    CommitId,
    Position,
    Probe,
    RestorePlan,
    Stream,
    VaultName,
)
from events.memory import InMemoryLog
from events.types import Event, stream_of
from projections.caches import Cache
from projections.catalog import Backup
from tests.simulation.virtual import CountedIds
from tests.support.given import NOON
from tests.support.offload import THREADS
from tests.support.samples import PROBE, plan

T = TypeVar("T")
AS_ADMIN = Access(users={os.geteuid(): "admin"}, groups={})
DEADLINE_SECONDS = 20.0


class SetClock:
    """A clock that stands until it is set, or goes a step on each look at it."""

    def __init__(self) -> None:
        self.instant = NOON + timedelta(hours=3)
        self.step = timedelta(0)

    def now(self) -> datetime:
        """See `daemon.ports.Clock`."""
        self.instant += self.step
        return self.instant


class Outcomes:
    """What looking at a cache and planning a restore answer, and how often they were asked."""

    def __init__(self) -> None:
        self.found: Probe | ValkeepError = PROBE
        self.planned: RestorePlan = plan()
        self.probes: list[CacheSettings] = []

    async def probe(self, settings: CacheSettings) -> Probe:
        """See `daemon.api.Prober`."""
        self.probes.append(settings)
        if isinstance(self.found, ValkeepError):
            raise self.found
        return self.found

    async def plan(
        self, backup: Backup, target: Cache, vault: VaultName | None = None
    ) -> RestorePlan:
        """See `daemon.api.Planner`."""
        assert backup.phase == "complete"
        assert target.name
        assert vault in (None, *(copy.vault for copy in backup.copies))
        return self.planned


class Served:
    """A running API, and ways to call it that leave the event loop free."""

    def __init__(self, path: Path, outside: Outside, outcomes: Outcomes, clock: SetClock) -> None:
        self.path = path
        self.outside = outside
        self.outcomes = outcomes
        self.clock = clock

    @property
    def ledger(self) -> Ledger:
        """The ledger behind it."""
        return self.outside.ledger

    async def get(self, shape: type[T], route: str, query: Query | None = None) -> T:
        """One question by the client that the command line uses."""
        client = Client(str(self.path), crowd_seconds=0)
        raw = await to_thread.run_sync(client.get, route, query)
        return msgspec.json.decode(raw, type=shape)

    async def post(
        self, shape: type[T], route: str, said: Request | Struct, key: str | None = None
    ) -> T:
        """One command or plan by the client that the command line uses."""
        client, body = Client(str(self.path)), msgspec.json.encode(said)
        raw = await to_thread.run_sync(lambda: client.post(route, body, key=key))
        return msgspec.json.decode(raw, type=shape)

    async def lines(self, route: str, query: Query | None = None) -> list[bytes]:
        """All lines of a stream that ends."""
        client = Client(str(self.path))
        return await to_thread.run_sync(lambda: list(client.lines(route, query)))

    async def type(self, *arguments: str, keyboard: str | None = None) -> "Printed":
        """A command line, typed; with a keyboard there is a terminal and a person at it."""
        return await to_thread.run_sync(
            lambda: typed("--socket", str(self.path), *arguments, keyboard=keyboard)
        )


class Printed(Struct, frozen=True):
    """What a command line left behind."""

    code: int
    out: str
    err: str


def typed(*arguments: str, keyboard: str | None = None) -> Printed:
    """Run the command line in this process; one call at a time."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
    before, interactive = sys.stdin, desk.Desk.interactive
    sys.stdin = io.StringIO(keyboard or "")
    desk.Desk.interactive = property(lambda _: keyboard is not None)  # type: ignore[assignment,method-assign]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = run_cli(list(arguments))
    finally:
        sys.stdin = before
        desk.Desk.interactive = interactive  # type: ignore[method-assign]
    out.seek(0)
    err.seek(0)
    return Printed(code, out.read(), err.read())


async def log_of(*events: Event | Sequence[Event]) -> InMemoryLog:
    """A log that holds these events, each item in a commit of its own, a minute apart."""
    log = InMemoryLog()
    heads: dict[Stream, Position] = {}
    at, position = NOON, START
    for item in events:
        group = tuple(item) if isinstance(item, Sequence) else (item,)
        entries = tuple(Entry(stream_of(event), codec.encode(event)) for event in group)
        relied = {entry.stream: heads.get(entry.stream, START) for entry in entries}
        commit = Commit(CommitId(f"c{position}"), at, DAEMON, relied, entries)
        await log.append([commit])
        for entry in entries:
            position = Position(position + 1)
            heads[entry.stream] = position
        at += timedelta(minutes=1)
    return log


@contextmanager
def doorway() -> Generator[Path, None, None]:
    """A short path for a socket, in a folder that every user may enter."""
    with tempfile.TemporaryDirectory(prefix="vk-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "s"


@asynccontextmanager
async def serving(
    *events: Event | Sequence[Event],
    access: Access = AS_ADMIN,
    limits: Limits | None = None,
    exporter: Exporter | None = None,
    keyspace: Keyspace = no_keyspace,
) -> AsyncGenerator[Served, None]:
    """An API over a log that holds these events."""
    clock, outcomes = SetClock(), Outcomes()
    ledger = Ledger(await log_of(*events), clock, CountedIds(0))
    await ledger.load()
    outside = Outside(
        ledger=ledger,
        board=Board(clock),
        clock=clock,
        offload=THREADS,
        prober=outcomes,
        planner=outcomes,
        vaults={VaultName("main"): "file:///var/backups/valkeep"},
        check_url=parse,
        locate=lambda b: (
            f"file:///var/backups/valkeep/caches/{b.cache}/{b.backup_id}/0000.rdb.zst",
        ),
        version="0.1.0",
        started_at=NOON,
        exporter=exporter,
        keyspace=keyspace,
    )
    with doorway() as path, listening(path) as door:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ledger.run)
            tasks.start_soon(serve, door, outside, access, limits)
            with anyio.fail_after(DEADLINE_SECONDS):
                yield Served(path, outside, outcomes, clock)
            tasks.cancel_scope.cancel()
