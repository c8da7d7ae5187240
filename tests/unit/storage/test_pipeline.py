"""A stream becomes one object, whole and described, or nothing at all."""

import gc
import hashlib
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
import zstandard

from daemon.errors import Transient
from daemon.storage import stages
from daemon.storage.local import DirectoryVault
from daemon.storage.memory import MemoryStore, MemoryVault
from daemon.storage.pipeline import Packing, store
from daemon.storage.vault import ObjectName, ObjectWriter
from tests.support.offload import THREADS
from tests.support.storing import OBJECT, chunks, stored

pytestmark = pytest.mark.anyio

MIB = 1 << 20
NOISE = hashlib.shake_256(b"noise").digest(5 * MIB)


class Refusing:
    """A guard that finds every stream wrong at its end."""

    def feed(self, chunk: bytes) -> None:
        """Takes anything."""

    def finish(self) -> None:
        """Refuses."""
        raise Transient("rdb-checksum", "wrong", "look")


class Slow:
    """A watcher that remembers, and takes its time."""

    def __init__(self) -> None:
        self.seen = b""

    async def feed(self, chunk: bytes) -> None:
        """Remember."""
        await anyio.lowlevel.checkpoint()
        self.seen += chunk


@pytest.mark.parametrize("size_bytes", [0, 1, MIB, 5 * MIB])
async def test_an_object_is_what_its_description_says(
    monkeypatch: pytest.MonkeyPatch, size_bytes: int
) -> None:
    """Sizes and hashes of plain bytes, object and blocks are those of what lies in the vault."""
    monkeypatch.setattr(stages, "BLOCK_BYTES", 100_000)
    objects = MemoryStore()
    plain = NOISE[:size_bytes]
    shard = await stored(MemoryVault(objects), plain)
    data = objects.objects[OBJECT]
    assert zstandard.ZstdDecompressor().decompressobj().decompress(data) == plain
    assert shard.plain_bytes == len(plain)
    assert shard.sha256 == hashlib.sha256(plain).hexdigest()
    assert shard.stored_bytes == len(data)
    offset = 0
    for block in shard.blocks:
        part = data[offset : offset + block.size_bytes]
        assert block.sha256 == hashlib.sha256(part).hexdigest()
        offset += block.size_bytes
    assert offset == len(data)


@pytest.mark.debian("zstd")
async def test_a_stored_object_opens_with_public_tools(tmp_path: Path) -> None:
    """`zstd -d` gives the plain bytes (V1)."""
    await stored(DirectoryVault(str(tmp_path), THREADS), NOISE)
    opened = await anyio.run_process(["zstd", "-dcq", str(tmp_path / OBJECT)])
    assert opened.stdout == NOISE


async def test_a_guard_s_refusal_leaves_nothing() -> None:
    """A stream that a guard finds wrong fails with the guard's error and is not stored."""
    objects = MemoryStore()
    with pytest.raises(Transient) as failed:
        await stored(MemoryVault(objects), NOISE, Refusing())
    assert failed.value.code == "rdb-checksum"
    assert (objects.objects, objects.uploads) == ({}, [])


@pytest.mark.parametrize("error", [Transient("source-ended-early", "cut", "look"), KeyError("bug")])
async def test_the_source_s_error_comes_through(error: Exception) -> None:
    """An error of the source is raised as it is, and nothing is stored."""
    objects = MemoryStore()

    async def failing() -> AsyncGenerator[bytes, None]:
        async with aclosing(chunks(NOISE)) as good:
            async for chunk in good:
                yield chunk
        raise error

    async with aclosing(failing()) as source:
        with pytest.raises(type(error)) as failed:
            await store(source, MemoryVault(objects), OBJECT, Packing(THREADS, (Refusing(),)))
    assert failed.value is error
    assert (objects.objects, objects.uploads) == ({}, [])


async def test_the_vault_s_error_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vault that fails in the middle ends the source and is the error that is told."""

    async def full(writer: ObjectWriter, data: bytes) -> None:
        raise Transient("vault-full", "full", "make room")

    monkeypatch.setattr("daemon.storage.memory.MemoryWriter.write", full)
    with pytest.raises(Transient) as failed:
        await stored(MemoryVault(), NOISE * 4)
    assert failed.value.code == "vault-full"


async def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    """A store that is cancelled in the middle removes what it had written."""
    with anyio.CancelScope() as scope:

        async def cancelling() -> AsyncGenerator[bytes, None]:
            for _ in range(40):
                yield NOISE
            scope.cancel()
            await anyio.sleep_forever()

        async with aclosing(cancelling()) as source:
            vault = DirectoryVault(str(tmp_path), THREADS)
            await store(source, vault, OBJECT, Packing(THREADS))
    assert scope.cancelled_caught
    left = [path async for path in anyio.Path(tmp_path).rglob("*") if await path.is_file()]
    assert left == []


async def test_a_watcher_sees_every_byte() -> None:
    """Whoever watches is shown the plain bytes in order, once."""
    watcher = Slow()
    async with aclosing(chunks(NOISE)) as source:
        await store(source, MemoryVault(), OBJECT, Packing(THREADS, watcher=watcher))
    assert watcher.seen == NOISE


async def test_memory_does_not_grow_with_the_stream(tmp_path: Path) -> None:
    """200 MiB need no more than 40 MiB: what is not taken is not read."""
    vault = DirectoryVault(str(tmp_path), THREADS)

    async def source() -> AsyncGenerator[bytes, None]:
        for _ in range(200):
            yield NOISE[:MIB]

    gc.collect()
    tracemalloc.start()
    try:
        async with aclosing(source()) as plain:
            await store(plain, vault, ObjectName("x"), Packing(THREADS))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 40 * MIB
