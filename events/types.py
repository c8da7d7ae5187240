"""Every event there is, as frozen values; together they are the whole truth.

Names are the contract (DESIGN 3). A tag is short and carries a version; once written it
can be read for ever, so a changed shape is a new version with an upcaster in `codec`.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from events.alarms import AlarmEvent, AlarmRecord
from events.comparisons import ComparisonEvent
from events.copies import CopyEvent
from events.copy_proofs import CopyProofEvent
from events.facts import (
    INSTALLATION,
    BackupId,
    BackupKind,
    BackupName,
    CacheName,
    CacheSettings,
    Failure,
    InstallationId,
    Occurrence,
    Policy,
    Probe,
    RestoreId,
    RestorePlan,
    RestoreResult,
    SnapshotFacts,
    StoredFacts,
    Stream,
    VaultFault,
    VaultName,
    cache_stream,
)
from events.hooks import HookEvent, HooksSet
from events.imports import ImportEvent
from events.moves import KeysWish, RestoreMethod
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


class DaemonStarted(Struct, frozen=True, forbid_unknown_fields=True, tag="daemon-started/1"):
    """The daemon came up, in that `version`; at most once a minute: restart loops grow no log."""

    installation: InstallationId
    version: str


class DaemonStopped(Struct, frozen=True, forbid_unknown_fields=True, tag="daemon-stopped/1"):
    """The daemon went down in good order; `reason` is what it was told."""

    reason: str


class VaultExamined(Struct, frozen=True, forbid_unknown_fields=True, tag="vault-examined/1"):
    """A vault was tried out, and the outcome is another one than before; no faults: all is well.

    `url` is what the configuration calls it then, without secrets: a vault that is somewhere
    else by now was not tried.
    """

    vault: VaultName
    url: str
    faults: tuple[VaultFault, ...] = ()


class _CacheEvent(Struct, frozen=True, forbid_unknown_fields=True):
    cache: CacheName


class CacheRegistered(_CacheEvent, frozen=True, tag="cache-registered/3"):
    """A cache was added, by command or (`declared`) by the configuration `file`."""

    settings: CacheSettings
    declared: bool = False
    file: str | None = None
    probe: Probe | None = None


class CacheReconfigured(_CacheEvent, frozen=True, tag="cache-reconfigured/3"):
    """A cache's settings changed, by command or (`declared`) by the `file`; suspension is over."""

    settings: CacheSettings
    declared: bool = False
    file: str | None = None
    probe: Probe | None = None


class CacheSuspended(_CacheEvent, frozen=True, tag="cache-suspended/1"):
    """A declared cache is gone from its file (`reason`): no new backups, nothing deleted (C3)."""

    reason: str


class CacheRemoved(_CacheEvent, frozen=True, tag="cache-removed/1"):
    """A cache was removed by command; its manual backups stay (M2, A10)."""


class PolicySet(_CacheEvent, frozen=True, tag="policy-set/2"):
    """A cache's auto-backup settings are these, by command or (`declared`) by the file."""

    policy: Policy
    declared: bool = False


class BackupRequested(_CacheEvent, frozen=True, tag="backup-requested/2"):
    """A backup of that `kind` is wanted; `restore_id` is set for a safety backup (R4).

    An auto backup serves an `occurrence`, if there is one, and no attempt at it starts at or
    after `start_before`: both are fixed here, whatever becomes of the policy.
    """

    backup_id: BackupId
    kind: BackupKind
    name: BackupName
    vault: VaultName
    restore_id: RestoreId | None = None
    occurrence: Occurrence | None = None
    start_before: datetime | None = None


class BackupDeferred(_CacheEvent, frozen=True, tag="backup-deferred/1"):
    """An auto backup's instant has come and it has to wait for `reason`, in its window (A7)."""

    backup_id: BackupId
    reason: str


