"""From a stream of plain bytes to one object in a vault, in constant memory (DESIGN 6).

Knows how stages are connected: lanes, each with a thread's worth of stages, joined by short
queues, so that nothing piles up; and behind the last one a queue that may go over a spool on
disk, so that a slow vault need not slow the source. What the stages do is theirs; what the
bytes mean is nobody's business here.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import anyio
from anyio.abc import TaskStatus
from msgspec import Struct

from daemon.ports import Offload, Progress
from daemon.storage.fifo import Fifo
from daemon.storage.manifest import ShardObject
from daemon.storage.one_error import one_error
from daemon.storage.pace import Pace
from daemon.storage.sealing import Sealing
from daemon.storage.spool import Spool
from daemon.storage.stages import Blocks, Compression, Digest, Stage, Tap, Tapped
from daemon.storage.vault import ObjectName, Vault
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

    With a `sealing` it is stored encrypted, with a `spool` a slow vault need not slow the source.
    """

    offload: Offload
    guards: tuple[Tap, ...] = ()
    watcher: Watcher | None = None
    progress: Progress | None = None
    level: int = 1
    shard: ShardName = ONLY_SHARD
    sealing: Sealing | None = None
    spool: Spool | None = None


class Storing:
    """One stream on its way into a vault, in two steps: `read` it, let the source go, `finish`.

    A context: on any failure in it (the source's own errors come through unchanged), and when
    it is left before `finish`, the object does not appear, and what was sent is removed. A
    failure of the vault ends whatever is done in it. No generator makes this context: those
    of a killed simulation cannot be closed.
    """

    def __init__(self, vault: Vault, name: ObjectName, packing: Packing) -> None:
        self._vault = vault
        self._name = name
        self._packing = packing
        self._plain, self._blocks = Digest(), Blocks()
        self._pace = Pace(packing.progress)
        self._fifo = Fifo(on_full=self._pace.full)
        self._queues = poured, seen, shown = _Queue(), _Queue(), _Queue()
        self._lanes = (_Pipe(poured, seen), _Pipe(seen, shown))
        self._checked, self._stored = anyio.Event(), anyio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._stack.push_async_callback(self._give_back)
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._tasks.cancel_scope.cancel()
        with one_error():
            await self._stack.__aexit__(kind, error, trace)

    async def read(
        self,
        source: AsyncGenerator[bytes, None],
        *,
        expected_bytes: int | None = None,
        spooled: bool = True,
    ) -> None:
        """Read the source to its end; the stream is whole, by the guards, when this returns.

        The vault may still be far behind. Without `spooled` the source is one that may wait
        for the vault, and no disk is used. Once only.
        """
        packing, tasks = self._packing, self._tasks
        if packing.spool is not None and spooled:
            self._fifo.use(packing.spool)
        self._pace.expect(expected_bytes)
        looking, showing = self._lanes
        await tasks.start(self._deliver)
        tasks.start_soon(self._look, looking)
        tasks.start_soon(_show, packing.watcher, showing)
        tasks.start_soon(self._make, showing.outgoing)
        await self._pour(source, looking.incoming)
        await self._checked.wait()

    async def finish(self) -> ShardObject:
        """The object, durable; only after `read`."""
        await self._stored.wait()
        sealing, blocks = self._packing.sealing, self._blocks.blocks
        return ShardObject(
            shard=self._packing.shard,
            object=self._name,
            plain_bytes=self._plain.size_bytes,
            sha256=self._plain.sha256,
            stored_bytes=sum(block.size_bytes for block in blocks),
            codecs=("zstd", "age") if sealing else ("zstd",),
            blocks=blocks,
            recipients=sealing.recipients if sealing else (),
        )

    async def _pour(self, source: AsyncGenerator[bytes, None], outgoing: "_Queue") -> None:
        """Gather the source's chunks into batches; the last may be small."""
        waiting: list[bytes] = []
        waiting_bytes = 0
        async for chunk in source:
            waiting.append(chunk)
            waiting_bytes += len(chunk)
            self._pace.read(len(chunk))
            if waiting_bytes >= BATCH_BYTES:
                await outgoing.send.send(waiting[0] if len(waiting) == 1 else b"".join(waiting))
                waiting, waiting_bytes = [], 0
        if waiting_bytes:
            await outgoing.send.send(b"".join(waiting))
        outgoing.send.close()

    async def _look(self, pipe: "_Pipe") -> None:
        """The first lane, on plain bytes: guards and hash."""
        stages = [Tapped(tap) for tap in (*self._packing.guards, self._plain)]
        async for data in pipe.incoming.receive:
            for piece in await self._packing.offload(feed, stages, pipe.incoming.batch(data)):
                await pipe.outgoing.send.send(piece)
        for piece in await self._packing.offload(finish, stages):
            await pipe.outgoing.send.send(piece)
        self._checked.set()
        pipe.outgoing.send.close()

    async def _make(self, incoming: "_Queue") -> None:
        """The last lane: what is stored is made here, at the same time as the others work."""
        offload, sealing = self._packing.offload, self._packing.sealing
        stages: list[Stage] = [Compression(self._packing.level)]
        stages += [] if sealing is None else [sealing.stage()]
        stages.append(Tapped(self._blocks))
        async for data in incoming.receive:
            await self._fifo.put(await offload(feed, stages, incoming.batch(data)))
        await self._fifo.put(await offload(finish, stages))
        self._fifo.end()
        if self._fifo.spooled_bytes:
            self._pace.sending(self._fifo.waiting_bytes)

    async def _deliver(self, *, task_status: TaskStatus[None]) -> None:
        """Into the vault. The queue ends only where every stage has found its bytes whole.

        The object is begun before the source is read, so that no failure of the source cuts
        off a request to begin it: what a cut request does, and when, nobody can tell.
        """
        async with self._vault.create(self._name) as writer:
            task_status.started()
            while (piece := await self._fifo.get()) is not None:
                await writer.write(piece)
                self._pace.sent(len(piece))
            await writer.commit()
        self._stored.set()

    async def _give_back(self) -> None:
        for queue in self._queues:
            queue.close()
        await self._fifo.aclose()


async def store(
    source: AsyncGenerator[bytes, None], vault: Vault, name: ObjectName, packing: Packing
) -> ShardObject:
    """Both steps at once: the object is durable when it returns.

    The source is read by the calling task, which also closes it.
    """
    async with Storing(vault, name, packing) as stored:
        await stored.read(source)
        return await stored.finish()


class _Queue:
    """A short queue between two tasks: full, it holds the sender back.

    Its sender closes it only when all is well: an end in it always means that the bytes
    before it are whole.
    """

    def __init__(self) -> None:
        self.send, self.receive = anyio.create_memory_object_stream[bytes](_QUEUE)

    def batch(self, first: bytes) -> Sequence[bytes]:
        """All that is in it, after the first: the slowest lane changes threads least often."""
        batch = [first]
        with suppress(anyio.WouldBlock, anyio.EndOfStream):
            while True:
                batch.append(self.receive.receive_nowait())
        return batch

    def close(self) -> None:
        """Both ends, when nobody uses them any more."""
        self.send.close()
        self.receive.close()


class _Pipe(NamedTuple):
    """Where a lane takes from and where it gives to."""

    incoming: _Queue
    outgoing: _Queue


async def _show(watcher: Watcher | None, pipe: _Pipe) -> None:
    """Pass everything on, and show it to the watcher while the next lane works on it."""
    async for data in pipe.incoming.receive:
        await pipe.outgoing.send.send(data)
        if watcher:
            await watcher.feed(data)
    pipe.outgoing.send.close()


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
