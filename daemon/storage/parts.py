"""The parts of a multipart upload: how large each is, and where its bytes are until it is sent.

Knows that S3 takes 10,000 parts and nothing else of S3. A part of up to 16 MiB is in memory;
a larger one is in a file of the spool, written as it fills and streamed from there, so that
memory is bounded whatever the object's size.
"""

from collections.abc import Callable
from io import SEEK_CUR, SEEK_END, SEEK_SET, BytesIO, RawIOBase
from typing import IO, Protocol, cast

from msgspec import Struct

from daemon.errors import Failed, Transient
from daemon.ports import Offload
from daemon.storage import spool_files
from daemon.storage.spool import Spool, SpoolFile

MOST_PARTS = 10_000
SMALLEST_PART_BYTES = 8 << 20
LARGEST_IN_MEMORY = 16 << 20
LARGEST_PART_BYTES = 1 << 30
IN_MEMORY_BYTES = 32 << 20
"""All of an upload that is in memory: the part that fills, and those under way."""
LEAST_SPOOLED_BYTES = 128 << 20
"""Parts in files may together be at least so large, however small each is."""


def part_bytes(number: int, *, largest: int = LARGEST_PART_BYTES) -> int:
    """The size of the part with this number, from 1.

    8 MiB, and 16 MiB after 1,000 parts; after 1,000 of those, doubled every 500 parts, up to
    1 GiB: 10,000 parts hold 5.8 TiB. Without a spool none may be larger than 16 MiB, and
    148 GiB are the most that one object can have.
    """
    doublings = (number - 1) // 1_000 if number <= 2_000 else (number - 1) // 500 - 2
    return min(SMALLEST_PART_BYTES << doublings, largest)


def under_way_bytes(number: int, *, largest: int = LARGEST_PART_BYTES) -> int:
    """How much may be under way while the part with this number fills.

    In memory all together 32 MiB; of larger parts two, or more of those that are not so large.
    The files of one upload are never more than three parts, 3 GiB.
    """
    filling = part_bytes(number, largest=largest)
    if filling <= LARGEST_IN_MEMORY:
        return IN_MEMORY_BYTES - filling
    return max(LEAST_SPOOLED_BYTES - filling, 2 * filling)


class Hasher(Protocol):
    """A checksum of bytes that come in pieces, as those of `hashlib`."""

    def update(self, data: bytes | memoryview, /) -> None:
        """The next bytes."""
        ...

    def digest(self) -> bytes:
        """Of all bytes so far."""
        ...


class Means(Struct, frozen=True):
    """What bodies are made with; without a spool there are none above 16 MiB."""

    offload: Offload
    hasher: Callable[[], Hasher]
    spool: Spool | None = None

    @property
    def largest(self) -> int:
        """The size of the largest part."""
        return LARGEST_IN_MEMORY if self.spool is None else LARGEST_PART_BYTES


class PartBody(Protocol):
    """The bytes of one part: filled by one task, then sent, perhaps several times."""

    @property
    def size_bytes(self) -> int:
        """What it holds."""
        ...

    async def append(self, data: memoryview) -> None:
        """More bytes at its end."""
        ...

    async def digest(self) -> bytes:
        """The checksum of all of it, as it came in."""
        ...

    def open(self) -> IO[bytes]:
        """All of it from its beginning, for one try at sending it."""
        ...

    @property
    def failure(self) -> Failed | None:
        """Why reading it has failed, if it has: then the server is not to blame."""
        ...

    async def remove(self) -> None:
        """Give its memory or its file back; may be repeated."""
        ...


async def new_body(number: int, means: Means) -> PartBody:
    """An empty body for the part with this number."""
    if means.spool is None or part_bytes(number) <= LARGEST_IN_MEMORY:
        return MemoryBody(means)
    return FileBody(await means.spool.create(), means)


class MemoryBody:
    """A `PartBody` in memory."""

    def __init__(self, means: Means) -> None:
        self._buffer = BytesIO()
        self._means = means
        self.size_bytes = 0
        self.failure: Failed | None = None

    async def append(self, data: memoryview) -> None:
        """See `PartBody.append`."""
        self._buffer.write(data)
        self.size_bytes += len(data)

    async def digest(self) -> bytes:
        """See `PartBody.digest`."""
        with self._buffer.getbuffer() as view:  # an open view outlives its buffer badly
            return await self._means.offload(_digest, self._means.hasher(), view)

    def whole(self) -> bytes:
        """All of it at once."""
        return self._buffer.getvalue()

    def open(self) -> IO[bytes]:
        """See `PartBody.open`."""
        self._buffer.seek(0)
        return self._buffer

    async def remove(self) -> None:
        """See `PartBody.remove`."""
        self._buffer = BytesIO()


class FileBody:
    """A `PartBody` in a file of the spool; its checksum is reckoned on the way in."""

    def __init__(self, file: SpoolFile, means: Means) -> None:
        self._file: SpoolFile | None = file
        self._hasher = means.hasher()
        self.size_bytes = 0
        self.failure: Failed | None = None

    async def append(self, data: memoryview) -> None:
        """See `PartBody.append`."""
        assert self._file is not None  # noqa: S101 - nobody fills a body that was removed
        await self._file.append(data, self._hasher.update)
        self.size_bytes += len(data)

    async def digest(self) -> bytes:
        """See `PartBody.digest`."""
        return self._hasher.digest()

    def open(self) -> IO[bytes]:
        """See `PartBody.open`."""
        assert self._file is not None  # noqa: S101 - nor sends it
        return cast("IO[bytes]", Reader(self._file, self._failed))

    async def remove(self) -> None:
        """See `PartBody.remove`."""
        file, self._file = self._file, None
        if file is not None:
            await file.remove()

    def _failed(self, error: OSError) -> None:
        self.failure = Transient(
            "spool-failed",
            f"what the spool holds cannot be read again: {error.strerror or error}",
            "look at the disk of [spool], and at the kernel's log",
        )


def _digest(hasher: Hasher, data: bytes | memoryview) -> bytes:
    hasher.update(data)
    return hasher.digest()


class Reader(RawIOBase):
    """A file of the spool as the HTTP client wants it; closing it closes nothing.

    The client asks for 64 KiB at a time, from a thread of its own. A file that has become
    shorter is an error and not an end, or the server would wait for the rest.
    """

    def __init__(self, file: SpoolFile, failed: Callable[[OSError], None]) -> None:
        super().__init__()
        self._file = file
        self._failed = failed
        self._offset = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes: it is read once to be signed, and again to be sent."""
        return True

    def tell(self) -> int:
        """How far it has been read."""
        return self._offset

    def seek(self, offset: int, *whence: int) -> int:
        """Go on from there."""
        starts = {SEEK_SET: 0, SEEK_CUR: self._offset, SEEK_END: self._file.size_bytes}
        start = starts[whence[0]] if whence else 0
        self._offset = start + offset
        return self._offset

    def read(self, size: int = -1) -> bytes:
        """The next bytes, all of them where no size is said; blocks."""
        left_bytes = max(0, self._file.size_bytes - self._offset)
        length = left_bytes if size < 0 else min(size, left_bytes)
        try:
            data = spool_files.read_at(self._file.opened, offset=self._offset, length=length)
        except OSError as error:
            self._failed(error)
            raise
        self._offset += length
        return data
