"""Every event in one English sentence, for people who read the history.

Pure. A sentence names what a person would ask for next: ids, names, figures, reasons.
"""

from typing import assert_never

from daemon.api.sentences_of_alarms import of_alarm
from daemon.api.sentences_of_comparisons import of_comparison
from daemon.api.sentences_of_copies import of_copy, of_suspicion
from daemon.api.sentences_of_copy_proofs import of_copy_proof
from daemon.api.sentences_of_exports import of_export
from daemon.api.sentences_of_hooks import of_hook
from daemon.api.sentences_of_imports import of_import
from daemon.api.sentences_of_prices import of_prices
from daemon.api.sentences_proof import of_proof
from daemon.api.sentences_recovery import of_recovery
from events.alarms import AlarmEvent
from events.comparisons import ComparisonEvent
from events.copies import CopyEvent
from events.copy_proofs import CopyProofEvent
from events.hooks import HookEvent
from events.imports import ImportEvent
from events.prices import PricesSet
from events.proofs import (
    BackupVerified,
    VerificationAbandoned,
    VerificationFailed,
    VerificationPutOff,
    VerificationRequested,
    VerificationStarted,
)
from events.recoveries import BackupRecovered, LogRecovered, LogWentBack
from events.suspicions import SuspicionEvent
from events.transfers import ExportEvent
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCancelled,
    BackupCompleted,
    BackupDeferred,
    BackupDeleted,
    BackupFailed,
    BackupRequested,
    BackupSkipped,
    CacheReconfigured,
    CacheRegistered,
    CacheRemoved,
    CacheSuspended,
    DaemonStarted,
    DaemonStopped,
    DeletionRequested,
    Event,
    LeftoversStuck,
    LeftoversSwept,
    PolicySet,
    RestoreCompleted,
    RestoreFailed,
    RestoreInterrupted,
    RestorePlanned,
    RestoreRequested,
    RestoreStarted,
    RetentionExpired,
    RetryScheduled,
    SnapshotTaken,
    VaultExamined,
    WindowMissed,
)
from projections.policy import window_text

_OfCache = CacheRegistered | CacheReconfigured | CacheSuspended | CacheRemoved
_OfSchedule = PolicySet | BackupDeferred | BackupSkipped | WindowMissed
_OfRestore = (
    RestoreRequested
    | RestorePlanned
    | RestoreStarted
    | RestoreCompleted
    | RestoreInterrupted
    | RestoreFailed
)
_OfAttempt = (
    AttemptStarted
    | SnapshotTaken
    | BackupCompleted
    | BackupFailed
    | RetryScheduled
    | BackupAbandoned
    | BackupCancelled
    | LeftoversStuck
    | LeftoversSwept
)


def sentence(event: Event) -> str:
    """What happened, without who and when."""
    match event:
        case BackupRecovered() | LogWentBack() | LogRecovered():
            return of_recovery(event)
        case DaemonStarted() | DaemonStopped() | VaultExamined():
            return _of_installation(event)
        case CacheRegistered() | CacheReconfigured() | CacheSuspended() | CacheRemoved():
            return _of_cache(event)
        case PricesSet():
            return of_prices(event)
        case BackupRequested():
            return _asked_for(event)
        case PolicySet() | BackupDeferred() | BackupSkipped() | WindowMissed():
            return _of_schedule(event)
        case RetentionExpired() | DeletionRequested() | BackupDeleted():
            return _of_end(event)
        case (
            RestoreRequested()
            | RestorePlanned()
            | RestoreStarted()
            | RestoreCompleted()
            | RestoreInterrupted()
            | RestoreFailed()
        ):
            return _of_restore(event)
        case (
            VerificationRequested()
            | VerificationStarted()
            | VerificationPutOff()
            | VerificationAbandoned()
            | BackupVerified()
            | VerificationFailed()
        ):
            return of_proof(event)
        case _:
            return _of_complete(event)


def _of_complete(
    event: _OfAttempt
    | CopyEvent
    | CopyProofEvent
    | SuspicionEvent
    | ExportEvent
    | ComparisonEvent
    | ImportEvent
    | HookEvent
    | AlarmEvent,
) -> str:
    if isinstance(event, HookEvent):
        return of_hook(event)
    if isinstance(event, AlarmEvent):
        return of_alarm(event)
    if isinstance(event, ComparisonEvent):
        return of_comparison(event)
    if isinstance(event, ImportEvent):
        return of_import(event)
    if isinstance(event, ExportEvent):
        return of_export(event)
    if isinstance(event, CopyEvent):
        return of_copy(event)
    if isinstance(event, CopyProofEvent):
        return of_copy_proof(event)
    if isinstance(event, SuspicionEvent):
        return of_suspicion(event)
    return _of_attempt(event)


def _of_installation(event: DaemonStarted | DaemonStopped | VaultExamined) -> str:
    match event:
        case DaemonStarted():
            return f"the daemon started, version {event.version}"
        case DaemonStopped():
            return f"the daemon stopped: {event.reason}"
        case VaultExamined() if event.faults:
            found = "; ".join(f"{fault.deed}: {fault.failure.message}" for fault in event.faults)
            return f"vault {event.vault} was tried out, and is at fault: {found}"
        case _:
            return f"vault {event.vault} was tried out, and all is well again"


