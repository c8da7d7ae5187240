"""`valkeep restore SOURCE`: what is restored is imported first, and stays a backup (S4)."""

import click

from daemon.cli.backup_import import ended, kept
from daemon.cli.desk import Desk
from daemon.cli.source import imported
from daemon.commands import RequestImport


def imported_first(desk: Desk, *, source: str, target: str, timeout: float | None) -> str:
    """Import a source as a manual backup of the target; the id of the backup that it is now."""
    answer, _ = imported(desk, RequestImport(target, source))
    backup_id = answer.backup_id or ""
    detail, _ = ended(desk, backup_id, timeout)
    view = detail.backup
    for line in kept(detail):
        desk.note(line)
    desk.note(f"It stays until you delete it: valkeep backup delete {view.cache}/{view.name}")
    return backup_id


def refuse_together(source: str, *, plan_only: bool, vault: str | None) -> None:
    """What makes sense for a backup only: it has to be one first."""
    for option, given in (("--plan", plan_only), ("--from", vault is not None)):
        if given:
            raise click.UsageError(
                f"{option} is for a backup, and {source} is none yet: import it first, with "
                f"`valkeep backup import CACHE NAME {source}`."
            )
