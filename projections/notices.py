"""Which records are worth a message in themselves, though nothing is wrong.

Pure. The words are made when it happens, from the state as it was then.
"""

from events.envelope import Envelope
from events.types import (
    CacheRemoved,
    DeletionRequested,
    Event,
    RestoreCompleted,
    RestoreRequested,
    RestoreStarted,
)
from projections import catalog
from projections.alarms import Notice
from projections.catalog import Catalog
from projections.restores import Restores

_WORTH = (RestoreStarted, RestoreCompleted, DeletionRequested, CacheRemoved)


def notice_of(
    envelope: Envelope, event: Event, backups: Catalog, restores: Restores
) -> Notice | None:
    """The notice that an event gives, if it gives one; restores are those before it."""
    if not isinstance(event, _WORTH):
        return None
    by = envelope.who.user or envelope.who.kind
    match event:
        case RestoreStarted():
            kind, message = "restore-started", f"{_restore(event, restores)} has begun"
        case RestoreCompleted():
            keys = sum(event.result.keys.values())
            kind = "restore-completed"
            message = f"{_restore(event, restores)} is complete: {keys:,} keys, "
            message += event.result.durability
        case DeletionRequested() if event.reason == "command":
            backup = catalog.get(backups, event.cache, event.backup_id)
            name = backup.name if backup else event.backup_id
            kind, message = "deleted", f"backup {name} of {event.cache} was deleted by {by}"
        case CacheRemoved():
            kind = "removed"
            message = f"cache {event.cache} was removed by {by}, with its scheduled backups"
        case _:
            return None
    return Notice(envelope.position, kind, envelope.at, event.cache, message)


def _restore(event: RestoreStarted | RestoreCompleted | RestoreRequested, known: Restores) -> str:
    restore = known.get(event.restore_id)
    what = ""
    if restore is not None:
        what = f" of {restore.backup_cache}'s backup {restore.backup_id}"
        what += f", asked for by {restore.requested_by}" if restore.requested_by else ""
    return f"the restore{what} into {event.cache}"
