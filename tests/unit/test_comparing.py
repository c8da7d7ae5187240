"""Comparisons before and beside the engines: what is refused, what is kept, whose turn it is."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import anyio
import msgspec
import pytest
from msgspec.structs import replace

from daemon.actors.compare import CompareActor, NameShelf, Outside
from daemon.actors.compare import names as shelves
from daemon.commands import CancelComparison, DifferingKey, RequestComparison
from daemon.errors import NotFound
from daemon.ports import Progress
from daemon.storage.sealing import NoKeys
from daemon.valkey.contrast import Name
from daemon.valkey.engine import Engine
from events.comparisons import ComparisonRequested
from events.differences import ComparisonId
from events.facts import Failure
from events.types import CacheRegistered, Event, SnapshotTaken
from projections.work import ComparisonWork, Work
from tests.simulation.virtual import pass_time, virtually
from tests.support.given import ANNA
from tests.support.offload import THREADS, at_once
from tests.support.samples import (
    B1,
    B2,
    ORDERS,
    SETTINGS,
    SNAPSHOT,
    complete,
    registered,
)
from tests.unit.test_worker import bench

pytestmark = pytest.mark.anyio

ENGINES = (
    Engine("/bin/valkey-server", None, "valkey", "8.1.8", "system"),
    Engine("/bin/redis-server", None, "redis", "6.2.1", "system"),
)
KEYS = [
    Name("changed", 0, b"a", "hash"),
    Name("changed", 0, b"b\xff", "string"),
    Name("changed", 3, b"c", "set"),
    Name("added", 0, "é\n".encode(), "string"),
]


class Silent:
    """Nobody looks at the progress."""

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        """See `Progress`."""

    def advance(self, moved_bytes: int) -> None:
        """See `Progress`."""


class NoVaults:
    """Nothing may be read."""

    async def readable(self, name: str) -> object:
        """See `ReadableVaults`."""
        raise AssertionError(f"{name} was to be left alone")


@asynccontextmanager
async def refused(
    tmp_path: Path, *, free_bytes: int = 1 << 40, rdb_version: int = 11
) -> AsyncGenerator[Failure, None]:
    """Why a comparison of two backups came to nothing, with so much memory free."""
    outside = Outside(
        NoVaults(),  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        NoKeys(),
        THREADS,
        ENGINES,
        tmp_path,
        lambda: free_bytes,
    )
    snapshot = replace(SNAPSHOT, rdb_version=rdb_version)
    events: list[Event] = [registered()]
    for backup_id, name in ((B1, "one"), (B2, "two")):
        *begun, end = complete(backup_id, name=name)
        events += [*begun, SnapshotTaken(ORDERS, backup_id, snapshot), end]
    async with bench(lambda _: _idle, *events) as b:
        actor = CompareActor(b.ledger, outside, NameShelf(tmp_path, THREADS))
        await b.ledger.execute(RequestComparison(B1, B2), ANNA)
        (comparison_id,) = b.ledger.state.comparisons
        await actor.perform(ComparisonWork(comparison_id, ORDERS), Silent())
        failure = b.ledger.state.comparisons[comparison_id].failure
        assert failure is not None
        yield failure


async def _idle(work: Work, progress: Progress) -> None:
    progress.phase(f"leaving {work} alone")
    await anyio.sleep_forever()


async def test_memory_for_both_is_wanted_before_anything_is_read(tmp_path: Path) -> None:
    """Where both do not fit into memory at once, that is said with the figures."""
    needed = int(SNAPSHOT.server.used_memory_bytes * 1.3) * 2
    async with refused(tmp_path, free_bytes=needed - 1) as failure:
        assert ("memory", True) == (failure.code, failure.permanent)
        assert "backup orders/one takes" in failure.message
        assert "are free" in failure.message


async def test_version_that_no_engine_reads_is_refused_first(tmp_path: Path) -> None:
    """An RDB version beyond the engines here is refused with the versions named."""
    async with refused(tmp_path, rdb_version=80) as failure:
        assert "rdb-version" == failure.code
        assert "backup orders/two has RDB version 80" in failure.message
        assert "engines: valkey 8.1.8." in failure.message


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[NameShelf]:
    """An empty one."""
    with closing(NameShelf(tmp_path, at_once)) as shelf:
        yield shelf


async def told(shelf: NameShelf, comparison_id: str) -> list[DifferingKey]:
    """The names that are kept."""
    raw = b"".join([chunk async for chunk in shelf.lines(comparison_id)])
    return [msgspec.json.decode(line, type=DifferingKey) for line in raw.splitlines()]


async def test_names_are_kept_up_to_a_number_of_each_kind(shelf: NameShelf, tmp_path: Path) -> None:
    """So many of each kind of difference are kept; keys that are no text are in base64."""
    async with shelf.keeping(ComparisonId("x"), 2) as keeping:
        await keeping.take(KEYS)
        with pytest.raises(NotFound):
            await told(shelf, "x")
    assert [
        DifferingKey("changed", 0, "hash", "a"),
        DifferingKey("changed", 0, "string", key_base64="Yv8="),
        DifferingKey("added", 0, "string", "é\n"),
    ] == await told(shelf, "x")
    assert (3, False) == (keeping.kept, keeping.full)
    assert [] == [found async for found in anyio.Path(tmp_path).iterdir()]


async def test_names_that_nobody_asked_for_are_not_kept(shelf: NameShelf) -> None:
    """Without the wish for names, and when a comparison fails, there are none."""
    async with shelf.keeping(ComparisonId("x"), None) as keeping:
        await keeping.take(KEYS)
    with suppress(ZeroDivisionError):
        async with shelf.keeping(ComparisonId("y"), 0) as keeping:
            await keeping.take(KEYS)
            raise ZeroDivisionError
    for comparison_id in ("x", "y"):
        with pytest.raises(NotFound, match="No names are kept"):
            await told(shelf, comparison_id)


async def test_only_the_newest_names_are_kept(
    shelf: NameShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of older comparisons go, and those that take too much room are left out."""
    for number in range(shelves.MOST_KEPT + 1):
        async with shelf.keeping(ComparisonId(f"x{number}"), 0) as keeping:
            await keeping.take(KEYS)
    with pytest.raises(NotFound):
        await told(shelf, "x0")
    assert len(KEYS) == len(await told(shelf, "x1"))

    monkeypatch.setattr(shelves, "MOST_BYTES", 100)
    async with shelf.keeping(ComparisonId("y"), 0) as keeping:
        await keeping.take(KEYS)
    assert (1, True) == (keeping.kept, keeping.full)


