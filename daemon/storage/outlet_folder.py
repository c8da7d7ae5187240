"""Exports into a directory: temporary name, fsync, rename or link, fsync of the directory.

The daemon's own user writes there, so the directory must exist and be his to write; it is never
made. The temporary name holds the export's id, so that what a killed daemon left is known.
"""

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio

from daemon.errors import Failed, Permanent, Transient
from daemon.ports import Offload
from daemon.storage import folders
from daemon.storage.outlet import Target, exists
from daemon.storage.vault_errors import HANGS

_BATCH_BYTES = 1 << 20
_TIDY_SECONDS = 10.0


class FolderOutlet:
    """An `Outlet` in one directory."""

    def __init__(self, root: str, offload: Offload) -> None:
        self._root = root
        self._offload = offload

    @property
    def url(self) -> str:
        """For messages."""
        return f"file://{self._root}"

    @asynccontextmanager
    async def create(self, target: Target) -> AsyncIterator["FolderWriter"]:
        """See `Outlet.create`."""
        place = folders.Place(self._root, (target.file,))
        try:
            draft = await self._offload(_begin, place, temporary(target))
        except OSError as error:
            raise explain(error, self._root, action=f"create {target.file}") from error
        writer = FolderWriter(self._root, self._offload, draft, target)
        try:
            yield writer
        finally:
            with anyio.move_on_after(_TIDY_SECONDS, shield=True), suppress(OSError):
                await self._offload(folders.discard, draft)

    async def sweep(self, target: Target) -> None:
        """See `Outlet.sweep`."""
        place = folders.Place(self._root, (temporary(target),))
        try:
            await self._offload(folders.remove, place)
        except OSError as error:
            raise explain(error, self._root, action=f"write {target.file}") from error

    async def size(self, file: str) -> int | None:
        """See `Outlet.size`."""
        try:
            return await self._offload(folders.size_of, folders.Place(self._root, (file,)))
        except OSError as error:
            raise explain(error, self._root, action=f"look at {file}") from error

    async def read(self, file: str, *, offset: int, length: int) -> bytes:
        """See `Outlet.read`."""
        place = folders.Place(self._root, (file,))
        try:
            data = await self._offload(folders.read_range, place, offset=offset, length=length)
        except OSError as error:
            raise explain(error, self._root, action=f"read {file}") from error
        if data is None or len(data) != length:
            raise exists(self.url, file=file)  # it was another one
        return data

    async def aclose(self) -> None:
        """Nothing to give back: no handle is kept between calls."""


class FolderWriter:
    """An `ObjectWriter` over one temporary file."""

    def __init__(self, root: str, offload: Offload, draft: folders.Draft, target: Target) -> None:
        self._root = root
        self._offload = offload
        self._draft = draft
        self._target = target
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._sent_bytes = 0

    async def write(self, data: bytes) -> None:
        """See `ObjectWriter.write`."""
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= _BATCH_BYTES:
            await self._flush()

    async def commit(self) -> None:
        """See `ObjectWriter.commit`."""
        await self._flush()
        try:
            is_new = await self._offload(
                _finish, self._draft, self._sent_bytes, replace=self._target.replace
            )
        except OSError as error:
            raise explain(error, self._root, action=f"finish {self._target.file}") from error
        if not is_new:
            raise exists(f"file://{self._root}", file=self._target.file)

    async def _flush(self) -> None:
        data, self._waiting = self._waiting, []
        self._sent_bytes += self._waiting_bytes
        self._waiting_bytes = 0
        try:
            await self._offload(folders.append, self._draft, data)
        except OSError as error:
            raise explain(error, self._root, action=f"write {self._target.file}") from error


def temporary(target: Target) -> str:
    """Under which name a file is written; hidden, and no other export's."""
    return f"{folders.TEMPORARY}{target.file}.{target.mark}.tmp"


def _begin(place: folders.Place, temporary: str) -> folders.Draft:
    """A new file (0600) beside the final name, in a folder that must be there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with folders.folder(place.root, ()) as parent:
        handle = os.open(temporary, flags, 0o600, dir_fd=parent)
    return folders.Draft(handle, place, temporary)


def _finish(draft: folders.Draft, expected_bytes: int, *, replace: bool) -> bool:
    """Make it durable under its name; False where there is one that may not be replaced."""
    if replace:
        folders.publish(draft, expected_bytes)
        return True
    found = os.fstat(draft.handle).st_size
    if found != expected_bytes:
        raise OSError(errno.EIO, f"{found} bytes on disk, {expected_bytes} written")
    return folders.publish_new(draft)


def explain(error: OSError, root: str, *, action: str) -> Failed:
    """What a system error means for an export to `root`, and what to do about it."""
    message = f"cannot {action} in file://{root}: {error.strerror or error}"
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return Transient("export-full", message, f"Make room on the disk of {root}.")
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return Permanent(
                "export-rights",
                message,
                f"The daemon's own user writes there: let it write into {root}, and under systemd "
                f"add ReadWritePaths={root} to its unit. `valkeep restore BACKUP --file PATH` "
                "writes with your rights instead.",
            )
        case errno.ELOOP | errno.ENOTDIR | errno.EISDIR:
            return Permanent(
                "export-obstructed",
                message,
                "A link, FIFO or folder stands where the file belongs, or the folder is none.",
            )
        case errno.ENOENT:
            return Permanent(
                "export-folder-missing",
                message,
                f"Make it, or mount its disk; it is never made by itself: `install -d {root}`.",
            )
        case errno.ETIMEDOUT:
            return Transient("export-hangs", message, HANGS)
        case _:
            return Transient(
                "export-io", message, f"Look at the disk of {root} and at the kernel's log."
            )
