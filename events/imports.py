"""What happens when somebody brings an RDB of his own: the events of imports (S4).

An import is a manual backup that no server was asked for (M2): its attempts, its end and its
deletion are told by the events of backups, and these tell what came, and from where.
"""

from msgspec import Struct

from events.facts import BackupId, CacheName, Failure
from events.moves import ImportKind


class _ImportEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """`cache` is the one that the backup will belong to."""

    cache: CacheName
    backup_id: BackupId


class ImportRequested(_ImportEvent, frozen=True, tag="import-requested/1"):
    """The backup that was requested just now is to be made of what lies at `source`.

    That is as one would type it, and never holds a secret. What comes from a ``client`` (`kind`)
    does not outlive its connection.
    """

    kind: ImportKind
    source: str


class ImportCompleted(_ImportEvent, frozen=True, tag="import-completed/1"):
    """The RDB from `source` is a backup: `plain_bytes` with that `sha256`, all of them read."""

    source: str
    plain_bytes: int
    sha256: str


class ImportFailed(_ImportEvent, frozen=True, tag="import-failed/1"):
    """Of `source` there is no backup, and will be none; what was stored of it is swept."""

    source: str
    failure: Failure


ImportEvent = ImportRequested | ImportCompleted | ImportFailed