def test_names_are_kept_for_some_minutes(shelf: NameShelf) -> None:
    """A quarter of an hour after a comparison its names are gone."""

    async def main() -> None:
        async with shelf.keeping(ComparisonId("x"), 0) as keeping:
            await keeping.take(KEYS)
        await pass_time(shelves.KEPT_SECONDS - 1)
        assert len(KEYS) == len(await told(shelf, "x"))
        await pass_time(2)
        with pytest.raises(NotFound):
            await told(shelf, "x")

    virtually(main)


def test_one_comparison_at_a_time() -> None:
    """The second waits for the first; one that is cancelled makes room at once."""

    async def main() -> None:
        history = (CacheRegistered(cache=ORDERS, settings=SETTINGS), *complete(B1))
        asked = [
            ComparisonRequested(ORDERS, ComparisonId(name), B1, ORDERS) for name in ("x1", "x2")
        ]
        async with bench(lambda _: _idle, *history, *asked) as b:
            await pass_time(10)
            assert [ComparisonWork(ComparisonId("x1"), ORDERS)] == [w for _, w in b.hand.begun]

            await b.ledger.execute(CancelComparison("x1"), ANNA)
            await pass_time(10)
            assert ["x1", "x2"] == [getattr(w, "comparison_id", "") for _, w in b.hand.begun]

    virtually(main)
