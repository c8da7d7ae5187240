"""The seam to a place of the user's own, to which plain RDB files are exported (S4).

Knows how the files are called, and that a file appears whole under its name or not at all. It is
no vault: nothing in it is ours but the files that we put there, and nothing else is touched.
"""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from daemon.errors import Permanent
from daemon.storage.vault import ObjectWriter
from events.facts import BackupName, CacheName

SUFFIX = ".rdb"


class Target(Struct, frozen=True):
    """One file to write: its name in the place, and whether it may take another one's place.

    `mark` is the export's own id, and what an interrupted try has left is known by it; of what
    bears no mark, by being begun `since` then.
    """

    file: str
    mark: str
    since: datetime
    replace: bool = False


class Outlet(Protocol):
    """A folder of a file system or of a bucket."""

    @property
    def url(self) -> str:
        """Where it is; holds no secret."""
        ...

    def create(self, target: Target) -> AbstractAsyncContextManager[ObjectWriter]:
        """Begin a file; leaving the context without `commit` leaves nothing of it.

        `commit` raises ``export-exists``, `Permanent`, where there is a file of that name by then
        that may not be replaced; in a directory, that is decided by the file system.
        """
        ...

    async def sweep(self, target: Target) -> None:
        """Remove what tries at this file have left that were cut off; never a whole file."""
        ...

    async def size(self, file: str) -> int | None:
        """Bytes of a file, None only if there is none."""
        ...

    async def read(self, file: str, *, offset: int, length: int) -> bytes:
        """A range of a file, all of it."""
        ...

    async def aclose(self) -> None:
        """Give back connections and handles."""
        ...


def place_of(destination: str) -> tuple[str, str | None]:
    """The folder that a destination names, and the file in it, if it names one (``….rdb``)."""
    url = destination.rstrip("/")
    folder, _, last = url.rpartition("/")
    if last.endswith(SUFFIX) and last != SUFFIX and not folder.endswith((":/", "//")):
        return folder, last
    return url, None


def file_name(cache: CacheName, backup: BackupName, shard: str) -> str:
    """What the file of a shard is called where nobody has said it."""
    return f"{cache}-{backup}-{shard}{SUFFIX}"


def exists(url: str, *, file: str) -> Permanent:
    """Something of that name is there already."""
    return Permanent(
        "export-exists",
        f"There is a {file} in {url} already, and it is another one.",
        "Say --replace to overwrite it, or export to another folder.",
    )
