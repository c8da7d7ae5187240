"""`valkeep backup copy` and `ack`: a word on a backup that exists already."""

import click

from daemon.answers import Accepted, BackupDetail
from daemon.cli import follow
from daemon.cli.desk import Desk, json_option
from daemon.cli.patience import wait_options
from daemon.cli.words import instant, plural, size
from daemon.client import path_of
from daemon.commands import AcknowledgeBackup, RequestCopy
from daemon.errors import Failed


@click.command()
@click.argument("reference", metavar="BACKUP")
@click.option("--to", metavar="VAULT", help="Which vault; without it the cache's copy_to.")
@wait_options(default=False)
@json_option
@click.pass_obj
def copy(desk: Desk, *, reference: str, to: str | None, wait: bool, timeout: float | None) -> None:
    """Copy BACKUP into another vault: an id, the beginning of one, or CACHE/NAME.

    New backups of a cache with copy_to are copied by themselves; this is for older ones. It is
    tried until it succeeds, and deleted together with the backup; --wait ends with a failed try.
    """
    answer, raw = desk.tell(Accepted, "/v1/commands", RequestCopy(backup=reference, to=to))
    backup_id = answer.backup_id or ""
    see = f"valkeep backup show {backup_id}"
    if not wait:
        desk.show(raw, [f"The copy is asked for ({backup_id}). See: {see}"])
        return
    detail, raw = follow.copy(desk, backup_id, follow.Stay("The copy", see, timeout))
    _ended(desk, detail, raw)


def _ended(desk: Desk, detail: BackupDetail, raw: bytes) -> None:
    view = detail.backup
    made = next(reversed(view.copies), None)
    what = f"{view.cache}/{view.name}"
    if made is not None and made.phase == "complete":
        told = f"Backup {what} is copied to {made.vault}: {size(view.stored_bytes)}."
        desk.show(raw, [told])
        return
    if desk.as_json:
        desk.show(raw, ())
    if made is None or made.failure is None:
        see = f"See `valkeep backup show {view.backup_id}`."
        raise Failed("copy-gone", f"The copy of {what} is no longer wanted.", see)
    again = f"It is tried again at {instant(made.retry_at)}."
    told = f"Backup {what} is not copied to {made.vault}: {made.failure.message.rstrip('.')}."
    raise Failed(made.failure.code, told, f"{made.failure.hint.rstrip('.')}. {again}")


@click.command()
@click.argument("reference", metavar="BACKUP")
@json_option
@click.pass_obj
def ack(desk: Desk, *, reference: str) -> None:
    """Acknowledge that the suspect BACKUP is as it should be, so that it counts as good.

    Later backups are compared with it from then on, and retention no longer keeps those before
    it beyond their time.
    """
    detail, _ = desk.ask(BackupDetail, path_of("backups", reference))
    view = detail.backup
    _, raw = desk.tell(Accepted, "/v1/commands", AcknowledgeBackup(backup=view.backup_id))
    lines = [f"Backup {view.cache}/{view.name} of {instant(view.taken_at)} counts as good now."]
    if (found := view.suspicion) is not None:
        before = _figures(keys=found.median_keys, plain_bytes=found.median_plain_bytes)
        lines.append(
            f"  It has {_figures(keys=found.keys, plain_bytes=found.plain_bytes)}, not {before}."
        )
        lines.append("  Those before it are deleted when their retention is over.")
    desk.show(raw, lines)


def _figures(*, keys: int, plain_bytes: int) -> str:
    return f"{plural(keys, 'key')} in {size(plain_bytes)}"
