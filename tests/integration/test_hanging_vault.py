"""A directory vault whose file system hangs: a real thread in a call that does not return.

The thread reads a pipe that nobody writes to, as a thread in the D state waits for a server
that is gone; what comes in the end makes it go on as if nothing had happened.
"""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import anyio
import pytest
from anyio.abc import TaskGroup
from msgspec import Struct
from structlog.testing import capture_logs

from daemon.actors import job
from daemon.actors.backup import BackupActor, Surroundings
from daemon.actors.packing import PipelinePacker
from daemon.actors.removal import RemovalActor
from daemon.actors.worker import Actors, Limits, Worker
from daemon.app.real import Threads
from daemon.commands import AddCache, RecordCache, RequestBackup
from daemon.ledger import Ledger
from daemon.storage import folders
from daemon.storage.local import DirectoryVault
from daemon.storage.shelf import Shelf
from daemon.valkey.engine import find_engines
from events.facts import CacheName, CacheSettings, VaultName
from events.memory import InMemoryLog
from projections.catalog import Backup
from projections.work import outstanding
from tests.simulation.virtual import CountedIds
from tests.support.given import ANNA
from tests.support.samples import HERE
from tests.support.servers import command, start_node
from tests.support.sources import AlwaysNoon, caches
from tests.unit.test_worker import Hand

P = ParamSpec("P")
T = TypeVar("T")
pytestmark = pytest.mark.anyio

GOOD, BAD = VaultName("good"), VaultName("bad")
STALL_SECONDS = 1.0
GRACE_SECONDS = 0.3
WORK_SECONDS = 30.0


class HangingThreads(Threads):
    """An `Offload` whose writes hang in their threads until the pipe tells them to go on."""

    def __init__(self, pipe: int, *, threads: int) -> None:
        super().__init__(threads)
        self._pipe = pipe
        self.hangs = True

    async def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, in the end."""
        if self.hangs and function.__name__ == folders.append.__name__:
            return await super().__call__(self._late, partial(function, *args, **kwargs))
        return await super().__call__(function, *args, **kwargs)

    def _late(self, function: Callable[[], T]) -> T:
        os.read(self._pipe, 1)
        return function()


class Site(Struct):
    """A worker with two vaults, one of which hangs; `release` lets so many calls go on."""

    ledger: Ledger
    bad: HangingThreads
    release: Callable[[int], object]
    tasks: TaskGroup

    async def backup(self, cache: str, *, name: str) -> Backup:
        """Make a backup and wait until it has ended, well or not."""
        await self.ledger.execute(RequestBackup(cache, name), ANNA)
        with anyio.fail_after(WORK_SECONDS):
            state = self.ledger.state
            while True:
                found = [b for b in state.catalog[CacheName(cache)].values() if b.name == name]
                if found[0].phase not in ("waiting", "running"):
                    return found[0]
                state = await self.ledger.changed(state)

    async def settled(self) -> None:
        """Wait until nothing is outstanding."""
        with anyio.fail_after(WORK_SECONDS):
            state = self.ledger.state
            while list(outstanding(state)):
                state = await self.ledger.changed(state)


@asynccontextmanager
async def site(urls: dict[str, str], root: Path) -> AsyncGenerator[Site, None]:
    """A worker at work; a cache for each URL, the first in the bad vault, the others in the good.

    Whatever hangs at the end is let go, so that no thread outlives the test.
    """
    reading, writing = os.pipe()
    bad = HangingThreads(reading, threads=2)
    ledger = Ledger(InMemoryLog(), AlwaysNoon(), CountedIds())
    openers = {
        GOOD: partial(_vault, root / GOOD, Threads()),
        BAD: partial(_vault, root / BAD, bad),
    }
    shelf = Shelf(openers, HERE)
    outside = Surroundings(
        caches=caches(),
        vaults=shelf,
        pack=PipelinePacker(Threads(), engine=None),
        clock=AlwaysNoon(),
        installation=HERE,
    )
    nobody = Hand(_idle)
    backup, removal = BackupActor(ledger, outside), RemovalActor(ledger, shelf)
    names = ("copy", "restore", "undo", "verify", "export", "compare")
    others = dict.fromkeys(names, nobody)
    actors = Actors(backup=backup, removal=removal, **others)
    limits = Limits(backups=1, stall_seconds=STALL_SECONDS)
    worker = Worker(ledger, actors, limits, AlwaysNoon(), CountedIds(1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ledger.run)
        tasks.start_soon(worker.run)
        try:
            for number, (name, url) in enumerate(urls.items()):
                settings = CacheSettings(
                    url=url, vault=GOOD if number else BAD, source="replication"
                )
                await ledger.execute(RecordCache(AddCache(name, url), settings), ANNA)
            yield Site(ledger, bad, lambda calls: os.write(writing, b"x" * calls), tasks)
        finally:
            bad.hangs = False
            os.write(writing, b"x" * 100)
            tasks.cancel_scope.cancel()
    os.close(reading)
    os.close(writing)


def _vault(root: Path, threads: Threads) -> DirectoryVault:
    root.mkdir(parents=True, exist_ok=True)
    return DirectoryVault(str(root), threads)


async def _idle(*_: object) -> None:
    """Restores do not come up here."""


@asynccontextmanager
async def a_url(directory: Path) -> AsyncGenerator[str, None]:
    """A server that holds something."""
    engine = (await find_engines(os.defpath))[0]
    async with start_node(engine, directory) as node:
        client = node.client()
        await command(client, "DEBUG", "POPULATE", "1000")
        await client.aclose()
        yield node.url


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody wants to wait for a minute."""
    monkeypatch.setattr(job, "GRACE_SECONDS", GRACE_SECONDS)


