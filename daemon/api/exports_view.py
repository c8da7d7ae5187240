"""From state to what is answered about exports. Pure."""

from daemon.answers.exports import ExportView
from daemon.api.views import Moment, progress_view
from projections import catalog
from projections.catalog import Backup
from projections.exports import Export, of_backup


def export_view(moment: Moment, export: Export) -> ExportView:
    """One export."""
    backup = catalog.get(moment.state.catalog, export.cache, export.backup_id)
    return ExportView(
        export_id=export.export_id,
        backup_id=export.backup_id,
        cache=export.cache,
        kind=export.kind,
        destination=export.destination,
        phase=export.phase,
        requested_at=export.requested_at,
        requested_by=export.requested_by,
        backup_name=backup.name if backup else None,
        vault=export.vault,
        entry=export.entry,
        replace=export.replace,
        ended_at=export.ended_at,
        files=export.files,
        seconds=export.seconds,
        failure=export.failure,
        progress=progress_view(moment, export.export_id) if export.ended_at is None else None,
    )


def exports_of(moment: Moment, backup: Backup) -> tuple[ExportView, ...]:
    """All exports of a backup, oldest first."""
    found = of_backup(moment.state.exports, backup.backup_id)
    return tuple(export_view(moment, export) for export in found)


def running(moment: Moment) -> tuple[ExportView, ...]:
    """Those that have not ended."""
    return tuple(export_view(moment, one) for _, one in sorted(moment.state.exporting.items()))
