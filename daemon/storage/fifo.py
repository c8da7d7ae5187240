"""What has been packed and not yet stored: first in, first out, in memory and then on disk.

While the vault keeps up, bytes pass through memory and no file is made. Only when memory is
full do they go to the spool, and when that is full too, whoever brings them has to wait: the
server's child then waits for the vault. One task brings, one takes.
"""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from zlib import crc32

import anyio
import structlog
from msgspec import Struct

from daemon.errors import Failed
from daemon.storage.spool import Spool, SpoolFile

log = structlog.get_logger()

MEMORY_BYTES = 8 << 20
SEGMENT_BYTES = 64 << 20
LARGEST_CHUNK_BYTES = 1 << 20


class _Chunk(Struct):
    """A run of bytes on disk, read again as it was written, and what its CRC-32 must be."""

    size_bytes: int
    crc: int = 0

    def look(self, data: memoryview) -> None:
        """At the bytes, on their way to the disk."""
        self.crc = crc32(data)


class Overflow:
    """The part of the queue that is on disk: segments, each removed when it has been read.

    A segment is at most a quarter of the spool, so that what has been read is soon given back.
    """

    def __init__(self, spool: Spool) -> None:
        self.waiting_bytes = 0
        self._spool = spool
        self._segment_bytes = min(SEGMENT_BYTES, max(1, spool.bounds.max_bytes // 4))
        self._limit_bytes = -1
        self._segments: deque[SpoolFile] = deque()
        self._chunks: deque[_Chunk] = deque()
        self._read_bytes = 0

    async def append(self, data: memoryview) -> int:
        """Write what there is room for: how many bytes that was, perhaps none.

        None means that no room had been given back when it returned.
        """
        if self._limit_bytes < 0:
            self._limit_bytes = await self._spool.limit_bytes()
        if self._room_bytes() <= 0:
            return 0
        if not self._segments or self._segments[-1].size_bytes >= self._segment_bytes:
            self._segments.append(await self._spool.create())
        tail = self._segments[-1]
        room = min(self._room_bytes(), self._segment_bytes - tail.size_bytes, LARGEST_CHUNK_BYTES)
        part = data[: max(0, room)]
        if part:
            chunk = _Chunk(len(part))
            await tail.append(part, chunk.look)
            self._chunks.append(chunk)
            self.waiting_bytes += len(part)
        return len(part)

    async def take(self) -> bytes:
        """The oldest bytes; there must be some."""
        head, chunk = self._segments[0], self._chunks.popleft()
        length = chunk.size_bytes
        data = await head.read(offset=self._read_bytes, length=length, crc=chunk.crc)
        self._read_bytes += length
        self.waiting_bytes -= length
        if self._read_bytes >= self._segment_bytes:  # nobody writes to a full segment any more
            self._segments.popleft()
            self._read_bytes = 0
            await head.remove()
        return data

    async def aclose(self) -> None:
        """Remove every segment, whatever is still in it."""
        while self._segments:
            with suppress(Failed):
                await self._segments.popleft().remove()

    def _room_bytes(self) -> int:
        return self._limit_bytes - self._spool.taken_bytes


class Fifo:
    """The queue between the last stage and the vault's writer.

    Order holds because memory takes new bytes only while nothing is on disk. `on_full` is
    called each time the spool has no room.
    """

    def __init__(self, on_full: Callable[[], None], memory_bytes: int = MEMORY_BYTES) -> None:
        self.spooled_bytes = 0
        """How many bytes went over the disk."""
        self.held_back_seconds = 0.0
        """How long whoever brings bytes had to wait for the spool to have room."""
        self._on_full = on_full
        self._memory_limit_bytes = memory_bytes
        self._memory: deque[bytes] = deque()
        self._memory_bytes = 0
        self._overflow: Overflow | None = None
        self._watching = ExitStack()
        self._ended = False
        self._changed = anyio.Event()

    @property
    def waiting_bytes(self) -> int:
        """What has not been taken yet."""
        return self._memory_bytes + (self._overflow.waiting_bytes if self._overflow else 0)

    def use(self, spool: Spool) -> None:
        """From now on bytes may go to disk."""
        self._overflow = Overflow(spool)
        self._watching.enter_context(spool.watched(self._announce))

    async def put(self, pieces: Sequence[bytes]) -> None:
        """Append; returns when all have their place, in memory or on disk."""
        for number, piece in enumerate(pieces):
            if not self._fits(len(piece)):
                await self._spill(b"".join(pieces[number:]))
                return
            self._keep(piece)

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._announce()

    async def get(self) -> bytes | None:
        """The oldest bytes, None after the last."""
        while True:
            if self._memory:
                piece = self._memory.popleft()
                self._memory_bytes -= len(piece)
                self._announce()
                return piece
            if self._overflow is not None and self._overflow.waiting_bytes:
                data = await self._overflow.take()
                self._announce()
                return data
            if self._ended:
                return None
            await self._changed.wait()

    async def aclose(self) -> None:
        """Give everything back; not to be interrupted half-way."""
        self._watching.close()
        if self._overflow is not None:
            with anyio.CancelScope(shield=True):
                await self._overflow.aclose()
        if self.spooled_bytes:
            log.info(
                "spool used",
                spooled_bytes=self.spooled_bytes,
                held_back_seconds=round(self.held_back_seconds, 1),
            )

    def _fits(self, size_bytes: int) -> bool:
        """Whether memory may take it: nothing older is on disk, and there is room."""
        if self._overflow is not None and self._overflow.waiting_bytes:
            return False
        return not self._memory or self._memory_bytes + size_bytes <= self._memory_limit_bytes

    def _keep(self, piece: bytes) -> None:
        self._memory.append(piece)
        self._memory_bytes += len(piece)
        self._announce()

    async def _spill(self, data: bytes) -> None:
        """Write it to disk as far as there is room, and wait for more where there is none."""
        view = memoryview(data)
        while view:
            if self._fits(len(view)):
                self._keep(bytes(view))
                return
            taken = 0 if self._overflow is None else await self._overflow.append(view)
            self.spooled_bytes += taken
            view = view[taken:]
            if taken:
                self._announce()
            elif not self._fits(len(view)):  # memory may have been emptied while the disk was asked
                await self._held_back()

    async def _held_back(self) -> None:
        since = anyio.current_time()
        if self._overflow is not None:
            self._on_full()
        await self._changed.wait()
        if self._overflow is not None:
            self.held_back_seconds += anyio.current_time() - since

    def _announce(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
