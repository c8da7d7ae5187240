"""`valkeep backup import`: keep an RDB from elsewhere as a manual backup (S4)."""

from collections.abc import Iterator

import click
import msgspec

from daemon.answers import BackupDetail
from daemon.cli import follow
from daemon.cli.desk import Desk, json_option
from daemon.cli.patience import wait_options
from daemon.cli.source import imported, was_sent
from daemon.cli.words import plural, size
from daemon.commands import RequestImport
from daemon.errors import Failed


@click.command("import")
@click.argument("cache")
@click.argument("name")
@click.argument("source")
@wait_options(default=False)
@json_option
@click.pass_obj
def import_(desk: Desk, /, *, wait: bool, timeout: float | None, **given: object) -> None:
    """Keep the RDB at SOURCE as a manual backup of CACHE called NAME.

    SOURCE is a file of yours or - for a pipe (read with your rights, and sent); or, for the
    daemon to read, s3://BUCKET/KEY, file:///PATH, or ENTRY/KEY below an [exports] entry. An
    engine's checker reads it before it is kept. What is sent is waited for in any case.
    """
    wish = msgspec.convert(given, RequestImport)
    answer, raw = imported(desk, wish)
    backup_id = answer.backup_id or ""
    if not wait and not was_sent(wish.source):
        see = f"See: valkeep backup show {backup_id}"
        told = f"Import {wish.cache}/{wish.name} from {wish.source} is asked for ({backup_id})."
        desk.show(raw, [f"{told} {see}"])
        return
    detail, raw = ended(desk, backup_id, timeout)
    desk.show(raw, kept(detail))


def ended(desk: Desk, backup_id: str, timeout: float | None) -> tuple[BackupDetail, bytes]:
    """Wait until an import is kept; raises `Failed` with the reason where it is not."""
    stay = follow.Stay("The import", f"valkeep backup show {backup_id}", timeout)
    detail, raw = follow.backup(desk, backup_id, stay)
    view, failure = detail.backup, detail.backup.failure
    if view.phase == "complete":
        return detail, raw
    if desk.as_json:
        desk.show(raw, ())
    see = f"See `valkeep backup show {backup_id}`."
    if failure is None:
        raise Failed("import-over", f"{view.cache}/{view.name} was not kept: {view.phase}.", see)
    raise Failed(failure.code, f"Nothing was imported: {failure.message}", failure.hint)


def kept(detail: BackupDetail) -> Iterator[str]:
    """What was imported, and what is to be known of it."""
    view = detail.backup
    keys = "" if view.keys is None else f"{plural(view.keys, 'key')}, "
    amount = f"{keys}{size(view.plain_bytes)}, {size(view.stored_bytes)} stored"
    yield f"Backup {view.cache}/{view.name} is kept: {amount} ({view.backup_id})."
    of = detail.snapshot.imported if detail.snapshot is not None else None
    for note in of.notes if of is not None else ():
        yield f"Note: {note}."
