"""Reading one object of a user's own, once and in order: where an import's bytes come from.

Knows files of this host and objects in S3. Each is read as it was when it was opened: one that
changes meanwhile is an error. What the bytes mean is nobody's business here.
"""

import errno
import os
import stat
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

import anyio
from msgspec import Struct
from msgspec.structs import replace

from daemon.errors import Failed, Permanent, Transient
from daemon.ports import Offload
from daemon.storage.arrival import Found, Source, changed, missing
from daemon.storage.s3_source import open_object
from daemon.storage.settings import VaultSettings

READ_BYTES = 4 << 20


class Reach(Struct, frozen=True):
    """What is needed to open sources: threads of their own, jitter, and the named places.

    `entries` are asked for each time, because the configuration may have been read again.
    """

    offload: Offload
    jitter: Callable[[], float]
    entries: Callable[[], Mapping[str, VaultSettings]] = dict


def open_source(source: str, reach: Reach) -> AbstractAsyncContextManager[Source]:
    """The object of ``s3://BUCKET/KEY``, ``file:///PATH`` or ``ENTRY/KEY``.

    Leaving the context closes it. `Permanent` with the code ``source`` for what is none of them.
    """
    settings = _settings(source, reach.entries())
    if settings.url.startswith("s3://"):
        return open_object(settings, reach.offload, reach.jitter)
    parts = urlsplit(settings.url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return open_file(unquote(parts.path), reach.offload)
    raise _no_place(source, why="it is neither in S3 nor a file")


def _settings(source: str, entries: Mapping[str, VaultSettings]) -> VaultSettings:
    """Where it is and how to get there; what lies below an entry is reached as the entry is."""
    if "://" in source:
        above = [e for e in entries.values() if source.startswith(f"{e.url.rstrip('/')}/")]
        nearest = max(above, key=lambda entry: len(entry.url), default=VaultSettings(source))
        return replace(nearest, url=source)
    name, _, key = source.partition("/")
    entry = entries.get(name)
    if entry is None:
        raise _no_place(source, why=f"the configuration has no [exports.{name}]")
    if ".." in key.split("/"):
        raise _no_place(source, why="it leaves its folder")
    return replace(entry, url=f"{entry.url.rstrip('/')}/{key}")


@asynccontextmanager
async def open_file(path: str, offload: Offload) -> AsyncGenerator[Source, None]:
    """A regular file of this host, read with the daemon's rights."""
    file = await offload(_opened, path, offload)
    try:
        yield file
    finally:
        with anyio.CancelScope(shield=True):
            await file.aclose()


class _File:
    """An open file; nobody closes it under a read that has not returned."""

    def __init__(self, handle: int, path: str, offload: Offload) -> None:
        self.found = found(handle)
        self._handle = handle
        self._path = path
        self._offload = offload
        self._at = 0
        self._turn = anyio.Lock()

    async def read(self) -> bytes:
        """See `Source.read`."""
        async with self._turn:
            data = await self._offload(self._next)
        self._at += len(data)
        return data

    def _next(self) -> bytes:
        """In a thread; at the end also whether it is still what it was."""
        try:
            data = os.pread(self._handle, READ_BYTES, self._at)
            over = not data and (self._at, found(self._handle)) != (
                self.found.size_bytes,
                self.found,
            )
        except OSError as error:
            raise _unreadable(self._path, error) from None
        if over:
            raise changed(self._path)
        return data

    async def aclose(self) -> None:
        """Give the handle back."""
        async with self._turn:
            await self._offload(os.close, self._handle)


def _opened(path: str, offload: Offload) -> _File:
    """In a thread: the file, or why there is none that could be read to an end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unreadable(path, error) from None
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return _File(handle, path, offload)
    os.close(handle)
    what = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
    raise Permanent(
        "source-type",
        f"{path} is {what}, not a file.",
        "Name the RDB file itself. From a pipe an RDB comes through the command line: "
        "`valkeep backup import CACHE NAME - < PIPE`.",
    )


def found(handle: int) -> Found:
    """What an open file is now."""
    told = os.fstat(handle)
    at = datetime.fromtimestamp(told.st_mtime, UTC)
    return Found(told.st_size, at, f"{told.st_ino}-{told.st_mtime_ns}")


def _unreadable(path: str, error: OSError) -> Failed:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return missing(path)
    if error.errno in (errno.EACCES, errno.EPERM):
        return Permanent(
            "source-rights",
            f"The daemon may not read {path}.",
            "Give the daemon's user the right to, or name the path without file://: then it is "
            "read with your own rights and sent.",
        )
    return Transient(
        "source-unreadable",
        f"{path} cannot be read: {error.strerror}.",
        "Look at the disk that it lies on: `dmesg` tells more.",
    )


def _no_place(source: str, *, why: str) -> Permanent:
    return Permanent(
        "source",
        f"{source} cannot be opened: {why}.",
        "Say s3://BUCKET/KEY, file:///PATH, or ENTRY/KEY below an [exports] entry.",
    )
