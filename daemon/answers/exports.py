"""What the daemon answers about exports."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from daemon.answers.progress import ProgressView
from events.facts import Failure
from events.moves import ExportedFile


class ExportView(Struct, frozen=True, omit_defaults=True):
    """One export of one backup; `files` are there when it is complete.

    `vault` is the one that it reads from, where that was said, `entry` the ``[exports]`` entry
    whose keys it has. A ``client`` reads over the socket, and `destination` is what it says.
    """

    export_id: str
    backup_id: str
    cache: str
    kind: Literal["s3", "directory", "client"]
    destination: str
    phase: Literal["requested", "completed", "failed"]
    requested_at: datetime
    requested_by: str
    backup_name: str | None = None
    vault: str | None = None
    entry: str | None = None
    replace: bool = False
    ended_at: datetime | None = None
    files: tuple[ExportedFile, ...] = ()
    seconds: float | None = None
    failure: Failure | None = None
    progress: ProgressView | None = None
