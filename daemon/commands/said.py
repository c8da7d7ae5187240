"""What only the daemon's own parts say: reports of actors, the start and the end."""

from msgspec import Struct

from daemon.commands.asked import AddCache, SetCache
from events.facts import (
    BackupId,
    CacheName,
    CacheSettings,
    Failure,
    InstallationId,
    Policy,
    Probe,
    ProofLevel,
    Receipt,
    RestoreId,
    RestorePlan,
    RestoreResult,
    SnapshotFacts,
    StoredFacts,
    VaultFault,
    VaultName,
    VerificationId,
)
from events.moves import ExportedFile, ExportId
from events.prices import PricesSet


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
    """Make the log agree with the caches and the prices that the configuration declares (C3, S3).

    Without prices nothing is said of them.
    """

    declared: tuple[DeclaredCache, ...]
    file: str
    prices: PricesSet | None = None


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


class StartAttempt(Struct, frozen=True):
    """An actor is about to make one attempt at a backup."""

    backup_id: BackupId


class ReportSnapshot(Struct, frozen=True):
    """All bytes of the engine have arrived and were found whole.

    This and the next two name the `attempt` that they are of, if they know it: one that was
    given up may wake when the next one runs.
    """

    backup_id: BackupId
    snapshot: SnapshotFacts
    attempt: int | None = None


class ReportStored(Struct, frozen=True):
    """The manifest is in the vault."""

    backup_id: BackupId
    stored: StoredFacts
    attempt: int | None = None


class ReportAttemptFailed(Struct, frozen=True):
    """An attempt failed; `by_daemon` when we are to blame, which allows one more (M3)."""

    backup_id: BackupId
    failure: Failure
    by_daemon: bool = False
    attempt: int | None = None


class ReportStuck(Struct, frozen=True):
    """A call has not returned: of the attempt that runs, which fails so, or of what came after.

    `doing` is what it was to do.
    """

    backup_id: BackupId
    failure: Failure
    doing: str


class ReportSwept(Struct, frozen=True):
    """Nothing of failed attempts is left in the vault: of these, or of all that are not stuck."""

    backup_id: BackupId
    attempts: tuple[int, ...] = ()


class ReportDeleted(Struct, frozen=True):
    """Nothing of a deleted backup is left in the vault."""

    backup_id: BackupId


class ReportVault(Struct, frozen=True):
    """A vault was tried out, with these faults or none; recorded when it is another outcome."""

    vault: VaultName
    url: str
    faults: tuple[VaultFault, ...]


class StartCopy(Struct, frozen=True):
    """An actor is about to make one try at a copy."""

    backup_id: BackupId
    vault: VaultName


class ReportCopied(Struct, frozen=True):
    """The copy's manifest is in its vault, and it is the backup's own."""

    backup_id: BackupId
    vault: VaultName
    stored_bytes: int


class ReportCopyFailed(Struct, frozen=True):
    """One try at a copy failed."""

    backup_id: BackupId
    vault: VaultName
    failure: Failure


class ReportCopyGone(Struct, frozen=True):
    """Nothing of a copy is left in its vault."""

    backup_id: BackupId
    vault: VaultName


CopyReport = StartCopy | ReportCopied | ReportCopyFailed | ReportCopyGone


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
    """The target's settings are back; `loaded` when it already serves the backup's data.

    One that was `restarted` serves what its own files held, old or new.
    """

    restore_id: RestoreId
    loaded: bool
    notes: tuple[str, ...] = ()
    restarted: bool = False


class StartVerification(Struct, frozen=True):
    """An actor is about to make one try at a verification, of the copy in a `vault` if given."""

    backup_id: BackupId
    vault: VaultName | None = None


class VerifyCopy(Struct, frozen=True):
    """It is time to read the copy of a backup in a vault back."""

    cache: CacheName
    backup_id: BackupId
    vault: VaultName


class ReportVerified(Struct, frozen=True):
    """A try ended with a receipt."""

    verification_id: VerificationId
    backup_id: BackupId
    receipt: Receipt


class ReportRefuted(Struct, frozen=True):
    """A try found the stored backup damaged, at this level."""

    verification_id: VerificationId
    backup_id: BackupId
    level: ProofLevel
    failure: Failure


class ReportUnverified(Struct, frozen=True):
    """A try came to nothing, for a reason that says nothing of the backup."""

    verification_id: VerificationId
    backup_id: BackupId
    failure: Failure


class OpenExport(Struct, frozen=True):
    """A client begins to read a backup over the socket; `destination` is where to, as it says."""

    backup: str
    destination: str
    vault: str | None = None


class OpenImport(Struct, frozen=True):
    """A client begins to send an RDB over the socket; `source` is where from, as it says."""

    cache: str
    source: str
    name: str | None = None


class ReportExported(Struct, frozen=True):
    """Every file of an export is whole in its place."""

    export_id: ExportId
    files: tuple[ExportedFile, ...]
    seconds: float


class ReportExportFailed(Struct, frozen=True):
    """An export has ended without success, and nothing half written is left."""

    export_id: ExportId
    failure: Failure


ExportReport = ReportExported | ReportExportFailed
ProofReport = ReportVerified | ReportRefuted | ReportUnverified
Report = (
    ReportSnapshot
    | ReportStored
    | ReportAttemptFailed
    | ReportStuck
    | ReportSwept
    | ReportDeleted
    | ReportPlan
    | ReportRestored
    | ReportRestoreFailed
    | ReportUndone
    | ProofReport
)
