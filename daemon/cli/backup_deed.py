"""`valkeep backup create` and `delete`: what changes which backups there are."""

from collections.abc import Iterator

import click
import msgspec

from daemon.answers import Accepted, BackupDetail, BackupView
from daemon.cli import follow
from daemon.cli.desk import Desk, json_option
from daemon.cli.patience import wait_options
from daemon.cli.question import confirm
from daemon.cli.words import elapsed, instant, plural, size
from daemon.client import path_of
from daemon.commands import DeleteBackup, RequestAutoBackup, RequestBackup
from daemon.errors import Failed


@click.command()
@click.argument("cache")
@click.argument("name", required=False)
@click.option("--auto", is_flag=True, help="A scheduled backup, now, by the policy of CACHE.")
@wait_options(default=False)
@json_option
@click.pass_obj
def create(desk: Desk, /, *, wait: bool, timeout: float | None, **given: object) -> None:
    """Make a backup of CACHE called NAME, which is kept until you delete it.

    With --auto it gets a name by itself, is tried again and deleted as the policy says, and
    serves the window that is open now, if there is one.
    """
    wish = msgspec.convert(given, _Wish)
    answer, raw = desk.tell(Accepted, "/v1/commands", wish.request())
    backup_id = answer.backup_id or ""
    if not wait:
        desk.show(raw, _asked_for(desk, wish, backup_id))
        return
    stay = follow.Stay("The backup", f"valkeep backup show {backup_id}", timeout)
    detail, raw = follow.backup(desk, backup_id, stay)
    _ended(desk, detail, raw)


class _Wish(msgspec.Struct, frozen=True):
    """Which backup is wanted."""

    cache: str
    name: str | None
    auto: bool

    def request(self) -> RequestBackup | RequestAutoBackup:
        """The command for it; a name and --auto exclude each other."""
        if self.auto and self.name is not None:
            raise click.UsageError(
                f"NAME and --auto exclude each other: an auto backup gets a name by itself. "
                f"Leave out {self.name!r}, or --auto."
            )
        if self.auto:
            return RequestAutoBackup(self.cache)
        if self.name is None:
            raise click.UsageError("Give the backup a NAME; or say --auto for one by the policy.")
        return RequestBackup(self.cache, self.name)


def _asked_for(desk: Desk, wish: _Wish, backup_id: str) -> Iterator[str]:
    """That it is asked for; of an auto one also what it will be called, and what is in its way."""
    name, waits_for = wish.name, None
    if name is None:
        detail, _ = desk.ask(BackupDetail, path_of("backups", backup_id))
        name, waits_for = detail.backup.name, detail.backup.waits_for
    follow_it = f"valkeep backup show {backup_id}"
    yield f"Backup {wish.cache}/{name} is asked for ({backup_id}). See: {follow_it}"
    if waits_for:
        yield f"It has to wait: {waits_for}."


def _ended(desk: Desk, detail: BackupDetail, raw: bytes) -> None:
    view = detail.backup
    if view.phase == "complete":
        taken = (view.completed_at or detail.now) - view.requested_at
        told = f"{_amount(view)} in {elapsed(taken.total_seconds())} ({view.backup_id})"
        desk.show(raw, [f"Backup {view.cache}/{view.name} is complete: {told}."])
        return
    if desk.as_json:
        desk.show(raw, ())
    raise _not_made(view)


def _not_made(view: BackupView) -> Failed:
    """Why there is no backup: its last failure, and for an auto one why there is no more try."""
    what, failure = f"Backup {view.cache}/{view.name}", view.failure
    end = view.abandoned or view.phase
    if failure is None:
        code, how = (
            ("abandoned", "given up") if view.phase == "failed" else (view.phase, view.phase)
        )
        see = f"See `valkeep backup show {view.backup_id}`."
        return Failed(f"backup-{code}", f"{what} was {how}: {end.rstrip('.')}.", see)
    told, tries = f"{what} failed: {failure.message}", plural(view.attempts, "attempt")
    if view.kind == "auto" and failure.message in end:
        told = f"{what} was given up after {tries}: {end.rstrip('.')}."
    elif view.kind == "auto":
        told = f"{told.rstrip('.')}. It was given up after {tries}: {end.rstrip('.')}."
    return Failed(failure.code, told, failure.hint)


def _amount(view: BackupView) -> str:
    keys = "" if view.keys is None else f"{plural(view.keys, 'key')}, "
    return f"{keys}{size(view.plain_bytes)}, {size(view.stored_bytes)} stored"


@click.command()
@click.argument("reference", metavar="BACKUP")
@click.option("--yes", is_flag=True, help="Do not ask.")
@wait_options(default=False)
@json_option
@click.pass_obj
def delete(desk: Desk, /, *, reference: str, yes: bool, wait: bool, timeout: float | None) -> None:
    """Delete BACKUP for good: an id, the beginning of one, or CACHE/NAME.

    It is no longer listed at once, and its bytes are removed after that, copies included; one
    that is being read when its readers have ended. --wait stays until nothing of it is left.
    """
    detail, _ = desk.ask(BackupDetail, path_of("backups", reference))
    view = detail.backup
    what = f"{view.cache}/{view.name}"
    told = f"taken {instant(view.taken_at)}, {size(view.stored_bytes)} stored, id {view.backup_id}"
    if view.copies:
        told = f"{told}, with its copies in {', '.join(copy.vault for copy in view.copies)}"
    confirm(desk, f"Backup {what} will be deleted for good ({told})", yes=yes)
    _, raw = desk.tell(Accepted, "/v1/commands", DeleteBackup(backup=view.backup_id))
    if not wait:
        desk.show(raw, [f"Backup {what} is no longer listed; its bytes are being removed."])
        return
    see = f"valkeep retention why {view.backup_id}"
    stay = follow.Stay(f"The deletion of {what}", see, timeout)
    follow.deletion(desk, view.backup_id, stay)
    desk.show(raw, [f"Backup {what} is deleted; nothing of it is left."])
