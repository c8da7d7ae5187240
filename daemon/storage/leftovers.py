"""What a kill leaves in a vault's directory: drafts that have not become objects.

A draft is held by a lock for as long as somebody writes it, and the kernel lets go of it with the
process. So one that can be locked is nobody's. Only names that we make are touched; what lies in a
backup's or a canary's folder goes with that folder.
"""

import fcntl
import os
import re
from collections.abc import Sequence
from contextlib import suppress

from daemon.storage.names import LOG, OWNER

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_SEGMENT = r"[0-9]{12,19}-[0-9]{12,19}\.ndjson\.zst(?:\.age)?"
PLACES: Sequence[tuple[tuple[str, ...], re.Pattern[str]]] = (
    ((), re.compile(rf"\.{re.escape(OWNER)}\.[0-9]+\.tmp")),
    ((LOG.removesuffix("/"),), re.compile(rf"\.{_SEGMENT}\.[0-9]+\.tmp")),
)
"""The folders in which drafts outlive whoever wrote them, and how those are called there."""


def hold(handle: int) -> bool:
    """Say that this draft is written; False where somebody has taken it for a leftover.

    Where the file system knows no locks, none is taken, and then none of its drafts is swept.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return os.fstat(handle).st_nlink > 0


def sweep(parent: int, pattern: re.Pattern[str]) -> int:
    """Remove the drafts of such names in a folder that nobody writes any more; how many."""
    with os.scandir(parent) as scan:
        drafts = [entry.name for entry in scan if pattern.fullmatch(entry.name)]
    return sum(_removed(parent, name) for name in drafts)


def _removed(parent: int, name: str) -> bool:
    """One draft, if nobody holds it; what cannot be told or done is left for the next time."""
    with suppress(OSError):
        handle = os.open(name, _READ, dir_fd=parent)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(name, dir_fd=parent)
        finally:
            os.close(handle)
        return True
    return False
