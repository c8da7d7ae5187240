"""The seam to an object of a user's own: read once, in order, as it was when it was opened."""

from datetime import datetime
from typing import Protocol

from msgspec import Struct

from daemon.errors import Permanent


class Found(Struct, frozen=True):
    """What a place says of an object before it is read; `version` is a mark of its state."""

    size_bytes: int
    changed_at: datetime | None = None
    version: str = ""


class Source(Protocol):
    """An object that is open for reading."""

    @property
    def found(self) -> Found:
        """What was found when it was opened."""
        ...

    async def read(self) -> bytes:
        """The next bytes, none after the last; raises `Failed` when it is not what it was."""
        ...


def changed(where: str) -> Permanent:
    """The object is no longer what it was when it was opened."""
    return Permanent(
        "source-changed",
        f"{where} changed while it was read.",
        "Import it when nobody writes to it any more; an engine that saves puts a new file there.",
    )


def missing(where: str) -> Permanent:
    """There is nothing to read."""
    return Permanent(
        "source-missing",
        f"There is no {where}.",
        "Look for a typing error; a file is looked for on the daemon's host, and one of yours is "
        "sent when you name its path without file://.",
    )
