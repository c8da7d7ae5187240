"""How a target loads what it is sent: beside its old data, or after it.

`swapdb` parses from the connection into second databases and swaps them in: memory for both.
`disabled` writes a file first, then drops the old data and loads: memory for one, disk for one.
"""

from typing import Literal

from events.facts import TargetFacts

LoadMode = Literal["swapdb", "disabled"]


def choose(backup_bytes: int, target: TargetFacts) -> LoadMode:
    """The target's own mode where it has the room, else the other one.

    ``on-empty-db`` and ``flush-before-load`` would give up the old data before the new is
    whole: in their place `disabled` is set, which never does.
    """
    server = target.server
    if target.load_mode != "swapdb":
        return "disabled"
    needed = room_needed("swapdb", backup_bytes=backup_bytes, target_bytes=server.used_memory_bytes)
    fits = server.system_memory_bytes == 0 or needed <= server.system_memory_bytes
    return "swapdb" if fits else "disabled"


def room_needed(mode: LoadMode, *, backup_bytes: int, target_bytes: int) -> int:
    """Bytes of memory at the highest point of the load; nothing recorded needs nothing."""
    if backup_bytes == 0:
        return 0
    return backup_bytes + target_bytes if mode == "swapdb" else backup_bytes
