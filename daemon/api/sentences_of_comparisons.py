"""The events of comparisons, each in one English sentence. Pure."""

from events.comparisons import (
    ComparisonCompleted,
    ComparisonEvent,
    ComparisonFailed,
    ComparisonRequested,
)


def of_comparison(event: ComparisonEvent) -> str:
    """What happened to a comparison, without who and when."""
    of = f"comparison {event.comparison_id} of {event.cache}"
    match event:
        case ComparisonRequested():
            other = f"cache {event.second_cache}"
            if event.second_backup_id is not None:
                other = f"backup {event.second_backup_id} of {event.second_cache}"
            return f"{of} asked for: backup {event.backup_id} with {other}"
        case ComparisonCompleted():
            found = event.result.counts
            return (
                f"{of} completed: {found.added:,} keys added, {found.removed:,} removed, "
                f"{found.expired:,} expired, {found.changed:,} changed, {found.ttl:,} with "
                f"another TTL, {found.same:,} the same"
            )
        case ComparisonFailed():
            return f"{of} failed: {event.failure.message}"
