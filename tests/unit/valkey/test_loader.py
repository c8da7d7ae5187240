"""A private engine loads from a pipe, within its walls, and leaves nothing behind."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from anyio.abc import Process

from daemon.errors import Permanent
from daemon.valkey import confine
from daemon.valkey.engine import Engine, find_engines
from daemon.valkey.loader import Loaded, Loader, NotLoaded, Room, rdb_loader, sweep
from tests.support.servers import fill, start_node
from tests.support.sources import caches, settings, take

pytestmark = pytest.mark.anyio

PLENTY = 4 << 30


@pytest.fixture(scope="module")
async def engine() -> Engine:
    """The engine that loads."""
    return (await find_engines(os.defpath))[0]


@pytest.fixture(scope="module")
async def dump(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An RDB of a filled server."""
    async with start_node(engine, tmp_path_factory.mktemp("n")) as node:
        client = node.client()
        await fill(client, keys=500)
        await client.aclose()
        return (await take(caches(), settings(node.url))).data


@asynccontextmanager
async def fed(engine: Engine, room: Room, data: bytes) -> AsyncGenerator[Loader, None]:
    """A load that has been given these bytes."""
    async with rdb_loader(engine, room) as loader:
        await loader.feed(data)
        yield loader


def process_of(loader: Loader) -> Process:
    """The engine's process."""
    assert loader._process is not None
    return loader._process


async def test_all_is_loaded_and_nothing_stays(engine: Engine, dump: bytes, tmp_path: Path) -> None:
    """Keys are counted as the engine counts them; its folder holds no data, and goes with it."""
    async with fed(engine, Room(tmp_path / "e", PLENTY), dump) as loader:
        found = await loader.verdict()
        (folder,) = (tmp_path / "e").iterdir()
        assert {"engine.log", "engine.sock"} == {path.name for path in folder.iterdir()}
        assert 0o700 == folder.stat().st_mode & 0o777
        pid = process_of(loader).pid

    assert isinstance(found, Loaded)
    assert sum(found.keys_per_database.values()) == found.keys
    assert [] == list((tmp_path / "e").iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_the_engine_has_its_walls(engine: Engine, dump: bytes, tmp_path: Path) -> None:
    """No TCP port, limits of memory and files, low priority, and a network of its own or a note."""
    async with fed(engine, Room(tmp_path / "e", PLENTY), dump) as loader:
        found = await loader.verdict()
        proc = Path(f"/proc/{process_of(loader).pid}")
        limits = [line.split() for line in (proc / "limits").read_text().splitlines()]
        networks = {(each / "ns" / "net").readlink() for each in (proc, Path("/proc/self"))}
        alone = len(networks) == 2
        assert os.getpriority(os.PRIO_PROCESS, process_of(loader).pid) >= confine.NICE
        assert "1000" == (proc / "oom_score_adj").read_text().strip()
        listening = (proc / "net" / "tcp").read_text().count(" 0A ") if alone else 0

    assert isinstance(found, Loaded)
    assert alone or any("network" in lack for lack in found.lacks)
    assert 0 == listening
    wanted = {"address": PLENTY, "file": confine.MOST_WRITTEN_BYTES, "core": 0}
    soft = {words[1]: words[-3] for words in limits if words[1] in wanted and "size" in words}
    soft |= {words[1]: words[-3] for words in limits if words[1] == "address"}
    assert {name: str(limit) for name, limit in wanted.items()} == soft


@pytest.mark.parametrize("length", [0, 5, 2_000])
async def test_bytes_that_end_early_are_not_loaded(
    engine: Engine, dump: bytes, tmp_path: Path, length: int
) -> None:
    """The engine gives up with its reason; that is how a killed daemon's engine ends, too."""
    async with fed(engine, Room(tmp_path / "e", PLENTY), dump[:length]) as loader:
        found = await loader.verdict()

    assert isinstance(found, NotLoaded)
    assert engine.label in found.reason
    assert [] == list((tmp_path / "e").iterdir())


async def test_too_few_databases_are_told(engine: Engine, dump: bytes, tmp_path: Path) -> None:
    """An engine that ends while it is fed takes no more bytes, and says why."""
    room = Room(tmp_path / "e", PLENTY, databases=1)
    async with fed(engine, room, dump) as loader:
        found = await loader.verdict()

    assert isinstance(found, NotLoaded)
    assert "more than 1 databases" in found.reason


async def test_a_long_path_is_refused(engine: Engine, tmp_path: Path) -> None:
    """A folder whose sockets would have no address is refused before anything is run."""
    with pytest.raises(Permanent) as caught:
        async with rdb_loader(engine, Room(tmp_path / ("x" * 100), PLENTY)):
            raise AssertionError("it must not come so far")

    assert "engine-socket" == caught.value.code


async def test_what_a_killed_daemon_left_is_swept(tmp_path: Path) -> None:
    """The folder goes with all that is in it; none there is success."""
    (tmp_path / "e" / "l1").mkdir(parents=True)
    (tmp_path / "e" / "l1" / "engine.log").write_text("so far")
    sweep(tmp_path / "e")
    sweep(tmp_path / "e")
    assert not (tmp_path / "e").exists()
