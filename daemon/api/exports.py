"""What is asked of an export before it is recorded, and how it stands afterwards."""

from collections.abc import Iterable

import anyio
from msgspec.structs import replace

from daemon.answers import ExportDetail
from daemon.api.asked import Asked
from daemon.api.copies import read_from
from daemon.api.exports_view import export_view
from daemon.api.find import any_backup
from daemon.api.queries import WaitQuery, moment_of
from daemon.api.seams import Exporter
from daemon.commands import Request, RequestExport
from daemon.errors import NotFound
from events.moves import ExportId
from events.transfers import ExportRequested
from events.types import Event


def placed(asked: Asked, request: Request) -> Request:
    """The same request; an export's with its place, once backup, vault and place are known."""
    if not isinstance(request, RequestExport):
        return request
    state = asked.outside.ledger.state
    if asked.key is not None and (asked.peer.uid, asked.key) in state.keys:
        return request
    backup = any_backup(state, request.backup)
    read_from(asked.outside, backup, request.vault)
    place = exporter_of(asked).resolve(request.destination, request.entry)
    return replace(request, destination=place.url, entry=place.entry)


def export_of(events: Iterable[Event]) -> str | None:
    """The export that was asked for by these events."""
    return next((e.export_id for e in events if isinstance(e, ExportRequested)), None)


def exporter_of(asked: Asked) -> Exporter:
    """What takes backups out."""
    if asked.outside.exporter is None:
        raise NotFound("exports", "Nothing can be exported here.", "Ask a running daemon.")
    return asked.outside.exporter


async def export(asked: Asked) -> ExportDetail:
    """One export by its id; perhaps after its end."""
    ledger, wanted = asked.outside.ledger, ExportId(asked.parts["id"])
    if wanted not in ledger.state.exports:
        raise NotFound(
            "unknown-export",
            f"There is no export {wanted!r}.",
            "`valkeep backup show BACKUP` tells of the exports of a backup.",
        )
    with anyio.move_on_after(asked.queried(WaitQuery).wait):
        while wanted in ledger.state.exporting:
            await ledger.changed(ledger.state)
    moment = moment_of(asked)
    return ExportDetail(now=moment.now, export=export_view(moment, moment.state.exports[wanted]))
