"""The events of imports, each in one English sentence. Pure."""

from events.imports import ImportCompleted, ImportEvent, ImportFailed, ImportRequested


def of_import(event: ImportEvent) -> str:
    """What happened to an import, without who and when."""
    of = f"backup {event.backup_id} of {event.cache}"
    match event:
        case ImportRequested(kind="client"):
            return f"{of} is to be made of what a client sends ({event.source})"
        case ImportRequested():
            return f"{of} is to be made of {event.source}"
        case ImportCompleted():
            return f"{of} was imported from {event.source}: {event.plain_bytes:,} bytes of RDB"
        case ImportFailed():
            return f"import of {event.source} as {of} failed: {event.failure.message}"
