"""A stream whose vault is slower than its source: the source is let go, the bytes are not."""

import hashlib
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import ParamSpec, TypeVar

import anyio
import pytest

from daemon.errors import Transient
from daemon.storage import fifo
from daemon.storage.memory import MemoryStore, MemoryVault, MemoryWriter
from daemon.storage.pace import FULL, SENDING
from daemon.storage.pipeline import Packing, Storing
from daemon.storage.spool import Bounds, Spool
from tests.support.keys import sealing
from tests.support.offload import THREADS
from tests.support.sources import Board
from tests.support.storing import OBJECT, chunks, unpacked

pytestmark = pytest.mark.anyio

P = ParamSpec("P")
T = TypeVar("T")

MIB = 1 << 20
NOISE = hashlib.shake_256(b"noise").digest(24 * MIB)
OWNER = "20260301T120000Z-00000001"
write = MemoryWriter.write


class Counted:
    """Threads, and how many calls are in them."""

    def __init__(self) -> None:
        self.under_way = 0

    async def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `daemon.ports.Offload`."""
        self.under_way += 1
        try:
            return await THREADS(function, *args, **kwargs)
        finally:
            self.under_way -= 1

    async def settled(self) -> None:
        """Wait until nothing moves any more, threads included."""
        with anyio.fail_after(20):
            await anyio.wait_all_tasks_blocked()
            while self.under_way:
                await anyio.lowlevel.checkpoint()
                await anyio.wait_all_tasks_blocked()


OFFLOAD = Counted()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> anyio.Event:
    """The vault in memory takes nothing until this is set, and little memory waits for it."""
    opened = anyio.Event()

    async def gated(writer: MemoryWriter, data: bytes) -> None:
        await opened.wait()
        await write(writer, data)

    monkeypatch.setattr(MemoryWriter, "write", gated)
    monkeypatch.setattr(fifo.Fifo.__init__, "__defaults__", (MIB,))
    return opened


def on_disk(folder: Path) -> bytes:
    """All that the spool's files hold, in order."""
    found = sorted(folder.iterdir(), key=lambda path: int(path.name.split(".")[1]))
    return b"".join(path.read_bytes() for path in found)


def packing(folder: Path, board: Board | None = None, max_bytes: int = 1 << 30) -> Packing:
    """With a spool in that folder."""
    spool = Spool(Bounds(str(folder), OWNER, max_bytes), OFFLOAD)
    return Packing(OFFLOAD, progress=board, spool=spool)


async def test_the_source_is_let_go_before_the_vault_has_a_byte(
    gate: anyio.Event, tmp_path: Path
) -> None:
    """Reading ends when the source does, with everything on disk, and the object is whole."""
    store, board = MemoryStore(), Board()
    vault = MemoryVault(store)
    async with Storing(vault, OBJECT, packing(tmp_path, board)) as storing:
        async with aclosing(chunks(NOISE)) as source:
            await storing.read(source, expected_bytes=len(NOISE))
        await OFFLOAD.settled()
        assert [bytes(upload.data) for upload in store.uploads] == [b""]
        assert len(on_disk(tmp_path)) > 20 * MIB
        assert board.phases[0].startswith(SENDING)
        gate.set()
        shard = await storing.finish()
    assert await unpacked(vault, shard) == NOISE
    assert on_disk(tmp_path) == b""


async def test_what_waits_on_disk_is_encrypted(gate: anyio.Event, tmp_path: Path) -> None:
    """With recipients the spool holds a piece of the very object that the vault will have."""
    store = MemoryStore()
    how = packing(tmp_path)
    how = Packing(OFFLOAD, spool=how.spool, sealing=sealing())
    async with Storing(MemoryVault(store), OBJECT, how) as storing:
        async with aclosing(chunks(NOISE)) as source:
            await storing.read(source)
        await OFFLOAD.settled()
        waiting = on_disk(tmp_path)
        gate.set()
        await storing.finish()
    assert store.objects[OBJECT].startswith(b"age-encryption.org/v1")
    assert len(waiting) > 20 * MIB
    assert waiting in store.objects[OBJECT]


@pytest.mark.parametrize("how", ["no spool", "a patient source", "a full spool"])
async def test_otherwise_the_source_waits_for_the_vault(
    gate: anyio.Event, tmp_path: Path, how: str
) -> None:
    """Without a spool, for a source that may wait, and with a full one: back-pressure.

    Only the full spool is told of, with what is left to read.
    """
    board = Board()
    spooling = packing(tmp_path, board, max_bytes=4 * MIB)
    used = Packing(OFFLOAD, progress=board) if how == "no spool" else spooling
    store = MemoryStore()
    async with (
        Storing(MemoryVault(store), OBJECT, used) as storing,
        aclosing(chunks(NOISE)) as source,
    ):
        async with anyio.create_task_group() as tasks:
            read = anyio.Event()

            async def reading() -> None:
                await storing.read(
                    source, expected_bytes=len(NOISE), spooled=how != "a patient source"
                )
                read.set()

            tasks.start_soon(reading)
            await OFFLOAD.settled()
            assert not read.is_set()
            assert len(on_disk(tmp_path)) == (4 * MIB if how == "a full spool" else 0)
            assert [phase.startswith(FULL) for phase in board.phases] == [True][
                : how == "a full spool"
            ]
            gate.set()
        shard = await storing.finish()
    assert await unpacked(MemoryVault(store), shard) == NOISE


async def test_a_vault_that_fails_later_ends_what_waits_for_it(
    gate: anyio.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vault's error, come after the source's end, is the one that is told; no file stays."""

    async def failing(writer: MemoryWriter, data: bytes) -> None:
        await gate.wait()
        raise Transient("vault-full", "full", "make room")

    monkeypatch.setattr(MemoryWriter, "write", failing)
    store = MemoryStore()

    async def waiting() -> None:
        async with Storing(MemoryVault(store), OBJECT, packing(tmp_path)) as storing:
            async with aclosing(chunks(NOISE)) as source:
                await storing.read(source)
            gate.set()
            await anyio.sleep_forever()

    with pytest.raises(Transient) as failed:
        await waiting()
    assert failed.value.code == "vault-full"
    assert (store.objects, store.uploads, on_disk(tmp_path)) == ({}, [], b"")


async def test_what_is_left_before_its_end_leaves_nothing(
    gate: anyio.Event, tmp_path: Path
) -> None:
    """A context that is left before `finish` has stored nothing, and keeps no file."""
    store = MemoryStore()
    storing = Storing(MemoryVault(store), OBJECT, packing(tmp_path))
    async with storing, aclosing(chunks(NOISE)) as source:
        await storing.read(source)
    assert (store.objects, store.uploads, on_disk(tmp_path)) == ({}, [], b"")
