"""Deciding what retention deletes: the reason first, the deletion as work after it (A2, A11)."""

from daemon.commands import ExpireBackups
from daemon.decide.decision import Context, Decision
from events.types import DeletionRequested, Event, RetentionExpired
from projections.retention import expired
from projections.state import State


def decide(state: State, command: ExpireBackups, context: Context) -> Decision:
    """For each backup that a cache's retention no longer covers: why, and that it is to go."""
    if state.recovery.ahead:
        return Decision(())
    events: list[Event] = []
    for expiry in expired(state, command.cache, context.now):
        events += [
            RetentionExpired(
                cache=command.cache,
                backup_id=expiry.backup_id,
                taken_at=expiry.taken_at,
                retention_days=expiry.retention_days,
                reason=expiry.reason,
            ),
            DeletionRequested(cache=command.cache, backup_id=expiry.backup_id, reason="retention"),
        ]
    return Decision(tuple(events))
