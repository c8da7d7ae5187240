"""What happens when the log is behind what a vault knows of it (L3, L6): a lost host."""

from datetime import datetime

from msgspec import Struct

from events.facts import (
    START,
    BackupId,
    BackupKind,
    BackupName,
    CacheName,
    InstallationId,
    Position,
    SnapshotFacts,
    StoredFacts,
    VaultName,
)


class BackupRecovered(Struct, frozen=True, forbid_unknown_fields=True, tag="backup-recovered/2"):
    """A backup that the vault holds and the log had lost; all of this is from its manifest (L6).

    It was made by the `attempt` of that number, at `created_at`, and was of that `kind`.
    """

    cache: CacheName
    backup_id: BackupId
    kind: BackupKind
    name: BackupName
    vault: VaultName
    created_at: datetime
    snapshot: SnapshotFacts
    stored: StoredFacts
    attempt: int = 1


class LogWentBack(Struct, frozen=True, forbid_unknown_fields=True, tag="log-went-back/1"):
    """A vault knows a log that ours is not: nothing is deleted until somebody has decided (L3).

    The object `witness` remembers position `known`, ours ended at `here`; `forked` says that
    both have that position, and differ there.
    """

    vault: VaultName
    known: Position
    here: Position
    witness: str
    forked: bool = False


class LogRecovered(Struct, frozen=True, forbid_unknown_fields=True, tag="log-recovered/1"):
    """Somebody decided: what a vault knew was taken over, and the vault is this installation's.

    `former` is whose it was, if it was another's. Up to `imported` the log is the copy that
    lay in the vault. `backups` were registered anew, and `caches` too.
    """

    vault: VaultName
    installation: InstallationId
    backups: int
    caches: tuple[CacheName, ...] = ()
    former: InstallationId | None = None
    imported: Position = START
