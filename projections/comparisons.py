"""Comparisons: what was asked to be compared, and what came of it.

Knows one at a time; which backups are held meanwhile is counted in the state.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from events.comparisons import (
    ComparisonCompleted,
    ComparisonEvent,
    ComparisonFailed,
    ComparisonRequested,
)
from events.differences import ComparisonId, ComparisonResult, ComparisonWish
from events.envelope import Envelope
from events.facts import BackupId, CacheName, Failure


class Comparison(Struct, frozen=True):
    """One comparison; without a `second_backup_id` it is with the live cache `second_cache`."""

    comparison_id: ComparisonId
    cache: CacheName
    backup_id: BackupId
    second_cache: CacheName
    second_backup_id: BackupId | None
    wish: ComparisonWish
    requested_at: datetime
    requested_by: str
    phase: Literal["requested", "completed", "failed"] = "requested"
    result: ComparisonResult | None = None
    failure: Failure | None = None
    ended_at: datetime | None = None

    @property
    def backups(self) -> tuple[BackupId, ...]:
        """Those that it reads; one twice if it is compared with itself."""
        second = self.second_backup_id
        return (self.backup_id,) if second is None else (self.backup_id, second)


Comparisons = Map[ComparisonId, Comparison]


def evolve(comparisons: Comparisons, envelope: Envelope, event: ComparisonEvent) -> Comparisons:
    """The comparisons after one more event."""
    match event:
        case ComparisonRequested():
            return comparisons.set(event.comparison_id, _requested(envelope, event))
        case ComparisonCompleted():
            old = comparisons[event.comparison_id]
            new = replace(old, phase="completed", result=event.result, ended_at=envelope.at)
            return comparisons.set(event.comparison_id, new)
        case ComparisonFailed():
            old = comparisons[event.comparison_id]
            new = replace(old, phase="failed", failure=event.failure, ended_at=envelope.at)
            return comparisons.set(event.comparison_id, new)


def _requested(envelope: Envelope, event: ComparisonRequested) -> Comparison:
    return Comparison(
        comparison_id=event.comparison_id,
        cache=event.cache,
        backup_id=event.backup_id,
        second_cache=event.second_cache,
        second_backup_id=event.second_backup_id,
        wish=event.wish,
        requested_at=envelope.at,
        requested_by=envelope.who.user or envelope.who.kind,
    )


def outstanding(comparisons: Comparisons) -> Iterator[Comparison]:
    """Those that have not ended, oldest request first."""
    found = (one for one in comparisons.values() if one.phase == "requested")
    yield from sorted(found, key=lambda one: (one.requested_at, one.comparison_id))
