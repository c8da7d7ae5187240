"""Deciding on exports: who gets one, and how it ends (S4, R1, A11)."""

from collections.abc import Iterator

from daemon.commands import (
    ExportReport,
    OpenExport,
    ReportExported,
    RequestExport,
)
from daemon.decide.decision import Context, Decision, known_backup, superseded
from daemon.decide.restores import read_from
from daemon.errors import BadRequest, Rejected
from events.facts import Failure
from events.moves import ExportId
from events.transfers import ExportCompleted, ExportFailed, ExportKind, ExportRequested
from projections.state import State

MOST_CLIENTS = 3
"""So many may read a backup over the socket at a time."""


def decide(
    state: State, command: RequestExport | OpenExport | ExportReport, context: Context
) -> Decision:
    """The events of one command or report about an export."""
    if isinstance(command, RequestExport | OpenExport):
        return Decision((_requested(state, command, context),))
    return Decision((_ended(state, command),))


def kind_of(destination: str) -> ExportKind:
    """Where a destination of the user's own lies; raises `BadRequest` for what is none."""
    if destination.startswith("s3://"):
        return "s3"
    if destination.startswith("file:///"):
        return "directory"
    raise BadRequest(
        "destination",
        f"{destination!r} is no place to export to.",
        "Say s3://BUCKET/PREFIX, file:///FOLDER, or the name of an [exports] entry.",
    )


def _requested(
    state: State, command: RequestExport | OpenExport, context: Context
) -> ExportRequested:
    backup = known_backup(state, command.backup)
    if backup.phase != "complete":
        raise Rejected(
            "backup-unfinished",
            f"Backup {backup.cache}/{backup.name} is not complete yet.",
            f"Wait for its end: `valkeep backup show {backup.backup_id}`.",
        )
    vault = read_from(backup, command.vault)
    export_id = ExportId(context.new_id)
    if isinstance(command, OpenExport):
        _has_room(state)
        return ExportRequested(
            backup.cache, backup.backup_id, export_id, "client", command.destination, vault
        )
    return ExportRequested(
        cache=backup.cache,
        backup_id=backup.backup_id,
        export_id=export_id,
        kind=kind_of(command.destination),
        destination=command.destination,
        vault=vault,
        entry=command.entry,
        replace=command.replace,
    )


def _has_room(state: State) -> None:
    """Each client that reads takes memory and a connection: a few at a time."""
    clients = [export for export in state.exporting.values() if export.kind == "client"]
    if len(clients) >= MOST_CLIENTS:
        raise Rejected(
            "too-many-exports",
            f"{len(clients)} clients read backups at present, and no more can.",
            "Try again when one of them has ended: `valkeep status` shows them.",
        )


def _ended(state: State, command: ExportReport) -> ExportCompleted | ExportFailed:
    export = state.exporting.get(command.export_id)
    if export is None:
        raise superseded(f"Export {command.export_id}")
    if isinstance(command, ReportExported):
        return ExportCompleted(
            cache=export.cache,
            backup_id=export.backup_id,
            export_id=export.export_id,
            files=command.files,
            seconds=command.seconds,
        )
    return ExportFailed(
        cache=export.cache,
        backup_id=export.backup_id,
        export_id=export.export_id,
        failure=command.failure,
    )


def cut_off(state: State, failure: Failure) -> Iterator[ExportFailed]:
    """The exports to clients that the end of the daemon has cut off; the others start again."""
    for _, export in sorted(state.exporting.items()):
        if export.kind == "client":
            yield ExportFailed(export.cache, export.backup_id, export.export_id, failure)
