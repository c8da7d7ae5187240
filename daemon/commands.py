"""Everything that can be asked of the ledger, as one tagged union.

`Request` is what a client may send over the socket; `Command` adds what only the daemon's
own parts say (reports of actors, the start and the end). Knows shapes only.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from events.facts import (
    START,
    BackupId,
    BackupKind,
    CacheName,
    CacheSettings,
    Failure,
    InstallationId,
    NodeChoice,
    Policy,
    Position,
    Probe,
    RestoreId,
    RestorePlan,
    RestoreResult,
    SnapshotFacts,
    SourceKind,
    StoredFacts,
    VaultName,
)


class PolicyChange(Struct, frozen=True, forbid_unknown_fields=True):
    """New values for settings of a policy; what is null stays as it is.

    `windows` replaces all windows, each ``HH:MM+LENGTH``; an empty list takes them away.
    """

    auto: bool | None = None
    retention_days: int | None = None
    retries: int | None = None
    timezone: str | None = None
    windows: tuple[str, ...] | None = None
    keep_last: int | None = None


class AddCache(Struct, frozen=True, forbid_unknown_fields=True, tag="add-cache"):
    """Put a cache under backup; it is probed at once unless `probe` is false (C2)."""

    name: str
    url: str
    vault: str | None = None
    source: SourceKind = "auto"
    node: NodeChoice = "prefer-replica"
    password_file: str | None = None
    password_env: str | None = None
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    tls_server_name: str | None = None
    probe: bool = True
    policy: PolicyChange | None = None


class SetCache(Struct, frozen=True, forbid_unknown_fields=True, tag="set-cache"):
    """Change a cache's settings; what is null stays as it is.

    An empty `password_file`, `password_env` or `tls_…` takes the setting away.
    """

    name: str
    url: str | None = None
    vault: str | None = None
    source: SourceKind | None = None
    node: NodeChoice | None = None
    password_file: str | None = None
    password_env: str | None = None
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    tls_server_name: str | None = None
    probe: bool = True
    policy: PolicyChange | None = None


class SetPolicy(Struct, frozen=True, forbid_unknown_fields=True, tag="set-policy"):
    """Change a cache's auto-backup settings (A1-A4, A11)."""

    cache: str
    policy: PolicyChange


class RemoveCache(Struct, frozen=True, forbid_unknown_fields=True, tag="remove-cache"):
    """Remove a cache: its auto backups are deleted, manual ones stay (A10, M2)."""

    name: str


class RequestBackup(Struct, frozen=True, forbid_unknown_fields=True, tag="request-backup"):
    """Make a manual backup of a cache under a name (M1)."""

    cache: str
    name: str


class RequestAutoBackup(Struct, frozen=True, forbid_unknown_fields=True, tag="request-auto-backup"):
    """Make an auto backup of a cache now, by its policy (A5b)."""

    cache: str


class DeleteBackup(Struct, frozen=True, forbid_unknown_fields=True, tag="delete-backup"):
    """Delete a backup, given by id, unique prefix of one, or ``CACHE/NAME``."""

    backup: str


class RequestRestore(Struct, frozen=True, forbid_unknown_fields=True, tag="request-restore"):
    """Restore a backup into a running cache by replication.

    `replace` allows a target that holds keys (R3); `force` names blockers to override (R2).
    """

    backup: str
    to: str
    replace: bool = False
    safety_backup: bool = True
    force: tuple[str, ...] = ()


Request = (
    AddCache
    | SetCache
    | SetPolicy
    | RemoveCache
    | RequestBackup
    | RequestAutoBackup
    | DeleteBackup
    | RequestRestore
)


class RecordCache(Struct, frozen=True):
    """A cache command with checked settings, and what the probe found (C2)."""

    request: AddCache | SetCache
    settings: CacheSettings
    probe: Probe | None = None


class DeclaredCache(Struct, frozen=True):
    """A cache as the configuration file declares it; None for a policy that it says nothing of."""

    name: CacheName
    settings: CacheSettings
    policy: Policy | None = None


class ReconcileCaches(Struct, frozen=True):
    """Make the log agree with the caches that the configuration declares (C3)."""

    declared: tuple[DeclaredCache, ...]
    file: str


class StartDaemon(Struct, frozen=True):
    """First command of each run: what was cut off counts as failed (A6, R7)."""

    installation: InstallationId
    version: str


class StopDaemon(Struct, frozen=True):
    """Last command of a run that ends in good order."""

    reason: str


