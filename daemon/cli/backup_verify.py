"""`valkeep backup verify`: prove that a backup, or a copy of it, can be restored; the receipt."""

from collections.abc import Iterator

import click
import msgspec
from msgspec import Struct

from daemon.answers import Accepted, BackupDetail, BackupView, CopyView
from daemon.answers.proof import ProofView
from daemon.cli import follow
from daemon.cli.desk import Desk, json_option
from daemon.cli.patience import wait_options
from daemon.cli.receipt_page import pairs, proof_pairs
from daemon.cli.table import facts
from daemon.client import path_of
from daemon.commands import RequestVerification
from daemon.errors import Failed


class _Wish(Struct, frozen=True):
    """What was typed."""

    reference: str
    vault: str | None
    quick: bool
    wait: bool
    timeout: float | None


@click.command()
@click.argument("reference", metavar="BACKUP")
@click.option(
    "--from", "vault", metavar="VAULT", help="Prove the copy in this vault, not the backup itself."
)
@click.option("--quick", is_flag=True, help="Only compare what is stored with its hashes.")
@wait_options(default=True)
@json_option
@click.pass_obj
def verify(desk: Desk, /, **given: object) -> None:
    """Prove BACKUP (an id, the beginning of one, or CACHE/NAME) and print the receipt.

    As far as can be: loaded by a private engine where there is memory for it, else parsed by an
    engine's checker, else compared with its hashes. The receipt says why it went no further.

    With --from a copy is proven. One that is damaged is made anew, once the backup itself was
    read and found whole; of the backup a copy says nothing.
    """
    wish = msgspec.convert(given, _Wish)
    found, _ = desk.ask(BackupDetail, path_of("backups", wish.reference))
    backup_id, vault = found.backup.backup_id, wish.vault
    request = RequestVerification(backup_id, wish.quick, vault)
    answer, raw = desk.tell(Accepted, "/v1/commands", request)
    see = f"valkeep backup show {answer.backup_id or backup_id}"
    if not wish.wait:
        desk.show(raw, [f"The verification is asked for. See: {see}"])
        return
    stay = follow.Stay("The verification", see, wish.timeout)
    detail, raw = follow.verification(desk, backup_id, stay, vault)
    if desk.as_json:
        desk.show(raw, ())
    view = detail.backup
    copy = next((one for one in view.copies if one.vault == vault), None)
    if vault is not None and vault != view.vault:
        _raise_if_bad_copy(view, copy)
    else:
        _raise_if_bad(view)
    desk.show(raw, _page(view, copy, desk.width)) if not desk.as_json else None


def _page(view: BackupView, copy: CopyView | None, width: int) -> Iterator[str]:
    proof = (copy or view).proof
    level = proof.receipt.level if proof and proof.receipt else "not proven"
    what = f"backup {view.cache}/{view.name}"
    yield f"{_called(what, copy)} is good: {level}."
    known = pairs(view) if copy is None else proof_pairs(proof)
    yield from facts(list(known), indent="  ", width=width)


def _called(what: str, copy: CopyView | None) -> str:
    """A backup, or its copy, where a sentence begins."""
    return f"B{what[1:]}" if copy is None else f"The copy of {what} in {copy.vault}"


def _raise_if_bad(view: BackupView) -> None:
    """A backup that was found damaged, or of which nothing was learnt, is no success."""
    what, proof = f"Backup {view.cache}/{view.name}", view.proof
    if proof is None or view.phase != "complete":
        return
    if proof.refuted is not None:
        told = f"{what} failed its verification, and does not count as good: "
        hint = proof.refuted.hint
        if whole := [one.vault for one in view.copies if _is_whole(one)]:
            hint = f"Its copy can be restored: say --from {whole[0]}. {hint}"
        raise Failed(proof.refuted.code, told + proof.refuted.message, hint)
    _raise_if_unproven(what, proof)


def _raise_if_unproven(what: str, proof: ProofView) -> None:
    if proof.unproven is not None:
        told = f"{what} could not be verified: {proof.unproven.message}"
        raise Failed(proof.unproven.code, told, proof.unproven.hint)


def _is_whole(copy: CopyView) -> bool:
    """By all that is known of it."""
    refuted = copy.proof.refuted if copy.proof is not None else None
    return copy.phase == "complete" and refuted is None


def _raise_if_bad_copy(view: BackupView, copy: CopyView | None) -> None:
    """As of a backup; of a copy that is made anew by now, the damage is told all the same."""
    see = f"`valkeep backup show {view.backup_id}`"
    if copy is None:
        told = f"The copy of backup {view.cache}/{view.name} is gone."
        raise Failed("copy-gone", told, f"See {see}.")
    what, proof = _called(f"backup {view.cache}/{view.name}", copy), copy.proof
    proven = proof is not None and proof.receipt is not None and proof.refuted is None
    if proof is not None and proof.refuted is None:
        _raise_if_unproven(what, proof)
    if copy.damaged is not None and not proven:
        told = f"{what} failed its verification: {copy.damaged.message}"
        raise Failed(copy.damaged.code, told, _outlook(view, copy))


def _outlook(view: BackupView, copy: CopyView) -> str:
    see = f"`valkeep backup show {view.backup_id}`"
    if copy.mended_at is not None:
        return f"It was made anew from the backup. Look after vault {copy.vault}."
    if copy.mending:
        return f"It is made anew, once the backup is proven: {see}. Look after vault {copy.vault}."
    return f"What is wrong with it is wrong with the backup too, which is verified now: {see}."
