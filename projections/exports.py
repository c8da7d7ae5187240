"""Exports: which were asked for, and how they ended.

An export holds its backup until it has ended (A11). Keyed by id; those that have not ended are
the outstanding work, except the ones that go to a client, whose connection is gone after a start.
"""

from datetime import datetime
from typing import Literal

from immutables import Map
from msgspec import Struct, structs

from events.envelope import Envelope
from events.facts import BackupId, CacheName, Failure, VaultName
from events.moves import ExportedFile, ExportId
from events.transfers import (
    ExportEvent,
    ExportFailed,
    ExportKind,
    ExportRequested,
)


class Export(Struct, frozen=True):
    """One export of one backup; `seconds` and `files` are there when it is complete."""

    export_id: ExportId
    cache: CacheName
    backup_id: BackupId
    kind: ExportKind
    destination: str
    requested_at: datetime
    requested_by: str
    vault: VaultName | None = None
    entry: str | None = None
    replace: bool = False
    phase: Literal["requested", "completed", "failed"] = "requested"
    files: tuple[ExportedFile, ...] = ()
    seconds: float | None = None
    failure: Failure | None = None
    ended_at: datetime | None = None


Exports = Map[ExportId, Export]


def evolve(exports: Exports, envelope: Envelope, event: ExportEvent) -> Exports:
    """The exports after one more event."""
    if isinstance(event, ExportRequested):
        return exports.set(event.export_id, _requested(envelope, event))
    export = exports[event.export_id]
    if isinstance(event, ExportFailed):
        failed = structs.replace(
            export, phase="failed", failure=event.failure, ended_at=envelope.at
        )
        return exports.set(event.export_id, failed)
    completed = structs.replace(
        export,
        phase="completed",
        files=event.files,
        seconds=event.seconds,
        ended_at=envelope.at,
    )
    return exports.set(event.export_id, completed)


def _requested(envelope: Envelope, event: ExportRequested) -> Export:
    return Export(
        export_id=event.export_id,
        cache=event.cache,
        backup_id=event.backup_id,
        kind=event.kind,
        destination=event.destination,
        requested_at=envelope.at,
        requested_by=envelope.who.user or envelope.who.kind,
        vault=event.vault,
        entry=event.entry,
        replace=event.replace,
    )


def open_after(exporting: Exports, changed: Export) -> Exports:
    """Those that have not ended, after one has changed."""
    if changed.phase == "requested":
        return exporting.set(changed.export_id, changed)
    return exporting.delete(changed.export_id)


def outstanding(exporting: Exports) -> tuple[Export, ...]:
    """What is to be done of those that have not ended: oldest first, none to a client."""
    found = (export for export in exporting.values() if export.kind != "client")
    return tuple(sorted(found, key=lambda export: (export.requested_at, export.export_id)))


def of_backup(exports: Exports, backup_id: BackupId) -> tuple[Export, ...]:
    """All exports of one backup, oldest first."""
    found = (export for export in exports.values() if export.backup_id == backup_id)
    return tuple(sorted(found, key=lambda export: (export.requested_at, export.export_id)))
