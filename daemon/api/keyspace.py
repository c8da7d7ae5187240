"""What a backup's keys take: sums for everybody, names for admins, or why it is not known."""

from daemon.answers import Problem
from daemon.answers.keyspace import KeyspaceAnswer
from daemon.api.asked import Asked
from daemon.api.find import any_backup
from daemon.api.queries import moment_of
from daemon.commands.surveyed import KeyspaceDetail, without_names
from events.facts import Receipt
from projections.catalog import Backup
from projections.proofs import Proof
from projections.state import State

WITHHELD = "names of keys are data: they are for the role admin"


async def keyspace(asked: Asked) -> KeyspaceAnswer:
    """What a backup's keys take, as far as the caller may know."""
    moment = moment_of(asked)
    backup = any_backup(moment.state, asked.parts["ref"])
    detail = await _known(asked, backup)
    named = detail is not None and detail.named
    if detail is not None and asked.role != "admin":
        detail = without_names(detail)
    receipt = backup.proof.receipt
    newest = _is_newest(detail, receipt)
    return KeyspaceAnswer(
        now=moment.now,
        backup_id=backup.backup_id,
        cache=backup.cache,
        name=backup.name,
        verified_at=backup.proof.verified_at if newest else None,
        used_memory_bytes=receipt.used_memory_bytes if newest and receipt else None,
        expired=receipt.expired or 0 if receipt else 0,
        detail=detail,
        withheld=WITHHELD if named and asked.role != "admin" else None,
        missing=_missing(moment.state, backup) if detail is None else None,
    )


def _is_newest(detail: KeyspaceDetail | None, receipt: Receipt | None) -> bool:
    """Whether they were counted by the newest verification: a later one may have failed to."""
    return bool(detail and receipt and receipt.keyspace == detail.facts)


async def _known(asked: Asked, backup: Backup) -> KeyspaceDetail | None:
    """What the shelf has, or else the receipt: sums without names."""
    if backup.phase != "complete":
        return None
    detail = await asked.outside.keyspace(backup.cache, backup.backup_id)
    receipt = backup.proof.receipt
    if detail is None and receipt is not None and receipt.keyspace is not None:
        return KeyspaceDetail(receipt.engine or "", receipt.keyspace, named=False)
    return detail


def _missing(state: State, backup: Backup) -> Problem:
    again = f"Have them counted: valkeep backup verify {backup.cache}/{backup.name}"
    if backup.phase != "complete":
        why = f"this backup is {backup.phase}: only complete ones are loaded"
        return Problem("no-backup", why, "`valkeep backup list` shows those that are complete.")
    if backup.backup_id in state.verifications:
        why = "it is being verified, or waits for it"
        return Problem("under-way", why, f"Wait for it: valkeep backup show {backup.backup_id}")
    receipt = backup.proof.receipt
    if receipt is None:
        return Problem("not-verified", "it was not verified yet", _unproven(backup.proof) or again)
    return _uncounted(receipt, again)


def _uncounted(receipt: Receipt, again: str) -> Problem:
    """Why a verification that came to something has not counted keys."""
    if receipt.level != "loaded":
        why = f"it was verified to the level {receipt.level} only: {receipt.reason}"
        return Problem("not-loaded", why, "Keys are counted when a private engine loads a backup.")
    noted = [note for note in receipt.notes if "keys were not counted" in note]
    if noted:
        return Problem("not-counted", noted[0], again)
    why = "they were not counted when it was verified"
    return Problem("not-counted", why, f"{again} (unless `[engine] census` is off)")


def _unproven(proof: Proof) -> str:
    failure = proof.unproven
    return f"The last verification was given up: {failure.message}" if failure else ""
