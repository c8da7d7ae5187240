"""Imports: backups that no server is asked for, because they are made of what lies elsewhere (S4).

Knows where one comes from, and what a data set of unknown size will take in memory.
"""

from msgspec import Struct
from msgspec.structs import replace

from events.facts import Receipt, SnapshotFacts
from events.imports import ImportEvent, ImportRequested
from events.moves import ImportKind

MEMORY_FACTOR = 4
"""An RDB is compact, and often compressed (LZF): what a server makes of it is larger.

Measured with Valkey 8.1 and Redis 7.0: 1.1 to 3.3 times as much for strings of 30 bytes and more,
hashes and lists, 5 to 7 times for numbers and sorted sets of short members. A load tells it."""
LEAST_MEMORY_BYTES = 1 << 20
"""An engine without a key takes about as much."""

ESTIMATED = "used_memory (estimated from the size of the RDB)"
"""What is unknown of a server whose memory was estimated."""


class Origin(Struct, frozen=True):
    """What an import is made of; see `ImportRequested`."""

    kind: ImportKind
    source: str


def evolve(known: Origin | None, event: ImportEvent) -> Origin | None:
    """Where a backup comes from, after one more event about that."""
    return Origin(event.kind, event.source) if isinstance(event, ImportRequested) else known


def recovered(snapshot: SnapshotFacts) -> Origin | None:
    """Where a backup comes from that is known from its manifest."""
    of = snapshot.imported
    return Origin(of.kind, of.source) if of is not None else None


def estimated_memory(plain_bytes: int) -> int:
    """The memory that an RDB of this size will take at most, where nobody tells it, in bytes."""
    return LEAST_MEMORY_BYTES + MEMORY_FACTOR * plain_bytes


def settled_memory(snapshot: SnapshotFacts, receipt: Receipt | None) -> SnapshotFacts:
    """The same with the memory that a load has shown, where it was only estimated before."""
    server = snapshot.server
    shown = receipt.used_memory_bytes if receipt is not None else None
    if shown is None or ESTIMATED not in server.unknown:
        return snapshot
    unknown = tuple(what for what in server.unknown if what != ESTIMATED)
    return replace(snapshot, server=replace(server, used_memory_bytes=shown, unknown=unknown))
