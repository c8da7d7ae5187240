"""What happens when somebody compares a backup with another one, or with a running cache.

A comparison changes nothing: it reads what it compares, which is held until it has ended (A11).
It is made once: one that is cut off has failed, and whoever wants it asks again.
"""

from msgspec import Struct

from events.differences import ComparisonId, ComparisonResult, ComparisonWish
from events.facts import BackupId, CacheName, Failure


class _ComparisonEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """`cache` is that of the first backup."""

    cache: CacheName
    comparison_id: ComparisonId


class ComparisonRequested(_ComparisonEvent, frozen=True, tag="comparison-requested/1"):
    """Somebody wants to know what differs from a backup to another one, or to a live cache.

    `second_cache` is the other backup's, or without `second_backup_id` the one to look at now.
    """

    backup_id: BackupId
    second_cache: CacheName
    second_backup_id: BackupId | None = None
    wish: ComparisonWish = ComparisonWish()


class ComparisonCompleted(_ComparisonEvent, frozen=True, tag="comparison-completed/1"):
    """Both sides were read whole, and every key was looked at."""

    result: ComparisonResult


class ComparisonFailed(_ComparisonEvent, frozen=True, tag="comparison-failed/1"):
    """The comparison ended without a result: nothing is known of what differs."""

    failure: Failure


ComparisonEvent = ComparisonRequested | ComparisonCompleted | ComparisonFailed
