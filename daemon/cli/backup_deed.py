"""`valkeep backup create` and `delete`: what changes which backups there are."""

import click

from daemon.answers import Accepted, BackupDetail, BackupView
from daemon.cli import follow
from daemon.cli.desk import Desk, Interrupted, json_option
from daemon.cli.question import confirm
from daemon.cli.words import elapsed, instant, plural, size
from daemon.client import path_of
from daemon.commands import DeleteBackup, RequestBackup
from daemon.errors import Failed


@click.command()
@click.argument("cache")
@click.argument("name")
@click.option("--wait", is_flag=True, help="Stay until it has ended, showing how far it is.")
@click.option("--timeout", type=float, metavar="SECONDS", help="With --wait: no longer than this.")
@json_option
@click.pass_obj
def create(desk: Desk, *, cache: str, name: str, wait: bool, timeout: float | None) -> None:
    """Make a backup of CACHE called NAME. It is kept until you delete it."""
    answer, raw = desk.tell(Accepted, "/v1/commands", RequestBackup(cache=cache, name=name))
    backup_id = answer.backup_id or ""
    if not wait:
        follow_it = f"valkeep backup show {backup_id}"
        desk.show(raw, [f"Backup {cache}/{name} is asked for ({backup_id}). See: {follow_it}"])
        return
    try:
        detail, raw = follow.backup(desk, backup_id, timeout)
    except Interrupted:
        raise Interrupted(
            f"The backup goes on in the daemon. See: valkeep backup show {backup_id}"
        ) from None
    _ended(desk, detail, raw)


def _ended(desk: Desk, detail: BackupDetail, raw: bytes) -> None:
    view = detail.backup
    if view.phase == "complete":
        taken = (view.completed_at or detail.now) - view.requested_at
        told = f"{_amount(view)} in {elapsed(taken.total_seconds())} ({view.backup_id})"
        desk.show(raw, [f"Backup {view.cache}/{view.name} is complete: {told}."])
        return
    if desk.as_json:
        desk.show(raw, ())
    failure = view.failure
    if failure is None:
        raise Failed(
            "backup-abandoned",
            f"Backup {view.cache}/{view.name} was given up: {view.abandoned or view.phase}.",
            f"See `valkeep backup show {view.backup_id}`.",
        )
    raise Failed(
        failure.code, f"Backup {view.cache}/{view.name} failed: {failure.message}", failure.hint
    )


def _amount(view: BackupView) -> str:
    keys = "" if view.keys is None else f"{plural(view.keys, 'key')}, "
    return f"{keys}{size(view.plain_bytes)}, {size(view.stored_bytes)} stored"


@click.command()
@click.argument("reference", metavar="BACKUP")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def delete(desk: Desk, *, reference: str, yes: bool) -> None:
    """Delete BACKUP for good: an id, the beginning of one, or CACHE/NAME."""
    detail, _ = desk.ask(BackupDetail, path_of("backups", reference))
    view = detail.backup
    what = f"{view.cache}/{view.name}"
    told = f"taken {instant(view.taken_at)}, {size(view.stored_bytes)} stored, id {view.backup_id}"
    confirm(desk, f"Backup {what} will be deleted for good ({told})", yes=yes)
    _, raw = desk.tell(Accepted, "/v1/commands", DeleteBackup(backup=view.backup_id))
    desk.show(raw, [f"Backup {what} is no longer listed; its bytes are being removed."])
