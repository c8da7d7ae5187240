"""Where the state file lies: one name in the folder of the log, whole or not there at all.

It is written beside its place, made durable and then renamed. What lies there is opened only if
it is a file of our own user that nobody else may read or write. Blocking; knows no form.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from daemon.frozen.sheet import Unfit

MOST_BYTES = 1 << 32
LEAST_FREE_BYTES = 64 << 20
"""The log needs the last room more."""
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# A pipe in its place must not keep the start waiting for somebody who writes.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Drawer(Protocol):
    """Keeps one file."""

    def open(self) -> BinaryIO | None:
        """It, to be closed by the caller; None if there is none.

        Raises `Unfit` for what is not ours, `OSError` for what cannot be read.
        """
        ...

    def put(self, lines: Iterable[bytes]) -> None:
        """Replace it, durably and all at once; `OSError`, and the old one is still there."""
        ...

    def clear(self) -> None:
        """Remove it, if it is there; may be repeated."""
        ...


class FileDrawer:
    """A `Drawer` on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self) -> BinaryIO | None:
        """See `Drawer.open`."""
        try:
            handle = os.open(self._path, _READ)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise Unfit("a symbolic link is in its place") from None
            raise
        with ExitStack() as refused:
            refused.callback(os.close, handle)
            _refuse_foreign(os.fstat(handle))
            refused.pop_all()
        return os.fdopen(handle, "rb")

    def put(self, lines: Iterable[bytes]) -> None:
        """See `Drawer.put`; refuses when little room is left."""
        name, draft = self._path.name, f"{self._path.name}.new"
        with _folder(self._path.parent) as folder:
            _remove(draft, folder)  # what a killed daemon has left
            with ExitStack() as undo:
                undo.callback(_remove, draft, folder)
                _write(os.open(draft, _NEW, 0o600, dir_fd=folder), lines)
                os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
                undo.pop_all()
            os.fsync(folder)

    def clear(self) -> None:
        """See `Drawer.clear`."""
        self._path.unlink(missing_ok=True)


def _write(handle: int, lines: Iterable[bytes]) -> None:
    with os.fdopen(handle, "wb") as file:
        for line in lines:
            found = os.fstatvfs(handle)
            if found.f_bavail * found.f_frsize < LEAST_FREE_BYTES + len(line):
                raise OSError(errno.ENOSPC, "little room is left on the disk, and the log needs it")
            file.write(line)
        file.flush()
        os.fsync(handle)


def _remove(name: str, folder: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _refuse_foreign(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Unfit("it is no file")
    if found.st_uid != os.geteuid():
        raise Unfit(f"it belongs to user {found.st_uid}")
    if found.st_mode & 0o077:
        raise Unfit(f"others may use it: its mode is {stat.S_IMODE(found.st_mode):04o}")
    if found.st_size > MOST_BYTES:
        raise Unfit(f"it is larger than {MOST_BYTES:,} bytes")


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    handle = os.open(path, _FOLDER)
    try:
        yield handle
    finally:
        os.close(handle)
