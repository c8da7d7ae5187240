"""A vault in a directory (V4): whole files that appear by rename and survive a power cut.

Knows how the file system's errors are to be told to a person. The system calls are in
`folders`; every one runs in a worker thread, because a disk or NFS may stall.
"""

import errno
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from shlex import quote
from typing import ParamSpec, TypeVar

import anyio
import structlog

from daemon.errors import Failed, Permanent, Transient
from daemon.ports import Offload
from daemon.storage import folders
from daemon.storage.names import checked_folder, checked_prefix, checked_segments, is_segment
from daemon.storage.owner import own_user
from daemon.storage.vault import ObjectInfo, ObjectName
from daemon.storage.vault_errors import (
    HANGS,
    lost_upload,
    missing,
    still_there,
    too_large,
    too_short,
)

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")

_BATCH_BYTES = 1 << 20
_TIDY_SECONDS = 10.0
"""Whoever was cancelled waits no longer for a disk that hangs, if his threads can be left."""
_FOLDER = -1
"""Stands for the size of a folder while a listing is under way."""


class Disk:
    """The file system under one root: blocking calls in threads, and errors in our words."""

    def __init__(self, root: str, offload: Offload) -> None:
        self.root = root
        self._offload = offload

    async def run(
        self, action: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """One function of `folders`; `OSError` becomes what `explain` says of the action."""
        try:
            return await self._offload(function, *args, **kwargs)
        except OSError as error:
            raise explain(error, self.root, action=action) from error


class DirectoryVault:
    """A `Vault` under one directory, which must exist: a disk that is not mounted is no vault."""

    def __init__(self, root: str, offload: Offload) -> None:
        self._disk = Disk(root, offload)
        self._swept = False

    @property
    def url(self) -> str:
        """For messages."""
        return f"file://{self._disk.root}"

    @asynccontextmanager
    async def create(self, name: ObjectName) -> AsyncIterator["DirectoryWriter"]:
        """See `Vault.create`."""
        async with self._draft(name) as draft:
            yield DirectoryWriter(self._disk, draft, name)

    async def put(self, name: ObjectName, data: bytes) -> None:
        """See `Vault.put`."""
        async with self.create(name) as writer:
            await writer.write(data)
            await writer.commit()

    async def put_new(self, name: ObjectName, data: bytes) -> bool:
        """See `Vault.put_new`."""
        async with self._draft(name) as draft:
            await self._disk.run(f"write {name}", folders.append, draft, [data])
            return await self._disk.run(f"create {name}", folders.publish_new, draft)

    async def get(self, name: ObjectName, limit_bytes: int) -> bytes | None:
        """See `Vault.get`."""
        size_bytes = await self.size(name)
        if size_bytes is None:
            return None
        if size_bytes > limit_bytes:
            raise too_large(self.url, name, size_bytes=size_bytes, limit_bytes=limit_bytes)
        return await self.read(name, offset=0, length=size_bytes)

    async def read(self, name: ObjectName, *, offset: int, length: int) -> bytes:
        """See `Vault.read`."""
        place = self._place(name)
        data = await self._disk.run(
            f"read {name}", folders.read_range, place, offset=offset, length=length
        )
        if data is None:
            raise missing(self.url, name)
        if len(data) != length:
            raise too_short(self.url, name, end=offset + length)
        return data

    async def size(self, name: ObjectName) -> int | None:
        """See `Vault.size`."""
        return await self._disk.run(f"look at {name}", folders.size_of, self._place(name))

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo, None]:
        """See `Vault.list`."""
        *above, _ = checked_prefix(prefix).split("/")
        waiting = [ObjectInfo(ObjectName("".join(f"{part}/" for part in above)), _FOLDER)]
        while waiting:
            found = waiting.pop()
            if found.size_bytes == _FOLDER:
                waiting += reversed(await self._below(found.name, prefix=prefix))
            else:
                yield found

    async def delete(self, name: ObjectName) -> None:
        """See `Vault.delete`."""
        await self._disk.run(f"delete {name}", folders.remove, self._place(name))

    async def clear(self, prefix: str) -> None:
        """See `Vault.clear`."""
        segments = tuple(checked_folder(prefix).removesuffix("/").split("/"))
        place = folders.Place(self._disk.root, segments)
        for _ in range(3):  # again, if somebody wrote into it meanwhile
            await self._disk.run(f"clear {prefix}", folders.remove_tree, place)
            left = await self._disk.run(
                f"list {prefix}", folders.entries, self._disk.root, segments
            )
            if left is None:
                return
        raise still_there(self.url, prefix=prefix)

    async def aclose(self) -> None:
        """Nothing to give back: no handle is kept between calls."""

    async def _below(self, path: str, *, prefix: str) -> Sequence[ObjectInfo]:
        """Objects and folders in one folder, in name order, as far as the prefix allows them.

        Names that no object can have (drafts, ``lost+found``) are somebody else's.
        """
        segments = tuple(path.split("/")[:-1])
        found = await self._disk.run(
            f"list {path or 'all'}", folders.entries, self._disk.root, segments
        )
        infos = [_info(path, entry) for entry in found or () if is_segment(entry.name)]
        return [info for info in infos if info is not None and _may_begin(info, prefix)]

    @asynccontextmanager
    async def _draft(self, name: ObjectName) -> AsyncIterator[folders.Draft]:
        """A temporary file that is gone afterwards, if it has not become the object."""
        if not self._swept:
            # Before the first write, for a vault of somebody else is only read.
            self._swept = True
            await self._sweep()
        draft = await self._disk.run(f"create {name}", folders.begin, self._place(name))
        try:
            yield draft
        finally:
            with anyio.move_on_after(_TIDY_SECONDS, shield=True), suppress(Failed):
                await self._disk.run(f"tidy up {name}", folders.discard, draft)

    async def _sweep(self) -> None:
        with suppress(Failed):
            left = await self._disk.run("sweep drafts", folders.sweep_drafts, self._disk.root)
            if left:
                log.info("drafts of killed writes removed", vault=self.url, files=left)

    def _place(self, name: ObjectName) -> folders.Place:
        return folders.Place(self._disk.root, checked_segments(name))


