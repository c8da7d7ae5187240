"""What is reported of a vault that remembers another log, and what a recovery found there."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from events.facts import (
    START,
    BackupId,
    BackupKind,
    CacheName,
    CacheSettings,
    InstallationId,
    Policy,
    Position,
    SnapshotFacts,
    StoredFacts,
    VaultName,
)


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