class BackupSkipped(_CacheEvent, frozen=True, tag="backup-skipped/1"):
    """An auto backup was not begun before its window closed; `reason` says why (A7, A8)."""

    backup_id: BackupId
    reason: str


class WindowMissed(_CacheEvent, frozen=True, tag="window-missed/1"):
    """An occurrence passed without us; `reason` says whether we were away or could not act (A9)."""

    occurrence: Occurrence
    reason: str


class AttemptStarted(_CacheEvent, frozen=True, tag="attempt-started/1"):
    """One `attempt` (from 1) begins; recorded before the first byte is written (S1)."""

    backup_id: BackupId
    attempt: int
    vault: VaultName


class SnapshotTaken(_CacheEvent, frozen=True, tag="snapshot-taken/3"):
    """The engine's bytes have all arrived and their end mark and CRC-64 are right."""

    backup_id: BackupId
    snapshot: SnapshotFacts


class BackupCompleted(_CacheEvent, frozen=True, tag="backup-completed/2"):
    """The manifest is in the vault: the backup exists."""

    backup_id: BackupId
    stored: StoredFacts


class BackupFailed(_CacheEvent, frozen=True, tag="backup-failed/1"):
    """One `attempt` failed; what follows is `RetryScheduled` or `BackupAbandoned`.

    The `cause` is the daemon itself, where its end cut the attempt off.
    """

    backup_id: BackupId
    attempt: int
    failure: Failure
    cause: Literal["outside", "daemon"] = "outside"


class RetryScheduled(_CacheEvent, frozen=True, tag="retry-scheduled/1"):
    """Another attempt will be made, not before `retry_at` (the decided value)."""

    backup_id: BackupId
    retry_at: datetime


class BackupAbandoned(_CacheEvent, frozen=True, tag="backup-abandoned/1"):
    """No more attempts will be made; `reason` says which limit was met."""

    backup_id: BackupId
    reason: str


class BackupCancelled(_CacheEvent, frozen=True, tag="backup-cancelled/1"):
    """Somebody ended a backup that was not complete; `attempt` was running, 0 if none was."""

    backup_id: BackupId
    attempt: int = 0


class LeftoversStuck(_CacheEvent, frozen=True, tag="leftovers-stuck/1"):
    """A call of these `attempts` has not returned; `doing` is what it was to do.

    What they left is swept when it has, or after a restart, and nothing else waits for that.
    """

    backup_id: BackupId
    attempts: tuple[int, ...]
    doing: str


class LeftoversSwept(_CacheEvent, frozen=True, tag="leftovers-swept/2"):
    """The vault confirmed that nothing of failed attempts is left (S1).

    Of these `attempts`, which were stuck; or, with none, of all those that were not.
    """

    backup_id: BackupId
    attempts: tuple[int, ...] = ()


class RetentionExpired(_CacheEvent, frozen=True, tag="retention-expired/1"):
    """A backup's retention is over; its `DeletionRequested` follows (A2).

    It was of `taken_at`, the policy kept `retention_days`, and `reason` is the rule in words.
    """

    backup_id: BackupId
    taken_at: datetime
    retention_days: int
    reason: str


class DeletionRequested(_CacheEvent, frozen=True, tag="deletion-requested/1"):
    """A backup is to go, for that `reason`; it is no longer listed, and deletion is tried on."""

    backup_id: BackupId
    reason: Literal["command", "retention", "cache-removed"]


class BackupDeleted(_CacheEvent, frozen=True, tag="backup-deleted/1"):
    """The vault confirmed that nothing of the backup is left."""

    backup_id: BackupId


class _RestoreEvent(_CacheEvent, frozen=True):
    """`cache` is the target: its stream tells everything that was done to it."""

    restore_id: RestoreId


