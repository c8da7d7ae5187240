"""`valkeep backup export`: plain RDB files of a backup, for whoever can read RDBs."""

import sys
from collections.abc import Iterator

import click
import msgspec

from daemon.answers import Accepted, BackupDetail, ExportDetail
from daemon.cli import follow
from daemon.cli.desk import Desk, json_option
from daemon.cli.patience import wait_options
from daemon.cli.plain_file import Wanted, stream
from daemon.cli.words import elapsed, plural, size
from daemon.client import path_of
from daemon.commands import RequestExport
from daemon.errors import BadRequest, Failed

STDOUT = "-"
BROKEN_PIPE = 141


class _Wish(msgspec.Struct, frozen=True):
    """What the caller has said."""

    reference: str
    destination: str
    vault: str | None
    replace: bool
    wait: bool
    timeout: float | None


@click.command()
@click.argument("reference", metavar="BACKUP")
@click.argument("destination")
@click.option("--from", "vault", metavar="VAULT", help="Read the copy in this vault.")
@click.option("--replace", is_flag=True, help="Overwrite a file of that name.")
@wait_options(default=False)
@json_option
@click.pass_obj
def export(desk: Desk, /, **given: object) -> None:
    """Export BACKUP (an id, the beginning of one, or CACHE/NAME) as plain RDB files.

    DESTINATION is s3://BUCKET/PREFIX, file:///FOLDER (where the daemon's own user writes), the
    NAME or NAME/FOLDER of an [exports] entry, or - for stdout. The file is called
    CACHE-NAME-SHARD.rdb; a destination that ends with .rdb names it itself.
    """
    wish = msgspec.convert(given, _Wish)
    if wish.destination == STDOUT:
        _to_stdout(desk, wish)
        return
    request = RequestExport(wish.reference, wish.destination, wish.vault, replace=wish.replace)
    answer, raw = desk.tell(Accepted, "/v1/commands", request)
    export_id = answer.export_id or ""
    see = f"valkeep backup show {answer.backup_id}"
    if not wish.wait:
        desk.show(raw, [f"The export is asked for ({export_id}). See: {see}"])
        return
    detail, raw = follow.export(desk, export_id, follow.Stay("The export", see, wish.timeout))
    _ended(desk, detail, raw)


def _ended(desk: Desk, detail: ExportDetail, raw: bytes) -> None:
    view = detail.export
    if view.failure is None:
        desk.show(raw, _done(detail))
        return
    if desk.as_json:
        desk.show(raw, ())
    what = f"{view.cache}/{view.backup_name or view.backup_id}"
    told = f"Backup {what} is not exported to {view.destination}: {view.failure.message}"
    raise Failed(view.failure.code, told, view.failure.hint)


def _done(detail: ExportDetail) -> Iterator[str]:
    view = detail.export
    files = plural(len(view.files), "file")
    what = f"{view.cache}/{view.backup_name or view.backup_id}"
    yield f"Backup {what} is exported: {files} in {elapsed(view.seconds or 0.0)}."
    for file in view.files:
        yield f"  {file.place}  {size(file.plain_bytes)}, SHA-256 {file.sha256}"


def _to_stdout(desk: Desk, wish: _Wish) -> None:
    """The plain bytes; the exit code tells whether they are whole."""
    if desk.as_json or wish.wait or wish.replace or wish.timeout is not None:
        raise click.UsageError("Nothing but --from goes with -: the bytes themselves are printed.")
    if sys.stdout.isatty():
        raise BadRequest(
            "terminal",
            "An RDB is not printed on a terminal.",
            "Give it to a file or a program: valkeep backup export BACKUP - > dump.rdb",
        )
    detail, _ = desk.ask(BackupDetail, path_of("backups", wish.reference))
    wanted = Wanted(detail.backup.backup_id, vault=wish.vault, destination=STDOUT)
    try:
        stream(desk.client, wanted, _write)
    except _ReaderGone:
        raise click.exceptions.Exit(BROKEN_PIPE) from None


class _ReaderGone(Exception):
    """Whoever read our stdout has gone."""


def _write(piece: bytes) -> None:
    try:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise _ReaderGone from None
    except OSError as error:
        told = f"stdout cannot be written: {error.strerror or error}."
        raise Failed("stdout", told, "What was written is not whole.") from None
