"""The lock file beside a log: one writer, or any number of readers of a stopped log.

The kernel gives the lock back when its holder dies, however it dies; the file stays and is
never removed, because removing it would let two processes lock two different files. Knows
nothing of what it guards.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from events.log import LogInUse, LogUnreadable

_HINTS = {
    errno.ENOENT: "create the folder, or correct the path",
    errno.EACCES: "give the user that runs Valkeep the right to read and write it",
    errno.EPERM: "give the user that runs Valkeep the right to read and write it",
    errno.EROFS: "the file system is mounted read-only; mount it for writing",
    errno.EISDIR: "a folder is in the way; move it, or choose another path",
    errno.ENOTDIR: "a file is in the way of the folder; correct the path",
    errno.ENOSPC: "the disk is full; make room on it",
}


def unreadable(path: Path, error: OSError) -> LogUnreadable:
    """The error for a file that the system does not let us open, with what to do about it."""
    hint = _HINTS.get(error.errno or 0, "look at the disk and at the rights of its folder")
    return LogUnreadable(f"the log {path} cannot be opened: {error.strerror}", hint)


def lock_path(path: Path) -> Path:
    """Where the lock of a log lies."""
    return path.with_name(f"{path.name}.lock")


@contextmanager
def writing(path: Path, *, pid: int) -> Iterator[None]:
    """Hold the log at `path` alone, and leave our pid for others to see.

    Raises `LogInUse` with the pid of who has it, `LogUnreadable` where no lock can be made.
    """
    try:
        lock = os.open(lock_path(path), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        if not _locked(lock, kind=fcntl.LOCK_EX):
            raise _in_use(path, lock)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{pid}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Keep writers away from the log at `path`; changes nothing, not even the lock file.

    Raises `LogInUse` with the pid of who writes it. A log without a lock file (a copy that
    somebody made) is read as it is.
    """
    try:
        lock = os.open(lock_path(path), os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield
        return
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        if not _locked(lock, kind=fcntl.LOCK_SH):
            raise _in_use(path, lock)
        yield
    finally:
        os.close(lock)


def _locked(lock: int, *, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _in_use(path: Path, lock: int) -> LogInUse:
    """Say who has it; the pid in the file is a writer's, so a reader's lock is told apart."""
    if _locked(lock, kind=fcntl.LOCK_SH):
        return LogInUse(
            f"the log {path} is being read by `valkeep audit --file`",
            "wait until that command has ended, or end it",
        )
    pid = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
    if not pid.isdigit():
        return LogInUse(f"the log {path} is in use by another process", "try again in a second")
    return LogInUse(
        f"the log {path} is in use by process {pid}",
        f"look at it with `ps -fp {pid}`; a running daemon answers `valkeep audit` without "
        "--file, and `systemctl stop valkeep` stops it",
    )
