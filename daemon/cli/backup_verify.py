"""`valkeep backup verify`: prove that a stored backup can be restored, and show the receipt."""

from collections.abc import Iterator

import click

from daemon.answers import Accepted, BackupDetail, BackupView
from daemon.cli import follow
from daemon.cli.desk import Desk, json_option
from daemon.cli.patience import wait_options
from daemon.cli.receipt_page import pairs
from daemon.cli.table import facts
from daemon.client import path_of
from daemon.commands import RequestVerification
from daemon.errors import Failed


@click.command()
@click.argument("reference", metavar="BACKUP")
@click.option("--quick", is_flag=True, help="Only compare what is stored with its hashes.")
@wait_options(default=True)
@json_option
@click.pass_obj
def verify(
    desk: Desk, /, reference: str, *, quick: bool, wait: bool, timeout: float | None
) -> None:
    """Prove BACKUP (an id, the beginning of one, or CACHE/NAME) and print the receipt.

    As far as can be: loaded by a private engine where there is memory for it, else parsed by an
    engine's checker, else compared with its hashes. The receipt says why it went no further.
    """
    found, _ = desk.ask(BackupDetail, path_of("backups", reference))
    backup_id = found.backup.backup_id
    answer, raw = desk.tell(Accepted, "/v1/commands", RequestVerification(backup_id, quick))
    see = f"valkeep backup show {answer.backup_id or backup_id}"
    if not wait:
        desk.show(raw, [f"The verification is asked for. See: {see}"])
        return
    detail, raw = follow.verification(
        desk, backup_id, follow.Stay("The verification", see, timeout)
    )
    if desk.as_json:
        desk.show(raw, ())
    _raise_if_bad(detail.backup)
    desk.show(raw, _page(detail, desk.width)) if not desk.as_json else None


def _page(detail: BackupDetail, width: int) -> Iterator[str]:
    view = detail.backup
    level = view.proof.receipt.level if view.proof and view.proof.receipt else "not proven"
    yield f"Backup {view.cache}/{view.name} is good: {level}."
    yield from facts(list(pairs(view)), indent="  ", width=width)


def _raise_if_bad(view: BackupView) -> None:
    """A backup that was found damaged, or of which nothing was learnt, is no success."""
    what, proof = f"Backup {view.cache}/{view.name}", view.proof
    if proof is None or view.phase != "complete":
        return
    if proof.refuted is not None:
        told = f"{what} failed its verification, and does not count as good: "
        raise Failed(proof.refuted.code, told + proof.refuted.message, proof.refuted.hint)
    if proof.unproven is not None:
        told = f"{what} could not be verified: {proof.unproven.message}"
        raise Failed(proof.unproven.code, told, proof.unproven.hint)