def _info(path: str, entry: folders.Entry) -> ObjectInfo | None:
    if entry.is_dir:
        return ObjectInfo(ObjectName(f"{path}{entry.name}/"), _FOLDER)
    if entry.size_bytes < 0:
        return None
    return ObjectInfo(ObjectName(path + entry.name), entry.size_bytes)


def _may_begin(info: ObjectInfo, prefix: str) -> bool:
    is_above = info.size_bytes == _FOLDER and prefix.startswith(info.name)
    return is_above or info.name.startswith(prefix)


class DirectoryWriter:
    """An `ObjectWriter` over one temporary file; small writes are gathered into big ones."""

    def __init__(self, disk: Disk, draft: folders.Draft, name: ObjectName) -> None:
        self._disk = disk
        self._draft = draft
        self._name = name
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
        await self._disk.run(f"commit {self._name}", folders.publish, self._draft, self._sent_bytes)

    async def _flush(self) -> None:
        data, size_bytes = self._waiting, self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0
        await self._disk.run(f"write {self._name}", folders.append, self._draft, data)
        self._sent_bytes += size_bytes


def explain(error: OSError, root: str, *, action: str) -> Failed:
    """What a system error means for a vault in `root`, and what to do about it."""
    message = f"cannot {action} in file://{root}: {error.strerror or error}"
    place, user = quote(root), own_user()
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return Transient("vault-full", message, f"make room on the disk of {root}")
        case errno.EACCES | errno.EPERM:
            return Permanent(
                "vault-rights",
                message,
                f"give {place} and all below it to the daemon's user: chown -R {user} {place}",
            )
        case errno.EROFS:
            return Permanent(
                "vault-read-only", message, f"remount it writable: mount -o remount,rw {place}"
            )
        case errno.ELOOP | errno.ENOTDIR | errno.EISDIR:
            return Permanent(
                "vault-obstructed",
                message,
                "a link, FIFO or folder stands where an object belongs: look who put it there, "
                "and move it away",
            )
        case errno.ETIMEDOUT:
            return Transient("vault-hangs", message, HANGS)
        case errno.ENOENT if isinstance(error, FileNotFoundError):
            return lost_upload(message)
        case errno.ENOENT:
            return Transient(
                "vault-missing",
                message,
                f"mount the disk, or make the directory: install -d -m 0700 -o {user} {place}",
            )
        case _:
            return Transient(
                "vault-io", message, f"look at the disk of {root} and at the kernel's log"
            )
