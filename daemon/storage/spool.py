"""The spool: room on a disk for bytes that a vault has not taken yet (DESIGN 5, last fact).

Knows how much of the disk is used, by all backups together, and what the disk's errors mean.
What lies in it and in which order is known to `fifo` and `parts`; bytes get here after
encryption. Nothing in it outlives the attempt that it belongs to.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import structlog
from msgspec import Struct

from daemon.errors import Failed, Transient
from daemon.ports import Offload
from daemon.storage import spool_files
from daemon.storage.spool_files import Opened, Swept

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")

LEAST_BYTES = 64 << 20
"""A spool that is smaller than this holds nothing up for long enough to be worth its disk."""
SHARE = (4, 5)
"""Of what its disk has free when a backup first needs it, the spool takes at most this much."""
FULL_BYTES = 16 << 20
"""A disk with less than this for us is a full one."""


class Bounds(Struct, frozen=True):
    """Where the spool is, whose files are its own, and how many bytes it may hold in all."""

    folder: str
    owner: str
    max_bytes: int


class Spool:
    """One folder for all backups of this daemon; made ready by `sweep` before its first use."""

    def __init__(self, bounds: Bounds, offload: Offload) -> None:
        self.bounds = bounds
        self.taken_bytes = 0
        """Bytes in files now, of all backups together."""
        self._offload = offload
        self._serial = 0
        self._watchers: dict[int, Callable[[], None]] = {}

    async def sweep(self) -> Swept:
        """Remove what an earlier run left, and see that files can be made; `Transient` if not."""
        swept = await self.run(spool_files.sweep, self.bounds.folder, owner=self.bounds.owner)
        await self.run(spool_files.probe, self.bounds.folder, name=self._name())
        return swept

    async def free_bytes(self) -> int:
        """What the disk has left."""
        return await self.run(spool_files.free_bytes, self.bounds.folder)

    async def limit_bytes(self) -> int:
        """How many bytes may be taken in all, as the disk is now; ``spool-disk-full`` if it is.

        Never all that the disk has: the event log may be on it too.
        """
        free_bytes = await self.free_bytes()
        allowed = free_bytes * SHARE[0] // SHARE[1]
        if allowed < FULL_BYTES:
            raise self._explain(OSError(errno.ENOSPC, f"only {free_bytes} bytes are free"))
        return min(self.bounds.max_bytes, self.taken_bytes + allowed)

    async def create(self) -> "SpoolFile":
        """A new, empty file; whoever asked for it removes it."""
        opened = await self.run(spool_files.begin, self.bounds.folder, name=self._name())
        return SpoolFile(self, opened)

    @contextmanager
    def watched(self, watcher: Callable[[], None]) -> Iterator[None]:
        """Have it called whenever room is given back, by whichever backup."""
        key = self._serial = self._serial + 1
        self._watchers[key] = watcher
        try:
            yield
        finally:
            del self._watchers[key]

    def take(self, size_bytes: int) -> None:
        """So many bytes are about to be written."""
        self.taken_bytes += size_bytes

    def give(self, size_bytes: int) -> None:
        """So many bytes are gone."""
        self.taken_bytes -= size_bytes
        for watcher in tuple(self._watchers.values()):
            watcher()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One function of `spool_files`; its `OSError` in our words."""
        try:
            return await self._offload(function, *args, **kwargs)
        except OSError as error:
            raise self._explain(error) from error

    def _explain(self, error: OSError) -> Failed:
        folder = self.bounds.folder
        message = f"the spool in {folder} cannot be used: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return Transient(
                "spool-disk-full",
                message,
                f"make room on the disk of {folder}, or name another one as directory in [spool]; "
                'max_bytes = "0" there does without a spool, and then a slow vault holds the '
                "server's fork",
            )
        return Transient(
            "spool-failed",
            message,
            f"look at {folder} (the daemon's user must be able to write there), at its disk and "
            "at the kernel's log",
        )

    def _name(self) -> str:
        self._serial += 1
        return f"{self.bounds.owner}.{self._serial}{spool_files.SUFFIX}"


class SpoolFile:
    """One file of the spool: appended to by one task, read by one."""

    def __init__(self, spool: Spool, opened: Opened) -> None:
        self.opened = opened
        self.size_bytes = 0
        """What has been written whole and may be read."""
        self._spool = spool
        self._reserved_bytes = 0

    async def append(
        self, data: bytes | memoryview, look: Callable[[memoryview], None] | None = None
    ) -> None:
        """Write it all; its room is taken at once. `look` is shown it, in the same thread."""
        view = memoryview(data)
        self._spool.take(len(view))
        self._reserved_bytes += len(view)
        await self._spool.run(_write, self.opened, view, self.size_bytes, look)
        self.size_bytes += len(view)

    async def read(self, *, offset: int, length: int, crc: int) -> bytes:
        """So many bytes from there, all of which have been written, with that CRC-32."""
        return await self._spool.run(
            spool_files.read_checked, self.opened, offset=offset, length=length, crc=crc
        )

    async def remove(self) -> None:
        """Give its room back; it must not be used any more."""
        try:
            await self._spool.run(spool_files.end, self.opened)
        finally:
            self._spool.give(self._reserved_bytes)


def _write(
    opened: Opened, data: memoryview, offset: int, look: Callable[[memoryview], None] | None
) -> None:
    if look is not None:
        look(data)
    spool_files.write_at(opened, data, offset)
