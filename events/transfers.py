"""What happens when somebody takes a backup out of Valkeep: the events of exports (S4, R1).

An export changes nothing: it reads a backup, which is held until it has ended (A11). To a place
of the user's own the daemon writes; to a client the bytes go over its socket.
"""

from typing import Literal

from msgspec import Struct

from events.facts import BackupId, CacheName, Failure, VaultName
from events.moves import ExportedFile, ExportId

ExportKind = Literal["s3", "directory", "client"]


class _ExportEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """`cache` is the backup's."""

    cache: CacheName
    backup_id: BackupId
    export_id: ExportId


class ExportRequested(_ExportEvent, frozen=True, tag="export-requested/1"):
    """Somebody wants plain RDB files of a backup; it is held until the end.

    `destination` of that `kind` is a URL, or what a client says of itself; never with a secret.
    `entry` names the ``[exports]`` entry that has the keys. `vault` is the one to read from, where
    that is said. `replace` allows to overwrite what has the same name there. One to a ``client``
    does not outlive its connection.
    """

    kind: ExportKind
    destination: str
    vault: VaultName | None = None
    entry: str | None = None
    replace: bool = False


class ExportCompleted(_ExportEvent, frozen=True, tag="export-completed/1"):
    """Every file is whole in its place, checked like a restore's bytes (R5), after `seconds`."""

    files: tuple[ExportedFile, ...]
    seconds: float


class ExportFailed(_ExportEvent, frozen=True, tag="export-failed/1"):
    """The export ended without success; nothing half written is left under a file's name."""

    failure: Failure


ExportEvent = ExportRequested | ExportCompleted | ExportFailed
