"""How long a restore will take: from the newest one of the same cache that was timed.

Pure. A restore counts, and so does a private engine's load of a backup; reading alone is less
than a restore, and counts only where nothing was ever loaded. Other caches tell nothing.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from immutables import Map
from msgspec import Struct

from events.facts import CacheName
from projections.catalog import Backup
from projections.restores import Restore
from projections.state import State

SMALL_BYTES = 16 << 20
"""Below this a restore takes about the same whatever its size: waiting, not moving bytes."""


class Pace(Struct, frozen=True):
    """One restore or reading that was timed, of how many plain bytes, and what it was."""

    seconds: float
    plain_bytes: int
    what: str
    at: datetime
    whole: bool = True

    def for_bytes(self, plain_bytes: int) -> float:
        """Seconds for that many bytes at the same speed."""
        return self.seconds * max(plain_bytes, SMALL_BYTES) / max(self.plain_bytes, SMALL_BYTES)

    @property
    def basis(self) -> str:
        """What it is based on, for a person."""
        mib = self.plain_bytes / (1 << 20)
        told = f"{self.what} took {self.seconds:.3g} s for {mib:,.1f} MiB ({self.at:%Y-%m-%d})"
        return told if self.whole else f"{told}; loading comes on top of that"


def pace(state: State, cache: CacheName, restores: Iterable[Restore] | None = None) -> Pace | None:
    """The newest that tells how long a restore by replication takes, of one cache's backups.

    `restores` are those of its backups, where somebody has sorted them out for many caches.
    """
    among = state.restores.values() if restores is None else restores
    timed = [*_restores(state, cache, among), *_receipts(state, cache)]
    whole = [one for one in timed if one.whole]
    return max(whole or timed, key=lambda one: (one.at, one.seconds), default=None)


def by_cache(state: State) -> dict[CacheName, list[Restore]]:
    """All restores by the cache whose backups they read, in one pass."""
    found: dict[CacheName, list[Restore]] = {}
    for one in state.restores.values():
        found.setdefault(one.backup_cache, []).append(one)
    return found


def _restores(state: State, cache: CacheName, among: Iterable[Restore]) -> Iterator[Pace]:
    for one in among:
        if one.backup_cache != cache or one.method != "replication":
            continue
        backup = state.catalog.get(cache, _NONE).get(one.backup_id)
        if one.result is None or one.ended_at is None or backup is None or backup.stored is None:
            continue
        seconds, size_bytes = one.result.total_seconds, backup.stored.plain_bytes
        yield Pace(seconds, size_bytes, f"a restore into {one.target}", one.ended_at)


def _receipts(state: State, cache: CacheName) -> Iterator[Pace]:
    for backup in state.catalog.get(cache, _NONE).values():
        receipt, at = backup.proof.receipt, backup.proof.verified_at
        if receipt is None or at is None or not receipt.plain_bytes:
            continue
        whole = receipt.load_seconds is not None
        how = f"loading {backup.name} into {receipt.engine}" if whole else f"reading {backup.name}"
        yield Pace(receipt.read_seconds, receipt.plain_bytes, how, at, whole=whole)


_NONE: Map[object, Backup] = Map()
