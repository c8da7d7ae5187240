"""What a snapshot's fork may cost in memory, reckoned before it is made.

Pure. The child shares the server's memory until one of the two writes: then the kernel copies
the page. How much that comes to is a forecast of writes; it is made from what the last fork of
the same server cost and from what it writes now, and errs on the side of too much.
"""

from collections.abc import Mapping

from msgspec import Struct

from daemon.errors import Transient
from daemon.valkey.figures import amount
from daemon.valkey.info import number

PAGE_BYTES = 4096
PAGES_PER_TABLE = 512
"""A page table entry has 8 bytes: a child costs a 512th of the memory before any write."""
SAVED_BYTES_PER_SECOND = 100_000_000
"""How fast a child gets through memory where none was seen before: slower than most."""
SAVED_AT_MOST = 500_000_000
"""And no child is faster than this: the data may have grown since the last one."""


class Load(Struct, frozen=True):
    """What a server holds and writes; `last_…` are of its last fork, None where it made none."""

    used_bytes: int
    system_bytes: int
    last_copied_bytes: int | None
    last_seconds: int | None
    changes_per_second: float
    input_bytes_per_second: float


class Need(Struct, frozen=True):
    """The memory that a fork may need beside what is used now, and what that was reckoned from."""

    needed_bytes: int
    why: str


class Room(Struct, frozen=True):
    """Memory that can be had, and what it is that sets the limit."""

    available_bytes: int
    where: str


def load(info: Mapping[str, str]) -> Load:
    """From the whole ``INFO`` of a server.

    Changes are counted since the last save, so that the rate is an average over a time that may
    be long; there are no more of them than commands are run now.
    """
    forked = number(info, "rdb_last_bgsave_time_sec") if "rdb_last_bgsave_time_sec" in info else -1
    passed = number(info, "server_time_usec") / 1e6 - number(info, "rdb_last_save_time")
    average = number(info, "rdb_changes_since_last_save") / max(1.0, passed)
    inputs = ("instantaneous_input_kbps", "instantaneous_input_repl_kbps")
    return Load(
        used_bytes=number(info, "used_memory"),
        system_bytes=number(info, "total_system_memory"),
        last_copied_bytes=number(info, "rdb_last_cow_size") if forked >= 0 else None,
        last_seconds=forked if forked >= 0 else None,
        changes_per_second=min(average, number(info, "instantaneous_ops_per_sec")),
        input_bytes_per_second=1024 * sum(_decimal(info.get(name, "")) for name in inputs),
    )


def need(load: Load) -> Need:
    """The memory that a fork now may need.

    The larger of what the last one had copied and of what is written while the child lives: a
    page for each change, no more than there are, and what comes in on top.
    """
    used = load.used_bytes
    seconds = _seconds(load)
    touched = min(used, load.changes_per_second * PAGE_BYTES * seconds)
    written = touched + load.input_bytes_per_second * seconds
    copied_before = min(used, load.last_copied_bytes or 0)
    tables = used / PAGES_PER_TABLE
    if copied_before >= written:
        why = f"its last fork had {amount(copied_before)} copied"
    else:
        each = amount(written / seconds)
        why = f"{each} a second are written in the {seconds:.0f} s that it may live"
    return Need(round(max(copied_before, written) + tables), why)


def refuse_unbearable(load: Load, room: Room, where: str) -> None:
    """Raises `Transient("memory")` with the figures when the fork may need more than there is."""
    reckoned = need(load)
    if reckoned.needed_bytes > room.available_bytes:
        raise Transient(
            "memory",
            f"{where} holds {amount(load.used_bytes)}, and its fork may need "
            f"{amount(reckoned.needed_bytes)} more ({reckoned.why}), but "
            f"{amount(room.available_bytes)} can be had on {room.where}",
            "back up a replica on another host, or when less is written; "
            "check_memory = false in [daemon] takes the risk",
        )


def doubt(load: Load) -> str | None:
    """What to be warned of where only the size of the server's host is known; None if nothing."""
    reckoned = need(load)
    if not load.system_bytes or load.used_bytes + reckoned.needed_bytes <= load.system_bytes:
        return None
    return (
        f"its fork may need {amount(reckoned.needed_bytes)} beside the "
        f"{amount(load.used_bytes)} that it holds ({reckoned.why}), and its host has "
        f"{amount(load.system_bytes)} in all"
    )


def _seconds(load: Load) -> float:
    seen = load.last_seconds
    guessed = load.used_bytes / SAVED_BYTES_PER_SECOND if seen is None else seen
    return max(1.0, guessed, load.used_bytes / SAVED_AT_MOST)


def _decimal(text: str) -> float:
    whole, _, part = text.partition(".")
    return float(text) if whole.isdecimal() and (not part or part.isdecimal()) else 0.0