def _asked_for(event: BackupRequested) -> str:
    of = event.occurrence
    window = f", for the window {of.start} of {of.day}" if of else ""
    what = f"{event.kind} backup {event.cache}/{event.name}"
    return f"{what} asked for ({event.backup_id}){window}"


def _of_end(event: RetentionExpired | DeletionRequested | BackupDeleted) -> str:
    of = f"backup {event.backup_id} of {event.cache}"
    match event:
        case RetentionExpired():
            return f"retention of {of} is over: {event.reason}"
        case DeletionRequested():
            return f"{of} is to go: {_because(event.reason)}"
        case BackupDeleted():
            return f"{of} is gone from the vault"


def _because(reason: str) -> str:
    known = {
        "command": "somebody deleted it",
        "retention": "its retention is over",
        "cache-removed": "its cache was removed",
    }
    return known.get(reason, reason)


def _of_cache(event: _OfCache) -> str:
    match event:
        case CacheRegistered():
            how = "declared in the configuration" if event.declared else "added"
            return f"cache {event.cache} {how}: {event.settings.url}"
        case CacheReconfigured():
            return f"cache {event.cache} changed: {event.settings.url}"
        case CacheSuspended():
            return f"cache {event.cache} suspended: {event.reason}"
        case CacheRemoved():
            return f"cache {event.cache} removed"
        case _:
            assert_never(event)


def _of_schedule(event: _OfSchedule) -> str:
    match event:
        case PolicySet():
            policy = event.policy
            windows = ", ".join(window_text(window) for window in policy.windows) or "no window"
            auto = f"on, {windows} {policy.timezone}" if policy.auto else "off"
            kept = f"kept {policy.retention_days} d, {policy.retries} retries"
            return f"policy of cache {event.cache} set: auto backups {auto}; {kept}"
        case BackupDeferred():
            return f"backup {event.backup_id} of {event.cache} has to wait: {event.reason}"
        case BackupSkipped():
            return f"backup {event.backup_id} of {event.cache} skipped: {event.reason}"
        case WindowMissed():
            when = f"{event.occurrence.start} of {event.occurrence.day}"
            return f"window {when} of cache {event.cache} missed: {event.reason}"
        case _:
            assert_never(event)


def _of_attempt(event: _OfAttempt) -> str:
    of = f"{event.backup_id} of {event.cache}"
    match event:
        case AttemptStarted():
            return f"attempt {event.attempt} at backup {of} started"
        case SnapshotTaken():
            server = event.snapshot.server
            engine = f"{server.engine} {server.version}"
            return f"snapshot for backup {of} taken by {event.snapshot.source} from {engine}"
        case BackupCompleted():
            return f"backup {of} completed: {event.stored.stored_bytes:,} bytes stored"
        case BackupFailed():
            return f"attempt {event.attempt} at backup {of} failed: {event.failure.message}"
        case RetryScheduled():
            return f"backup {of} will be tried again at {event.retry_at:%Y-%m-%d %H:%M:%SZ}"
        case BackupAbandoned():
            return f"backup {of} given up: {event.reason}"
        case BackupCancelled():
            stopped = f", attempt {event.attempt} is stopped" if event.attempt else ""
            return f"backup {of} cancelled{stopped}"
        case LeftoversStuck():
            which = f"{_attempts(event.attempts)} at backup {of}"
            return f"a call to {event.doing} has not returned: what is left of {which} stays"
        case LeftoversSwept():
            return f"nothing of {_which(event)} at backup {of} is left in the vault"
        case _:
            assert_never(event)


def _which(event: LeftoversSwept) -> str:
    if not event.attempts:
        return "the failed attempt"
    return f"the stuck {_attempts(event.attempts)}"


def _attempts(numbers: tuple[int, ...]) -> str:
    return f"attempt{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _of_restore(event: _OfRestore) -> str:
    into = f"restore {event.restore_id} into {event.cache}"
    match event:
        case RestoreRequested():
            undoes = f", to undo restore {event.undoes}" if event.undoes else ""
            return f"{into} asked for, of backup {event.backup_id} of {event.backup_cache}{undoes}"
        case RestorePlanned():
            forced = f", forced: {', '.join(event.forced)}" if event.forced else ""
            count = len(event.plan.findings)
            return f"{into} planned: {count} finding{'' if count == 1 else 's'}{forced}"
        case RestoreStarted() if not event.listener:
            return f"{into} started: keys are written from now on"
        case RestoreStarted():
            return f"{into} started: the target will replicate from {event.listener}"
        case RestoreCompleted():
            keys = sum(event.result.keys.values())
            return f"{into} completed: {keys:,} keys, {event.result.durability}"
        case RestoreInterrupted():
            return f"{into} interrupted, to be undone: {event.failure.message}"
        case RestoreFailed():
            left = "" if event.undone else "; not everything is undone"
            return f"{into} failed: {event.failure.message}{left}"
        case _:
            assert_never(event)
