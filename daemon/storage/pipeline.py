"""From a stream of plain bytes to one object in a vault, in constant memory (DESIGN 6).

Knows how stages are connected: lanes, each with a thread's worth of stages, joined by short
queues, so that a slow vault slows the source and nothing piles up. What the stages do is
theirs; what the bytes mean is nobody's business here.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from msgspec import Struct

from daemon.ports import Offload, Progress
from daemon.storage.manifest import ShardObject
from daemon.storage.one_error import one_error
from daemon.storage.sealing import Sealing
from daemon.storage.stages import Blocks, Compression, Digest, Stage, Tap, Tapped
from daemon.storage.vault import ObjectName, ObjectWriter, Vault
from events.facts import ONLY_SHARD, ShardName

BATCH_BYTES = 1 << 20
"""What a lane works on at a time: large enough that changing threads costs nothing."""
_QUEUE = 2


class Watcher(Protocol):
    """Somebody outside who is shown every plain byte, for example the engine's checker.

    It may be slow, and then slows the source; a stall it must end by itself. It never fails
    the store: whatever becomes of it, `feed` returns.
    """

    async def feed(self, chunk: bytes, /) -> None:
        """The next bytes; raises nothing."""
        ...


class Packing(Struct, frozen=True):
    """How to store one stream: `guards` refuse bytes that are not whole, the rest is optional.

    With a `sealing` it is stored encrypted.
    """

    offload: Offload
    guards: tuple[Tap, ...] = ()
    watcher: Watcher | None = None
    progress: Progress | None = None
    level: int = 1
    shard: ShardName = ONLY_SHARD
    sealing: Sealing | None = None


async def store(
    source: AsyncGenerator[bytes, None], vault: Vault, name: ObjectName, packing: Packing
) -> ShardObject:
    """Store a stream whole under a name, durable when it returns.

    On any failure (the source's own errors come through unchanged) the object does not
    appear, and what was sent is removed. The source is read by the calling task, which also
    closes it.
    """
    plain, blocks = Digest(), Blocks()
    looking: list[Stage] = [Tapped(tap) for tap in (*packing.guards, plain)]
    making: list[Stage] = [Compression(packing.level), *_sealed(packing), Tapped(blocks)]
    async with vault.create(name) as writer:
        with one_error():
            async with anyio.create_task_group() as tasks:
                poured, seen, shown, packed = (_Queue() for _ in range(4))
                tasks.start_soon(_work, looking, packing.offload, _Pipe(poured, seen))
                tasks.start_soon(_show, packing.watcher, _Pipe(seen, shown))
                tasks.start_soon(_work, making, packing.offload, _Pipe(shown, packed))
                tasks.start_soon(_drain, packed, writer)
                await _pour(source, poured, packing.progress)
        await writer.commit()
    return ShardObject(
        shard=packing.shard,
        object=name,
        plain_bytes=plain.size_bytes,
        sha256=plain.sha256,
        stored_bytes=sum(block.size_bytes for block in blocks.blocks),
        codecs=("zstd", "age") if packing.sealing else ("zstd",),
        blocks=blocks.blocks,
        recipients=packing.sealing.recipients if packing.sealing else (),
    )


def _sealed(packing: Packing) -> Sequence[Stage]:
    return () if packing.sealing is None else (packing.sealing.stage(),)


class _Queue:
    """A short queue between two tasks: full, it holds the sender back."""

    def __init__(self) -> None:
        self.send, self.receive = anyio.create_memory_object_stream[bytes](_QUEUE)


class _Pipe(NamedTuple):
    """Where a lane takes from and where it gives to."""

    incoming: _Queue
    outgoing: _Queue


async def _pour(
    source: AsyncGenerator[bytes, None], outgoing: _Queue, progress: Progress | None
) -> None:
    """Gather the source's chunks into batches; the last may be small."""
    waiting: list[bytes] = []
    waiting_bytes = 0
    async with outgoing.send as send:
        async for chunk in source:
            waiting.append(chunk)
            waiting_bytes += len(chunk)
            if progress:
                progress.advance(len(chunk))
            if waiting_bytes >= BATCH_BYTES:
                await send.send(waiting[0] if len(waiting) == 1 else b"".join(waiting))
                waiting, waiting_bytes = [], 0
        if waiting_bytes:
            await send.send(b"".join(waiting))


async def _work(stages: Sequence[Stage], offload: Offload, pipe: _Pipe) -> None:
    """One lane: its stages one after the other in a thread, at the same time as other lanes."""
    async with pipe.incoming.receive as receive, pipe.outgoing.send as send:
        async for data in receive:
            batches = [data, *_waiting(receive)]
            for piece in await offload(feed, stages, batches):
                await send.send(piece)
        for piece in await offload(finish, stages):
            await send.send(piece)


def _waiting(receive: MemoryObjectReceiveStream[bytes]) -> Iterator[bytes]:
    """All that is in the queue: the slowest lane changes threads least often."""
    with suppress(anyio.WouldBlock, anyio.EndOfStream):
        while True:
            yield receive.receive_nowait()


async def _show(watcher: Watcher | None, pipe: _Pipe) -> None:
    """Pass everything on, and show it to the watcher while the next lane works on it."""
    async with pipe.incoming.receive as receive, pipe.outgoing.send as send:
        async for data in receive:
            await send.send(data)
            if watcher:
                await watcher.feed(data)


async def _drain(incoming: _Queue, writer: ObjectWriter) -> None:
    async with incoming.receive as receive:
        async for piece in receive:
            await writer.write(piece)


def feed(stages: Sequence[Stage], pieces: Sequence[bytes]) -> Sequence[bytes]:
    """Put pieces through stages in a row; what comes out of the last."""
    for stage in stages:
        pieces = [made for piece in pieces for made in stage.feed(piece)]
    return pieces


def finish(stages: Sequence[Stage]) -> Sequence[bytes]:
    """End stages in a row, each after it has taken what the one before it held back."""
    pieces: Sequence[bytes] = ()
    for stage in stages:
        fed = [made for piece in pieces for made in stage.feed(piece)]
        pieces = [*fed, *stage.finish()]
    return pieces
