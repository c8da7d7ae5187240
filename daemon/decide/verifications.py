"""Deciding on verifications: who gets one, how often it is tried, how it ends (DESIGN 7, R7).

What is the vault's or the daemon's fault is tried again and then given up; only what was found
in the stored bytes themselves is held against a backup.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from daemon.commands import (
    ProofReport,
    ReportRefuted,
    ReportUnverified,
    ReportVerified,
    RequestVerification,
    StartVerification,
)
from daemon.decide.decision import Context, Decision, known_backup, superseded
from daemon.errors import Rejected
from events.facts import BackupId, Failure, Policy, VerificationId
from events.proofs import (
    BackupVerified,
    VerificationAbandoned,
    VerificationFailed,
    VerificationPutOff,
    VerificationRequested,
    VerificationStarted,
)
from events.types import (
    Event,
)
from projections.catalog import Backup
from projections.local import local
from projections.proofs import Verification
from projections.state import State
from projections.work import proving_waits_for

MOST_TRIES = 5
"""So often is a verification tried that fails for reasons of others."""
CUT_OFF_CODE = "interrupted"
"""The daemon's end is no reason to wait, unless it was the verification that ended it."""
DELAYS = (timedelta(minutes=1), timedelta(hours=1))
"""First and longest delay before it is tried again."""


def decide(
    state: State,
    command: RequestVerification | StartVerification | ProofReport,
    context: Context,
) -> Decision:
    """The events of one command about a verification."""
    match command:
        case RequestVerification():
            return Decision((_requested(state, command, context),))
        case StartVerification():
            return Decision((_started(state, command.backup_id, context.now),))
        case _:
            return Decision((_ended(state, command, context.now),))


def _requested(
    state: State, command: RequestVerification, context: Context
) -> VerificationRequested:
    backup = known_backup(state, command.backup)
    what = f"Backup {backup.cache}/{backup.name}"
    if backup.phase != "complete":
        raise Rejected(
            "backup-unfinished",
            f"{what} is not complete yet.",
            f"Wait for its end: `valkeep backup show {backup.backup_id}`.",
        )
    wanted = state.verifications.get(backup.backup_id)
    if wanted is not None:
        raise Rejected(
            "verification-running",
            f"{what} is being verified already{_put_off(wanted)}.",
            f"See how far it is: `valkeep backup show {backup.backup_id}`.",
        )
    return VerificationRequested(
        cache=backup.cache,
        backup_id=backup.backup_id,
        verification_id=VerificationId(context.new_id),
        cause="command",
        quick=command.quick,
    )


def _put_off(wanted: Verification) -> str:
    """When a verification whose last try has failed is tried again."""
    if wanted.failure is None or wanted.retry_at is None:
        return ""
    why = wanted.failure.message.rstrip(".")
    return f": its last try failed ({why}), and the next one is at {wanted.retry_at:%H:%M:%SZ}"


def by_policy(state: State, backup: Backup, context: Context) -> Iterator[VerificationRequested]:
    """The verification of a backup that has just been completed, if its policy wants one.

    ``daily``: the first one of a day, on the clocks of the policy's zone, that gets a proof.
    """
    cache = state.caches.get(backup.cache)
    policy = cache.scheduled if cache else None
    if backup.kind != "auto" or policy is None or policy.verify == "never":
        return
    if policy.verify == "daily" and _proven_on_this_day(state, backup, policy, context.now):
        return
    yield VerificationRequested(
        cache=backup.cache,
        backup_id=backup.backup_id,
        verification_id=VerificationId(context.new_id),
        cause="policy",
    )


def _proven_on_this_day(state: State, backup: Backup, policy: Policy, now: datetime) -> bool:
    today = local(now, policy.timezone).date()
    for other in state.catalog.get(backup.cache, {}).values():
        if other.kind != "auto":
            continue
        if other.backup_id in state.verifications:
            return True
        at = other.proof.verified_at
        if at is not None and other.good and local(at, policy.timezone).date() == today:
            return True
    return False


def _started(state: State, backup_id: BackupId, now: datetime) -> VerificationStarted:
    wanted = state.verifications.get(backup_id)
    if wanted is None or wanted.running or proving_waits_for(state, wanted, now) is not None:
        raise superseded(f"The verification of backup {backup_id}")
    return VerificationStarted(
        cache=wanted.cache,
        backup_id=backup_id,
        verification_id=wanted.verification_id,
        attempt=wanted.tries + 1,
    )


def _ended(state: State, command: ProofReport, now: datetime) -> Event:
    wanted = state.verifications.get(command.backup_id)
    if wanted is None or wanted.verification_id != command.verification_id or not wanted.running:
        raise superseded(f"The verification of backup {command.backup_id}")
    match command:
        case ReportVerified():
            return BackupVerified(
                cache=wanted.cache,
                backup_id=wanted.backup_id,
                verification_id=wanted.verification_id,
                receipt=command.receipt,
            )
        case ReportRefuted():
            return VerificationFailed(
                cache=wanted.cache,
                backup_id=wanted.backup_id,
                verification_id=wanted.verification_id,
                level=command.level,
                failure=command.failure,
            )
        case ReportUnverified():
            return unverified(wanted, command.failure, now)


def unverified(
    wanted: Verification, failure: Failure, now: datetime
) -> VerificationPutOff | VerificationAbandoned:
    """The end of a try that came to nothing: another one at a decided instant, or none."""
    again = retry_at(wanted, failure, now)
    if again is None:
        return abandoned(wanted, failure)
    return VerificationPutOff(
        cache=wanted.cache,
        backup_id=wanted.backup_id,
        verification_id=wanted.verification_id,
        failure=failure,
        retry_at=again,
    )


def retry_at(wanted: Verification, failure: Failure, now: datetime) -> datetime | None:
    """When a verification is tried again whose try has failed so; None for no more."""
    if failure.permanent or wanted.tries >= MOST_TRIES:
        return None
    if failure.code == CUT_OFF_CODE and wanted.tries == 1:
        return now
    first, longest = DELAYS
    delay: timedelta = first * 4 ** (wanted.tries - 1)
    return now + min(longest, delay)


def abandoned(wanted: Verification, failure: Failure) -> VerificationAbandoned:
    """The end of a verification that nobody wants any more, or that cannot be made."""
    return VerificationAbandoned(
        cache=wanted.cache,
        backup_id=wanted.backup_id,
        verification_id=wanted.verification_id,
        failure=failure,
    )


def given_up(state: State, backup: Backup, why: str) -> Iterator[VerificationAbandoned]:
    """The end of a backup's verification because the backup is to go."""
    wanted = state.verifications.get(backup.backup_id)
    if wanted is not None:
        hint = "Nothing is left to do here."
        yield abandoned(wanted, Failure("superseded", why, hint, permanent=True))


def cut_off(state: State, failure: Failure, now: datetime) -> Iterator[Event]:
    """The verifications that the end of the daemon has cut off; they start again from zero."""
    for _, wanted in sorted(state.verifications.items()):
        if wanted.running:
            yield unverified(wanted, failure, now)