def left(root: Path) -> list[str]:
    """What lies in a vault's backups, temporary files included."""
    return sorted(path.name for path in (root / "caches").rglob("*") if path.is_file())


async def test_hanging_vault_holds_up_nobody(tmp_path: Path) -> None:
    """A backup whose thread never returns fails; its place, its cache and other vaults are free.

    What it left is swept when the call returns, and not before.
    """
    with capture_logs():
        async with a_url(tmp_path / "n") as url, site({"bad": url, "good": url}, tmp_path) as here:
            here.bad.hangs = False
            assert "complete" == (await here.backup("bad", name="before")).phase
            here.bad.hangs = True
            first = await here.backup("bad", name="one")
            assert first.failure is not None
            assert ("failed", "stuck") == (first.phase, first.failure.code)
            assert (1,) == here.ledger.state.catalog[CacheName("bad")][first.backup_id].stuck

            good = await here.backup("good", name="two")
            assert "complete" == good.phase
            assert 3 == len(left(tmp_path / BAD))

            here.bad.hangs = False
            again = await here.backup("bad", name="three")
            assert "complete" == again.phase

            here.release(1)
            await here.settled()
            assert 2 * ["0000.rdb.zst"] + 2 * ["manifest.json"] == left(tmp_path / BAD)


async def test_threads_of_a_vault_that_hangs_are_bounded(tmp_path: Path) -> None:
    """When all threads of a vault hang, its next users stall without taking another one."""
    with capture_logs():
        async with a_url(tmp_path / "n") as url, site({"bad": url, "good": url}, tmp_path) as here:
            codes = []
            for name in ("one", "two", "three", "four"):
                failed = await here.backup("bad", name=name)
                assert failed.failure is not None
                codes.append(failed.failure.code)
            assert ["stuck", "stuck", "stalled", "stalled"] == codes
            good = await here.backup("good", name="five")
            assert "complete" == good.phase

            here.bad.hangs = False
            here.release(2)
            await here.settled()
            assert [] == left(tmp_path / BAD)
