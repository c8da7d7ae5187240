"""The queue before the vault: in order, bounded in memory and on disk, and gone afterwards."""

import hashlib
import os
import resource
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import pytest

from daemon.errors import Transient
from daemon.storage import fifo as queue
from daemon.storage import spool as room
from daemon.storage import spool_files
from daemon.storage.fifo import Fifo
from daemon.storage.spool import Bounds, Spool
from tests.support.offload import THREADS

pytestmark = pytest.mark.anyio

OWNER = "20260301T120000Z-00000001"
KIB = 1 << 10
MEMORY, SEGMENT, MOST = 64 * KIB, 128 * KIB, 512 * KIB
DATA = hashlib.shake_256(b"spooled").digest(2_000 * KIB)
PIECES = [DATA[begin : begin + 30_000] for begin in range(0, len(DATA), 30_000)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments and chunks of a size that suits two megabytes."""
    monkeypatch.setattr(queue, "SEGMENT_BYTES", SEGMENT)
    monkeypatch.setattr(queue, "LARGEST_CHUNK_BYTES", 50_000)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Half a megabyte on disk."""
    return Spool(Bounds(str(tmp_path), OWNER, MOST), THREADS)


@asynccontextmanager
async def fifo_on(spool: Spool | None, fulls: list[int] | None = None) -> AsyncIterator[Fifo]:
    """A queue that is given back at the end; `fulls` gets an entry each time it is full."""
    told: list[int] = [] if fulls is None else fulls
    fifo = Fifo(on_full=lambda: told.append(1), memory_bytes=MEMORY)
    if spool is not None:
        fifo.use(spool)
    try:
        yield fifo
    finally:
        await fifo.aclose()


async def bring(fifo: Fifo, pieces: list[bytes] = PIECES) -> None:
    """Put everything, three pieces at a time, and end."""
    for begin in range(0, len(pieces), 3):
        await fifo.put(pieces[begin : begin + 3])
    fifo.end()


async def taken(fifo: Fifo) -> bytes:
    """All that comes out."""
    got = []
    while (piece := await fifo.get()) is not None:
        got.append(piece)
    return b"".join(got)


def files(folder: Path) -> list[Path]:
    """All that is in a folder."""
    return sorted(folder.iterdir())


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """The system refuses to let any file of ours grow beyond this, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_fast_vault_costs_no_file(spool: Spool, tmp_path: Path) -> None:
    """Bytes that are taken as they come never touch the disk."""
    seen: list[Path] = []
    async with fifo_on(spool) as fifo:
        for piece in PIECES:
            await fifo.put([piece])
            assert await fifo.get() == piece
            seen += files(tmp_path)
    assert (seen, fifo.spooled_bytes) == ([], 0)


async def test_bytes_come_in_order_over_memory_and_disk(spool: Spool, tmp_path: Path) -> None:
    """What comes out is what went in, though a part of it went over the disk, more than once."""
    async with fifo_on(spool) as fifo:
        await fifo.put(PIECES[:12])
        first = [await fifo.get() for _ in range(9)]
        await fifo.put(PIECES[12:14])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bring, fifo, PIECES[14:])
            rest = await taken(fifo)
    assert b"".join(piece or b"" for piece in first) + rest == DATA
    assert fifo.spooled_bytes > MOST
    assert (files(tmp_path), spool.taken_bytes) == ([], 0)


async def test_a_full_spool_holds_the_source_back(spool: Spool) -> None:
    """Without a reader memory and spool fill to their bounds and no further, and say so."""
    fulls: list[int] = []
    async with fifo_on(spool, fulls) as fifo, anyio.create_task_group() as tasks:
        tasks.start_soon(bring, fifo)
        with anyio.fail_after(20):
            while not fulls:
                await anyio.lowlevel.checkpoint()
        assert spool.taken_bytes == MOST
        assert MOST < fifo.waiting_bytes <= MOST + MEMORY
        assert await taken(fifo) == DATA
    assert fifo.waiting_bytes == 0


async def test_room_is_given_back_while_the_vault_reads(spool: Spool, tmp_path: Path) -> None:
    """A segment is removed when it has been read, and not at the end."""
    async with fifo_on(spool) as fifo:
        await fifo.put(PIECES[:15])
        full_bytes, before = spool.taken_bytes, len(files(tmp_path))
        got = b""
        while len(got) < 300_000:
            got += await fifo.get() or b""
        assert spool.taken_bytes < full_bytes
        assert len(files(tmp_path)) < before
        assert sum(path.stat().st_size for path in files(tmp_path)) == spool.taken_bytes


async def test_without_a_spool_only_memory_waits() -> None:
    """Where there is no spool the source is held back by memory alone."""
    async with fifo_on(None) as fifo, anyio.create_task_group() as tasks:
        tasks.start_soon(bring, fifo)
        await anyio.wait_all_tasks_blocked()
        assert 0 < fifo.waiting_bytes <= MEMORY
        assert await taken(fifo) == DATA


async def test_backups_share_the_room_and_none_is_stuck(spool: Spool) -> None:
    """A queue that finds all room taken by another one still moves, and gets room later."""
    both = fifo_on(spool), fifo_on(spool)
    async with both[0] as greedy, both[1] as second, anyio.create_task_group() as tasks:
        tasks.start_soon(bring, greedy)
        with anyio.fail_after(20):
            while spool.taken_bytes < MOST:
                await anyio.lowlevel.checkpoint()
        tasks.start_soon(bring, second)
        assert await taken(second) == DATA
        assert second.spooled_bytes == 0
        assert await taken(greedy) == DATA
    assert spool.taken_bytes == 0


async def test_files_are_the_daemon_s_alone(spool: Spool, tmp_path: Path) -> None:
    """Nobody else may read what waits on disk, and its name says whose it is."""
    async with fifo_on(spool) as fifo:
        await fifo.put(PIECES[:6])
        (file,) = files(tmp_path)
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.name.startswith(OWNER)
    assert files(tmp_path) == []


async def test_a_disk_that_refuses_bytes_is_a_clear_failure(spool: Spool, tmp_path: Path) -> None:
    """No room on the disk is told with the folder and what to set, and leaves nothing there."""
    async with fifo_on(spool) as fifo:
        with file_size_limit(20_000), pytest.raises(Transient) as failed:
            await fifo.put(PIECES[:6])
    assert failed.value.code == "spool-disk-full"
    assert str(tmp_path) in failed.value.message
    assert "[spool]" in failed.value.hint
    assert (files(tmp_path), spool.taken_bytes) == ([], 0)


async def test_a_disk_that_is_full_already_is_not_begun_with(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the disk has next to nothing left the attempt fails before a file is made."""
    monkeypatch.setattr(spool_files, "free_bytes", lambda _: room.FULL_BYTES)
    async with fifo_on(spool) as fifo:
        with pytest.raises(Transient) as failed:
            await fifo.put(PIECES[:6])
        assert files(tmp_path) == []
    assert failed.value.code == "spool-disk-full"


async def test_the_spool_takes_four_fifths_of_the_disk_at_most(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """However much is allowed, a fifth of what the disk had free is left to the event log."""
    large = Spool(Bounds(str(tmp_path), OWNER, 1 << 40), THREADS)
    monkeypatch.setattr(spool_files, "free_bytes", lambda _: 100 << 20)
    assert await large.limit_bytes() == 80 << 20
    large.take(10 << 20)
    assert await large.limit_bytes() == 90 << 20


def cut(file: Path) -> None:
    """It ends early."""
    os.truncate(file, 10)


def flip(file: Path) -> None:
    """One bit of it is another."""
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(("spoil", "told"), [(cut, "bytes early"), (flip, "other bytes")])
async def test_a_spoilt_file_is_noticed(
    spool: Spool, tmp_path: Path, spoil: Callable[[Path], None], told: str
) -> None:
    """A spool that does not give back what it got fails the attempt; nothing of it is stored."""
    async with fifo_on(spool) as fifo:
        await fifo.put(PIECES[:6])
        fifo.end()
        (file,) = files(tmp_path)
        spoil(file)
        with pytest.raises(Transient) as failed:
            await taken(fifo)
    assert failed.value.code == "spool-failed"
    assert told in failed.value.message


async def test_a_start_sweeps_its_own_files_only(spool: Spool, tmp_path: Path) -> None:
    """What a crash left is removed; other installations' files and all else stay."""
    ours = [f"{OWNER}.{number}.spool" for number in (1, 22)]
    theirs = ["20250101T000000Z-0000000a.1.spool", "notes.txt", f"{OWNER}.spool", f"{OWNER}.1"]
    for name in (*ours, *theirs):
        (tmp_path / name).write_bytes(b"12345")
    (tmp_path / f"{OWNER}.3.spool").mkdir()
    (tmp_path / f"{OWNER}.4.spool").symlink_to(tmp_path / "notes.txt")

    swept = await spool.sweep()

    assert (swept.files, swept.size_bytes, swept.others) == (2, 10, 1)
    left = {path.name for path in files(tmp_path)}
    assert left == {*theirs, f"{OWNER}.3.spool", f"{OWNER}.4.spool"}


async def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A spool without its folder fails with the folder's name, and not as a bug."""
    with pytest.raises(Transient) as failed:
        await Spool(Bounds(str(tmp_path / "gone"), OWNER, MOST), THREADS).sweep()
    assert failed.value.code == "spool-failed"
    assert "gone" in failed.value.message
