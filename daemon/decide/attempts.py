"""Deciding on attempts: their start, their end, and whether there is another (M3, A6, S1)."""

from datetime import datetime, timedelta
from hashlib import sha256

from msgspec import Struct

from daemon.commands import (
    ReportAttemptFailed,
    ReportSnapshot,
    ReportStored,
    ReportStuck,
    ReportSwept,
    StartAttempt,
)
from daemon.decide.copies import copy_of_new
from daemon.decide.decision import Context, Decision, backup_by_id, superseded
from daemon.decide.imports import completed, given_up, why_not_again
from daemon.decide.leftovers import stuck, swept
from daemon.decide.suspicion import suspected
from daemon.decide.verifications import by_policy
from daemon.errors import Rejected
from events.facts import Failure
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCompleted,
    BackupFailed,
    Event,
    RetryScheduled,
    SnapshotTaken,
)
from projections.catalog import Backup
from projections.state import State
from projections.work import time_to_start, waits_for

LAST_CALL = timedelta(seconds=30)
"""A retry that its delay would carry past the window's end starts so long before it instead."""


_Report = ReportSnapshot | ReportStored | ReportAttemptFailed


def decide(
    state: State,
    command: StartAttempt | _Report | ReportStuck | ReportSwept,
    context: Context,
) -> Decision:
    """The events of one report about an attempt."""
    backup = backup_by_id(state, command.backup_id)
    if isinstance(command, StartAttempt):
        return Decision((_start(state, backup, context),))
    if isinstance(command, ReportSwept):
        return Decision((swept(backup, command),))
    if isinstance(command, ReportStuck):
        return Decision(_stuck(state, backup, command, context))
    if backup.phase != "running" or command.attempt not in (None, backup.attempts):
        raise superseded(f"The attempt at backup {backup.backup_id}")
    return Decision(_reported(state, backup, command, context))


def _reported(
    state: State, backup: Backup, command: _Report, context: Context
) -> tuple[Event, ...]:
    of, backup_id = backup.cache, backup.backup_id
    match command:
        case ReportSnapshot():
            return (SnapshotTaken(cache=of, backup_id=backup_id, snapshot=command.snapshot),)
        case ReportStored():
            done = BackupCompleted(cache=of, backup_id=backup_id, stored=command.stored)
            flag = suspected(state, backup, command.stored)
            copied, proven = copy_of_new(state, backup), by_policy(state, backup, context)
            come = completed(backup, command.stored, context)
            return (done, *come, *flag, *copied, *(proven if not flag else ()))
        case ReportAttemptFailed():
            cut = Cut(command.failure, command.by_daemon)
            return failed(state, backup, cut, context)


def _stuck(
    state: State, backup: Backup, command: ReportStuck, context: Context
) -> tuple[Event, ...]:
    """The attempt that runs has failed by it, if one runs; and what is left is swept apart."""
    if backup.phase != "running":
        return (stuck(backup, command.doing),)
    end, *then = failed(state, backup, Cut(command.failure, by_daemon=False), context)
    return (end, stuck(backup, command.doing), *then)


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


class Cut(Struct, frozen=True):
    """How an attempt ended that did not succeed."""

    failure: Failure
    by_daemon: bool


def failed(state: State, backup: Backup, cut: Cut, context: Context) -> tuple[Event, ...]:
    """The end of an attempt: another one at a decided instant, or none and the reason.

    A manual backup has one attempt, and one more if the daemon was the cause (M3); a safety
    backup has one (R4); an auto backup has those that its policy allows (A6).
    """
    event = BackupFailed(
        cache=backup.cache,
        backup_id=backup.backup_id,
        attempt=backup.attempts,
        failure=cut.failure,
        cause="daemon" if cut.by_daemon else "outside",
    )
    reason = _why_no_more(state, backup, cut, context)
    if reason is not None:
        end = BackupAbandoned(cache=backup.cache, backup_id=backup.backup_id, reason=reason)
        return (event, end, *given_up(backup, cut.failure))
    retry_at = context.now if backup.kind == "manual" else next_attempt(backup, context.now)
    return (
        event,
        RetryScheduled(cache=backup.cache, backup_id=backup.backup_id, retry_at=retry_at),
    )


def _why_no_more(state: State, backup: Backup, cut: Cut, context: Context) -> str | None:
    """Why there is no further attempt, in words; None when there is one."""
    if cut.failure.permanent:
        return "the failure is permanent: another try would fail in the same way"
    match backup.kind:
        case "safety":
            return "a safety backup has one attempt"
        case "manual" if why := _out_of_service(state, backup) or why_not_again(backup):
            return why
        case "manual":
            again = cut.by_daemon and backup.attempts == 1
            what = "a manual backup has one attempt, and one more if the daemon itself failed"
            return None if again else what
        case "auto":
            return _why_no_retry(state, backup, context.now)


def _out_of_service(state: State, backup: Backup) -> str | None:
    """A manual backup has no window that would end its waiting for a suspended cache (C3)."""
    cache = state.caches.get(backup.cache)
    return f"its cache is suspended: {cache.suspended}" if cache and cache.suspended else None


def _why_no_retry(state: State, backup: Backup, now: datetime) -> str | None:
    cache = state.caches.get(backup.cache)
    policy = cache.policy if cache else None  # a suspended cache may come back in time
    if policy is None or not policy.auto:
        return "auto backups of this cache are off"
    if backup.attempts > policy.retries:
        return f"no attempt is left: there were {backup.attempts}, one and {policy.retries} retries"
    if backup.start_before is None or next_attempt(backup, now) >= backup.start_before:
        return f"a retry would come too late: {time_to_start(backup)}"
    return None


def next_attempt(backup: Backup, now: datetime) -> datetime:
    """When an auto backup is tried again: a minute later, then two, four … up to an hour.

    Up to a quarter more, by its id, so that a fleet that fails together does not come back
    together; but not so late that the window would close first, while there is time at all.
    In its last seconds a quarter of what is left passes in between: never none.
    """
    mark = sha256(f"{backup.backup_id} {backup.attempts}".encode()).digest()
    spread = 1 + int.from_bytes(mark[:4], "big") / 2**34
    seconds = min(3600.0, 60.0 * 2 ** (backup.attempts - 1)) * spread
    at = now + timedelta(seconds=int(seconds))
    if backup.start_before is None:
        return at
    left = backup.start_before - now
    return min(at, max(now, backup.start_before - min(LAST_CALL, left * 3 / 4)))
