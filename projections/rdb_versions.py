"""Which RDB versions an engine can read.

From `RDB_VERSION` in each release's ``src/rdb.h``: Redis 5.0 to 6.2 write 9, 7.0 writes 10,
7.2 writes 11, 7.4 to 8.4 write 12, 8.6 writes 13, 8.8 writes 14; Valkey 7.2 to 8.1 write 11,
and 9.0 jumped to 80 to stay clear of Redis. Each reads its own and all before it; Valkey
refuses 12 to 79 (`RDB_FOREIGN_VERSION_MIN` and `_MAX`). [tried: Redis 7.0.15, Valkey 8.1.8]
"""

from typing import Literal

Release = tuple[int, int]

_REDIS: tuple[tuple[Release, int], ...] = (
    ((8, 8), 14),
    ((8, 6), 13),
    ((7, 4), 12),
    ((7, 2), 11),
    ((7, 0), 10),
    ((5, 0), 9),
    ((0, 0), 8),
)
_VALKEY: tuple[tuple[Release, int], ...] = (((9, 0), 80), ((0, 0), 11))
_SHARED = 11
"""The last version that Redis and Valkey have in common."""


def release(version: str) -> Release:
    """``8.1.8`` as (8, 1); what is no number counts as 0."""
    parts = [int(part) if part.isdecimal() else 0 for part in version.split(".")]
    major, minor, *_ = (*parts, 0, 0)
    return major, minor


def newest_readable(engine: Literal["valkey", "redis"], version: str) -> int:
    """The highest RDB version of its own family that this engine reads."""
    table = _VALKEY if engine == "valkey" else _REDIS
    found = release(version)
    return next(rdb for since, rdb in table if found >= since)


def reads(engine: Literal["valkey", "redis"], version: str, rdb_version: int) -> bool:
    """Whether this engine reads an RDB of this version."""
    newest = newest_readable(engine, version)
    if engine == "valkey" and rdb_version < 80:
        return rdb_version <= _SHARED
    return rdb_version <= newest
