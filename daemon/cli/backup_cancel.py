"""`valkeep backup cancel`: end a backup that waits or is being made."""

from collections.abc import Iterator

import click

from daemon.answers import Accepted, BackupDetail
from daemon.cli.desk import Desk, json_option
from daemon.client import path_of
from daemon.commands import CancelBackup


@click.command()
@click.argument("reference", metavar="BACKUP")
@json_option
@click.pass_obj
def cancel(desk: Desk, reference: str) -> None:
    """End BACKUP, which waits or is being made: an id, the beginning of one, or CACHE/NAME.

    An auto backup is not tried again, and its window counts as served. Nothing that is complete
    is touched, so there is no question.
    """
    answer, raw = desk.tell(Accepted, "/v1/commands", CancelBackup(backup=reference))
    detail, _ = desk.ask(BackupDetail, path_of("backups", answer.backup_id or reference))
    desk.show(raw, _told(answer, detail))


def _told(answer: Accepted, detail: BackupDetail) -> Iterator[str]:
    view = detail.backup
    yield f"Backup {view.cache}/{view.name} is cancelled ({view.backup_id})."
    if answer.cancelled:
        yield f"Its attempt was stopped: {answer.cancelled}."
    if view.attempts:
        yield "What it left in the vault is being swept."