class AdvanceSchedule(Struct, frozen=True):
    """Decide what is due for one cache: openings, closings, misses (A5-A9)."""

    cache: CacheName


class ExpireBackups(Struct, frozen=True):
    """Request the deletion of whatever a cache's retention no longer covers (A2, A11)."""

    cache: CacheName


class ReportLogWentBack(Struct, frozen=True):
    """A vault remembers a log that ours is not; see `LogWentBack`."""

    vault: VaultName
    known: Position
    here: Position
    witness: str
    forked: bool = False


class FoundBackup(Struct, frozen=True):
    """A backup as its manifest in a vault tells of it."""

    cache: CacheName
    backup_id: BackupId
    kind: BackupKind
    name: str
    created_at: datetime
    snapshot: SnapshotFacts
    stored: StoredFacts
    attempt: int


class FoundCache(Struct, frozen=True):
    """A cache as a copy of the log tells of it."""

    name: CacheName
    settings: CacheSettings
    policy: Policy | None = None


class FoundDeletion(Struct, frozen=True):
    """A backup that was to go, as a copy of the log tells of it."""

    cache: CacheName
    backup_id: BackupId
    reason: Literal["command", "retention", "cache-removed"]


class RecoverFound(Struct, frozen=True):
    """Register what a vault holds and the log does not know (L6), and what is to go from it."""

    vault: VaultName
    backups: tuple[FoundBackup, ...]
    caches: tuple[FoundCache, ...] = ()
    deletions: tuple[FoundDeletion, ...] = ()


class FinishRecovery(Struct, frozen=True):
    """What a vault knew is registered, and the vault is ours; see `LogRecovered`."""

    vault: VaultName
    installation: InstallationId
    backups: int
    caches: tuple[CacheName, ...] = ()
    former: InstallationId | None = None
    imported: Position = START


class StartAttempt(Struct, frozen=True):
    """An actor is about to make one attempt at a backup."""

    backup_id: BackupId


class ReportSnapshot(Struct, frozen=True):
    """All bytes of the engine have arrived and were found whole."""

    backup_id: BackupId
    snapshot: SnapshotFacts


class ReportStored(Struct, frozen=True):
    """The manifest is in the vault."""

    backup_id: BackupId
    stored: StoredFacts


class ReportAttemptFailed(Struct, frozen=True):
    """An attempt failed; `by_daemon` when we are to blame, which allows one more (M3)."""

    backup_id: BackupId
    failure: Failure
    by_daemon: bool = False


class ReportSwept(Struct, frozen=True):
    """Nothing of a failed attempt is left in the vault."""

    backup_id: BackupId


class ReportDeleted(Struct, frozen=True):
    """Nothing of a deleted backup is left in the vault."""

    backup_id: BackupId


class ReportPlan(Struct, frozen=True):
    """The plan of a restore, computed from what was found just now."""

    restore_id: RestoreId
    plan: RestorePlan


class StartRestore(Struct, frozen=True):
    """The target is about to be changed; everything needed to undo that."""

    restore_id: RestoreId
    run_id: str
    old_settings: dict[str, str]
    changes: dict[str, str]
    listener: str
    replication_id: str


class RequestSafetyBackup(Struct, frozen=True):
    """Writes are refused now: make the safety backup of the target (R4)."""

    restore_id: RestoreId


class ReportRestored(Struct, frozen=True):
    """The target serves the backup, durably or as the result says."""

    restore_id: RestoreId
    result: RestoreResult


class ReportRestoreFailed(Struct, frozen=True):
    """A restore cannot go on; if the target was changed, undoing is outstanding now."""

    restore_id: RestoreId
    failure: Failure


class ReportUndone(Struct, frozen=True):
    """The target's settings are back; `loaded` when it already serves the backup's data."""

    restore_id: RestoreId
    loaded: bool
    notes: tuple[str, ...] = ()


Report = (
    ReportSnapshot
    | ReportStored
    | ReportAttemptFailed
    | ReportSwept
    | ReportDeleted
    | ReportPlan
    | ReportRestored
    | ReportRestoreFailed
    | ReportUndone
)
Command = (
    RecordCache
    | SetPolicy
    | RemoveCache
    | ReconcileCaches
    | AdvanceSchedule
    | ExpireBackups
    | RequestBackup
    | RequestAutoBackup
    | DeleteBackup
    | RequestRestore
    | StartDaemon
    | StopDaemon
    | StartAttempt
    | StartRestore
    | RequestSafetyBackup
    | ReportLogWentBack
    | RecoverFound
    | FinishRecovery
    | Report
)
