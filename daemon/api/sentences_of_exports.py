"""The events of exports, each in one English sentence. Pure."""

from events.transfers import ExportCompleted, ExportEvent, ExportFailed, ExportRequested


def of_export(event: ExportEvent) -> str:
    """What happened to an export, without who and when."""
    of = f"export {event.export_id} of backup {event.backup_id} of {event.cache}"
    match event:
        case ExportRequested():
            return f"{of} to {event.destination} asked for"
        case ExportCompleted():
            total = sum(file.plain_bytes for file in event.files)
            files = "1 file" if len(event.files) == 1 else f"{len(event.files)} files"
            return f"{of} completed: {files}, {total:,} bytes of RDB"
        case ExportFailed():
            return f"{of} failed: {event.failure.message}"
