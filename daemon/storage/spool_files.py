"""The blocking half of the spool: files of our own form in one folder, and no event loop.

A file is named ``<installation>.<serial>.spool``, so that after a crash the daemon knows its
own from everybody else's. They are small and many rather than one with holes: every file
system can remove a file, not every one can punch a hole, and `ls` shows what there is.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from zlib import crc32

from msgspec import Struct

SUFFIX = ".spool"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OURS = re.compile(r"([0-9A-Za-z-]+)\.[0-9]+\.spool")


class Opened(Struct, frozen=True):
    """One file that is written at its end and read anywhere."""

    handle: int
    folder: str
    name: str


def begin(folder: str, *, name: str) -> Opened:
    """A new file (0600); `FileExistsError` if there is one of that name."""
    with _folder(folder) as parent:
        return Opened(os.open(name, _NEW, 0o600, dir_fd=parent), folder, name)


def write_at(opened: Opened, data: bytes | memoryview, offset: int) -> None:
    """Write all of it there; the system may take it in pieces."""
    view = memoryview(data)
    while view:
        written = os.pwrite(opened.handle, view, offset)
        view, offset = view[written:], offset + written


def read_at(opened: Opened, *, offset: int, length: int) -> bytes:
    """Exactly so many bytes; `OSError` if the file has become shorter than what was written."""
    pieces = []
    while length:
        piece = os.pread(opened.handle, length, offset)
        if not piece:
            raise OSError(errno.EIO, f"the file ends {length} bytes early")
        pieces.append(piece)
        offset, length = offset + len(piece), length - len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def read_checked(opened: Opened, *, offset: int, length: int, crc: int) -> bytes:
    """The same, with the CRC-32 that they had when they were written, or `OSError`."""
    data = read_at(opened, offset=offset, length=length)
    if crc32(data) != crc:
        raise OSError(errno.EIO, "it gives back other bytes than were written")
    return data


def end(opened: Opened) -> None:
    """Close it and remove it, which gives its room back."""
    os.close(opened.handle)
    with suppress(FileNotFoundError), _folder(opened.folder) as parent:
        os.unlink(opened.name, dir_fd=parent)


def free_bytes(folder: str) -> int:
    """What the file system has left for us."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


class Swept(Struct, frozen=True):
    """What a sweep removed, and how many files of other installations it passed over."""

    files: int
    size_bytes: int
    others: int


def sweep(folder: str, *, owner: str) -> Swept:
    """Remove the files that an earlier run of this installation left; nothing else is touched."""
    files, size_bytes, others = 0, 0, 0
    with _folder(folder) as parent:
        with os.scandir(parent) as scan:
            entries = [entry for entry in scan if entry.is_file(follow_symlinks=False)]
        for entry in entries:
            found = _OURS.fullmatch(entry.name)
            if found is not None and found[1] == owner:
                size_bytes += entry.stat(follow_symlinks=False).st_size
                os.unlink(entry.name, dir_fd=parent)
                files += 1
            elif found is not None:
                others += 1
    return Swept(files, size_bytes, others)


def probe(folder: str, *, name: str) -> None:
    """That a file can be made, written and removed there; `OSError` if not."""
    opened = begin(folder, name=name)
    try:
        write_at(opened, b"spool", 0)
    finally:
        end(opened)


@contextmanager
def _folder(path: str) -> Iterator[int]:
    handle = os.open(path, _FOLDER)
    try:
        yield handle
    finally:
        os.close(handle)
