"""The suspicion gate: whether a scheduled backup is far smaller than those before it (DESIGN 1).

Pure. Compares with the median of the last good scheduled backups. What somebody has acknowledged
is the new measure: backups from before it are not compared with any more, so that a cache that
was emptied on purpose is told of once.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from events.facts import SnapshotFacts, StoredFacts
from events.suspicions import Suspicion
from projections.catalog import Backup
from projections.retention import taken_at

REFERENCE = 7
"""So many of the last good ones are compared with."""
LEAST = 3
"""With fewer there is no median worth its name; but one that was acknowledged is enough."""


class Measure(Struct, frozen=True):
    """How large a backup is."""

    keys: int
    plain_bytes: int


def measured(snapshot: SnapshotFacts, stored: StoredFacts) -> Measure:
    """A backup's size; its keys as a checker counted them, else as its server told."""
    keys = stored.totals.keys if stored.totals else sum(snapshot.server.keys.values())
    return Measure(keys, stored.plain_bytes)


def suspicion(of_cache: Iterable[Backup], new: Measure, percent: int) -> Suspicion | None:
    """Why a scheduled backup that was just made is suspect; None when it is not.

    `of_cache` are the other backups of its cache, in any order. Suspect is what fell by more than
    `percent` of the median, in keys or in bytes; 0 turns the gate off.
    """
    before = _reference(of_cache)
    if not percent or not before:
        return None
    keys = _median(each.keys for each in before)
    plain_bytes = _median(each.plain_bytes for each in before)
    reasons = [
        *_fell("keys", new.keys, median=keys, percent=percent),
        *_fell("bytes", new.plain_bytes, median=plain_bytes, percent=percent),
    ]
    if not reasons:
        return None
    many = "the last good backup" if len(before) == 1 else f"the last {len(before)} good backups"
    return Suspicion(
        keys=new.keys,
        median_keys=keys,
        plain_bytes=new.plain_bytes,
        median_plain_bytes=plain_bytes,
        compared=len(before),
        percent=percent,
        reason=f"{' and '.join(reasons)} than in the median of {many}",
    )


def _reference(of_cache: Iterable[Backup]) -> Sequence[Measure]:
    """What is compared with: nothing while there is too little."""
    found = [b for b in of_cache if b.kind == "auto" and b.good]
    found.sort(key=lambda backup: (taken_at(backup), backup.backup_id))
    last = _since_a_word(found)[-REFERENCE:]
    if len(last) < LEAST and not any(backup.acknowledged_at for backup in last):
        return ()
    return [measured(b.snapshot, b.stored) for b in last if b.snapshot and b.stored]


def _since_a_word(found: Sequence[Backup]) -> Sequence[Backup]:
    """From the last one that somebody has acknowledged, or all of them."""
    said = [number for number, backup in enumerate(found) if backup.acknowledged_at]
    return found[said[-1] :] if said else found


def _median(figures: Iterable[int]) -> int:
    """The middle one; of an even number the lower one, by which less is a fall."""
    ordered = sorted(figures)
    return ordered[(len(ordered) - 1) // 2]


def _fell(what: str, new: int, *, median: int, percent: int) -> list[str]:
    """In words, that a figure fell too far; no words where it did not."""
    if (median - new) * 100 <= percent * median:
        return []
    return [f"{new:,} {what} instead of {median:,}, {(median - new) * 100 // median} % fewer"]