class RestoreRequested(_RestoreEvent, frozen=True, tag="restore-requested/3"):
    """Somebody wants a backup's data in a running cache; the backup is held until the end.

    `vault` is the one to read from, where that is said: the backup's own, or a copy's. `keys` is
    there for the `method` of that name. `undoes` is the restore that this one takes back (R7).
    `replace` says that a target with data was meant (R3), `safety_backup` that one is made first,
    and `force` names the blockers to override.
    """

    backup_id: BackupId
    backup_cache: CacheName
    replace: bool
    safety_backup: bool
    force: tuple[str, ...] = ()
    vault: VaultName | None = None
    method: RestoreMethod = "replication"
    keys: KeysWish | None = None
    undoes: RestoreId | None = None


class RestorePlanned(_RestoreEvent, frozen=True, tag="restore-planned/2"):
    """The plan that will be followed; `forced` names the blockers that were overridden (R2)."""

    plan: RestorePlan
    forced: tuple[str, ...] = ()


class RestoreStarted(_RestoreEvent, frozen=True, tag="restore-started/1"):
    """Committed before the target's first setting is changed; `old_settings` has old values (R4).

    `listener` is the address that the target will be told to replicate from, `changes` the
    settings that will be set, and `replication_id` the fresh one that we will answer with: a
    target that shows it has loaded the backup; `run_id` is the target's. None of them is a secret.
    """

    run_id: str
    old_settings: dict[str, str]
    changes: dict[str, str]
    listener: str
    replication_id: str


class RestoreCompleted(_RestoreEvent, frozen=True, tag="restore-completed/2"):
    """The target serves the data and has made it durable, or the result says it has not (R6)."""

    result: RestoreResult


class RestoreInterrupted(_RestoreEvent, frozen=True, tag="restore-interrupted/1"):
    """The restore will not go on; what it changed on the target is still to be undone (R7)."""

    failure: Failure


class RestoreFailed(_RestoreEvent, frozen=True, tag="restore-failed/2"):
    """The restore ended without success; `undone` says the target's settings are back.

    `command` repeats the restore by hand; `by_hand` lists what is left to type, if anything.
    `serves` is the data that the target was left with; unknown where it was restarted meanwhile,
    or where some keys may have been written.
    """

    failure: Failure
    undone: bool
    command: str
    by_hand: tuple[str, ...] = ()
    serves: Literal["old", "new", "unknown"] = "old"


Event = (
    DaemonStarted
    | DaemonStopped
    | VaultExamined
    | CacheRegistered
    | CacheReconfigured
    | CacheSuspended
    | CacheRemoved
    | PolicySet
    | BackupRequested
    | BackupDeferred
    | BackupSkipped
    | WindowMissed
    | AttemptStarted
    | SnapshotTaken
    | BackupCompleted
    | BackupFailed
    | RetryScheduled
    | BackupAbandoned
    | BackupCancelled
    | LeftoversStuck
    | LeftoversSwept
    | RetentionExpired
    | DeletionRequested
    | BackupDeleted
    | VerificationRequested
    | VerificationStarted
    | VerificationPutOff
    | VerificationAbandoned
    | BackupVerified
    | VerificationFailed
    | BackupRecovered
    | LogWentBack
    | LogRecovered
    | RestoreRequested
    | RestorePlanned
    | RestoreStarted
    | RestoreCompleted
    | RestoreInterrupted
    | RestoreFailed
    | CopyEvent
    | CopyProofEvent
    | SuspicionEvent
    | ExportEvent
    | ComparisonEvent
    | ImportEvent
    | HookEvent
    | AlarmEvent
    | PricesSet
)


_OF_INSTALLATION = (
    DaemonStarted
    | DaemonStopped
    | VaultExamined
    | LogWentBack
    | LogRecovered
    | HooksSet
    | AlarmRecord
    | PricesSet
)


def stream_of(event: Event) -> Stream:
    """The stream an event belongs to: its cache's, or the installation's."""
    if isinstance(event, _OF_INSTALLATION):
        return INSTALLATION
    return cache_stream(event.cache)
