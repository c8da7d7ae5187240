"""Exports in text: of one backup, and those that run."""

from collections.abc import Iterator, Sequence

from daemon.answers.exports import ExportView
from daemon.cli.table import facts
from daemon.cli.words import elapsed, instant, size
from events.moves import ExportedFile

MOST = 5


def export_lines(views: Sequence[ExportView], width: int) -> Iterator[str]:
    """The newest exports of a backup, the newest last."""
    if not views:
        return
    yield "exports"
    if len(views) > MOST:
        yield f"  {len(views) - MOST} older ones are in `valkeep events`"
    for view in views[-MOST:]:
        yield from facts([(instant(view.requested_at), _told(view))], indent="  ", width=width)


def _told(view: ExportView) -> str:
    where = f"to {view.destination}, by {view.requested_by}"
    match view.phase:
        case "completed":
            total = size(sum(file.plain_bytes for file in view.files))
            files = " ".join(f"{_place(view, file)}SHA-256 {file.sha256}" for file in view.files)
            return f"{where}: {total} in {elapsed(view.seconds or 0.0)}. {files}"
        case "failed":
            why = view.failure.message if view.failure else "for no reason that is known"
            return f"{where}: failed: {why}"
        case "requested":
            doing = view.progress.phase if view.progress else "waiting"
            return f"{where}: {doing}"


def _place(view: ExportView, file: ExportedFile) -> str:
    """Where a file is, if the daemon has written it."""
    return "" if view.kind == "client" else f"{file.place} "


def running_line(view: ExportView) -> str:
    """Which export it is."""
    return f"export of {view.cache}/{view.backup_name or view.backup_id} to {view.destination}"
