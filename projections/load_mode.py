"""How a target loads what it is sent: beside its old data, or after it.

`swapdb` parses from the connection into second databases and swaps them in: memory for both.
`disabled` writes a file first, then drops the old data and loads: memory for one, disk for one.
"""

from typing import Literal

from msgspec import Struct

from events.facts import ServerFacts, TargetFacts

LoadMode = Literal["swapdb", "disabled"]


class Limit(Struct, frozen=True):
    """The most memory that a server may take, in bytes, and whose word that is."""

    size_bytes: int
    whose: str


def choose(backup_bytes: int, target: TargetFacts) -> LoadMode:
    """The target's own mode where it has the room, else the other one.

    ``on-empty-db`` and ``flush-before-load`` would give up the old data before the new is
    whole: in their place `disabled` is set, which never does.
    """
    if target.load_mode != "swapdb":
        return "disabled"
    return "disabled" if too_tight(backup_bytes, target) else "swapdb"


def too_tight(backup_bytes: int, target: TargetFacts) -> Limit | None:
    """What leaves no room for both data sets at once, if anything does.

    An engine heeds no ``maxmemory`` while it loads, but whoever set it gave the server no more,
    and in a container that is what the kernel ends it for.
    """
    server = target.server
    needed = room_needed("swapdb", backup_bytes=backup_bytes, target_bytes=server.used_memory_bytes)
    return next((one for one in limits(server) if one.size_bytes < needed), None)


def limits(server: ServerFacts) -> tuple[Limit, ...]:
    """What is known of a server's limits, the narrowest first."""
    known = (
        Limit(server.maxmemory_bytes, "its maxmemory"),
        Limit(server.system_memory_bytes, "the memory of its host"),
    )
    return tuple(sorted((one for one in known if one.size_bytes), key=lambda one: one.size_bytes))


def room_needed(mode: LoadMode, *, backup_bytes: int, target_bytes: int) -> int:
    """Bytes of memory at the highest point of the load; nothing recorded needs nothing."""
    if backup_bytes == 0:
        return 0
    return backup_bytes + target_bytes if mode == "swapdb" else backup_bytes


def peak(mode: LoadMode, *, backup_bytes: int, target_bytes: int) -> int | None:
    """The most memory that the target has in use from first to last; None where nobody knows."""
    needed = room_needed(mode, backup_bytes=backup_bytes, target_bytes=target_bytes)
    return max(needed, target_bytes) if needed else None
