"""Every event in one English sentence, for people who read the history.

Pure. A sentence names what a person would ask for next: ids, names, figures, reasons.
"""

from typing import assert_never

from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCompleted,
    BackupDeferred,
    BackupDeleted,
    BackupFailed,
    BackupRecovered,
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
    LeftoversSwept,
    LogRecovered,
    LogWentBack,
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
    | LeftoversSwept
)


def _of_installation(
    event: DaemonStarted | DaemonStopped | BackupRecovered | LogWentBack | LogRecovered,
) -> str:
    match event:
        case DaemonStarted():
            return f"the daemon started, version {event.version}"
        case DaemonStopped():
            return f"the daemon stopped: {event.reason}"
        case BackupRecovered():
            return (
                f"backup {event.name} of {event.cache} was found in vault {event.vault} and "
                f"registered again: {event.backup_id}"
            )
        case LogWentBack():
            return (
                f"the daemon found that vault {event.vault} knows another log: {event.witness} "
                f"remembers position {event.known}, the log ended at {event.here}; nothing is "
                "deleted until `valkeep recover`"
            )
        case LogRecovered():
            history = f", and the history up to {event.imported}" if event.imported else ""
            former = f", which was of installation {event.former}" if event.former else ""
            return (
                f"the daemon recovered vault {event.vault}{former}: {event.backups} backups and "
                f"{len(event.caches)} caches registered{history}"
            )


def sentence(event: Event) -> str:
    """What happened, without who and when."""
    match event:
        case DaemonStarted() | DaemonStopped() | BackupRecovered() | LogWentBack() | LogRecovered():
            return _of_installation(event)
        case CacheRegistered() | CacheReconfigured() | CacheSuspended() | CacheRemoved():
            return _of_cache(event)
        case BackupRequested():
            return _asked_for(event)
        case PolicySet() | BackupDeferred() | BackupSkipped() | WindowMissed():
            return _of_schedule(event)
        case RetentionExpired():
            return f"retention of backup {event.backup_id} of {event.cache} is over: {event.reason}"
        case DeletionRequested():
            return f"backup {event.backup_id} of {event.cache} is to go: {_because(event.reason)}"
        case BackupDeleted():
            return f"backup {event.backup_id} of {event.cache} is gone from the vault"
        case (
            RestoreRequested()
            | RestorePlanned()
            | RestoreStarted()
            | RestoreCompleted()
            | RestoreInterrupted()
            | RestoreFailed()
        ):
            return _of_restore(event)
        case _:
            return _of_attempt(event)


def _asked_for(event: BackupRequested) -> str:
    of = event.occurrence
    window = f", for the window {of.start} of {of.day}" if of else ""
    what = f"{event.kind} backup {event.cache}/{event.name}"
    return f"{what} asked for ({event.backup_id}){window}"


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
        case LeftoversSwept():
            return f"nothing of the failed attempt at backup {of} is left in the vault"
        case _:
            assert_never(event)


def _of_restore(event: _OfRestore) -> str:
    into = f"restore {event.restore_id} into {event.cache}"
    match event:
        case RestoreRequested():
            return f"{into} asked for, of backup {event.backup_id} of {event.backup_cache}"
        case RestorePlanned():
            forced = f", forced: {', '.join(event.forced)}" if event.forced else ""
            return f"{into} planned: {len(event.plan.findings)} findings{forced}"
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
