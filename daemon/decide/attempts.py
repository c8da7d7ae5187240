"""Deciding on attempts: their start, their end, and whether there is another (M3, A6, S1)."""

from daemon.commands import (
    ReportAttemptFailed,
    ReportSnapshot,
    ReportStored,
    ReportSwept,
    StartAttempt,
)
from daemon.decide.decision import Context, Decision, backup_by_id, superseded
from daemon.errors import Rejected
from events.facts import Failure
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCompleted,
    BackupFailed,
    Event,
    LeftoversSwept,
    RetryScheduled,
    SnapshotTaken,
)
from projections.catalog import Backup
from projections.state import State
from projections.work import waits_for


def decide(
    state: State,
    command: StartAttempt | ReportSnapshot | ReportStored | ReportAttemptFailed | ReportSwept,
    context: Context,
) -> Decision:
    """The events of one report about an attempt."""
    backup = backup_by_id(state, command.backup_id)
    if isinstance(command, StartAttempt):
        return Decision((_start(state, backup, context),))
    if isinstance(command, ReportSwept):
        if not backup.unswept or backup.phase == "running":
            raise superseded(f"The sweep of {backup.backup_id}")
        return Decision((LeftoversSwept(cache=backup.cache, backup_id=backup.backup_id),))
    if backup.phase != "running":
        raise superseded(f"The attempt at backup {backup.backup_id}")
    match command:
        case ReportSnapshot():
            return Decision(
                (
                    SnapshotTaken(
                        cache=backup.cache, backup_id=backup.backup_id, snapshot=command.snapshot
                    ),
                )
            )
        case ReportStored():
            return Decision(
                (
                    BackupCompleted(
                        cache=backup.cache, backup_id=backup.backup_id, stored=command.stored
                    ),
                )
            )
        case ReportAttemptFailed():
            return Decision(failed(backup, command.failure, context, by_daemon=command.by_daemon))


def _start(state: State, backup: Backup, context: Context) -> AttemptStarted:
    reason = waits_for(state, backup, context.now)
    if backup.phase != "waiting" or backup.unswept:
        reason = "what an earlier attempt left has to be swept first"
    if reason is not None:
        raise Rejected(
            "not-now", f"Backup {backup.backup_id} cannot start: {reason}.", "It starts by itself."
        )
    return AttemptStarted(
        cache=backup.cache,
        backup_id=backup.backup_id,
        attempt=backup.attempts + 1,
        vault=backup.vault,
    )


def failed(
    backup: Backup, failure: Failure, context: Context, *, by_daemon: bool
) -> tuple[Event, ...]:
    """The end of an attempt: another one at a decided instant, or none and the reason.

    A manual backup has one attempt, and one more if the daemon was the cause (M3); a safety
    backup has one (R4).
    """
    event = BackupFailed(
        cache=backup.cache,
        backup_id=backup.backup_id,
        attempt=backup.attempts,
        failure=failure,
        cause="daemon" if by_daemon else "outside",
    )
    if by_daemon and backup.kind == "manual" and backup.attempts == 1:
        retry = RetryScheduled(cache=backup.cache, backup_id=backup.backup_id, retry_at=context.now)
        return (event, retry)
    return (
        event,
        BackupAbandoned(
            cache=backup.cache, backup_id=backup.backup_id, reason=_why_no_more(backup, failure)
        ),
    )


def _why_no_more(backup: Backup, failure: Failure) -> str:
    if failure.permanent:
        return "the failure is permanent: another try would fail in the same way"
    if backup.kind == "safety":
        return "a safety backup has one attempt"
    return "a manual backup has one attempt, and one more if the daemon itself failed"
