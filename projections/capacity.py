"""What a backup takes where it is restored: memory of the target. Pure.

The source's own ``used_memory`` is what is known. Where nobody recorded it (an imported file),
it is guessed from the size of the RDB, as generously as a verification does.
"""

from msgspec import Struct

from events.facts import SnapshotFacts, StoredFacts

UNKNOWN_FACTOR = 4
"""Memory for each byte of an RDB of unknown origin. Measured for 200,000 strings of 16 bytes: 2.7
(Valkey 8.1) and 3.9 (Redis 7.0); values that compress well take 20 and more."""


class Capacity(Struct, frozen=True):
    """Bytes of memory for the data alone; `estimated` where the source did not tell."""

    memory_bytes: int
    estimated: bool = False


def capacity(snapshot: SnapshotFacts | None, stored: StoredFacts) -> Capacity:
    """The memory that the data needs, once it is loaded."""
    if snapshot is not None and snapshot.server.used_memory_bytes > 0:
        return Capacity(snapshot.server.used_memory_bytes)
    return Capacity(stored.plain_bytes * UNKNOWN_FACTOR, estimated=True)
