"""A receipt for people: how far a backup is proven, and why no further. Pure."""

from collections.abc import Iterator
from datetime import datetime

from daemon.answers import BackupView, CopyView
from daemon.answers.proof import ProofView
from daemon.cli.words import age, elapsed, instant, plural, size
from events.facts import Receipt

MEANS = {
    "hashes": "every stored block is what was written",
    "parsed": "an engine's checker has read every key",
    "loaded": "a private engine has loaded it",
}


def short(view: BackupView, now: datetime) -> str:
    """One column's worth: ``loaded 3 h``, ``FAILED``, or nothing."""
    proof = view.proof
    if proof is None:
        return "-"
    if proof.refuted is not None:
        return "FAILED"
    if proof.receipt is None:
        return "-" if proof.under_way is None else "under way"
    return f"{proof.receipt.level}, {age(now, proof.verified_at)}"


def pairs(view: BackupView) -> Iterator[tuple[str, str]]:
    """What is known of a backup's proof, as names and words."""
    proof = view.proof
    if proof is None:
        yield "proven", f"not yet: valkeep backup verify {view.backup_id}"
        return
    yield from _bad(proof)
    if proof.receipt is not None:
        yield from _receipt(proof.receipt, proof.verified_at)
        yield from _held(view, proof.receipt)
    if proof.under_way is not None:
        waits = proof.under_way.waits_for
        yield "verification", f"waiting: {waits}" if waits else "under way"


def proof_pairs(proof: ProofView | None) -> Iterator[tuple[str, str]]:
    """A receipt as names and words."""
    if proof is not None and proof.receipt is not None:
        yield from _receipt(proof.receipt, proof.verified_at)


def of_copy(copy: CopyView) -> Iterator[str]:
    """What is known of a copy's proof, in words."""
    proof, damage = copy.proof, copy.damaged
    refuted_at = proof.refuted_at if proof is not None and proof.refuted is not None else None
    if damage is not None and refuted_at is not None:
        anew = "; it is made anew from the backup" if copy.mending else ""
        yield f"DAMAGED: {damage.message.rstrip('.')} (found {instant(refuted_at)}){anew}"
    elif damage is not None and copy.mended_at is not None:
        why = damage.message.rstrip(".")
        yield f"it was damaged ({why}) and was made anew {instant(copy.mended_at)}"
    if proof is None:
        return
    if proof.receipt is not None:
        means = MEANS[proof.receipt.level]
        yield f"read back {instant(proof.verified_at)}, {proof.receipt.level}: {means}"
    if proof.unproven is not None:
        yield f"could not be read back: {proof.unproven.message.rstrip('.')}"
    if proof.under_way is not None:
        waits = proof.under_way.waits_for
        yield f"to be read back, waiting: {waits}" if waits else "it is being read back"


def _held(view: BackupView, receipt: Receipt) -> Iterator[tuple[str, str]]:
    """What takes the memory, in short."""
    if receipt.keyspace is not None and receipt.keyspace.keys:
        heavy = sorted(receipt.keyspace.types.items(), key=lambda one: -one[1].bytes)
        told = ", ".join(f"{name} {size(amount.bytes)}" for name, amount in heavy[:4])
        yield "holds", f"{told}; more: valkeep backup show {view.cache}/{view.name} --keys"


def _bad(proof: ProofView) -> Iterator[tuple[str, str]]:
    if proof.refuted is not None:
        yield "DAMAGED", f"{proof.refuted.message} (found {instant(proof.refuted_at)})"
        yield "what to do", proof.refuted.hint
    if proof.unproven is not None:
        yield "not proven", f"the last verification was given up: {proof.unproven.message}"


def _receipt(receipt: Receipt, verified_at: datetime | None) -> Iterator[tuple[str, str]]:
    yield "proven", f"{receipt.level}: {MEANS[receipt.level]}, {instant(verified_at)}"
    if receipt.reason:
        yield "no further", receipt.reason
    if receipt.keys is not None:
        expired = f", {receipt.expired:,} had expired" if receipt.expired else ""
        yield "keys", f"{plural(receipt.keys, 'key')}{expired}, by {receipt.engine}"
    if receipt.keys_per_database:
        told = sorted(receipt.keys_per_database.items())
        yield "databases", ", ".join(f"db{number}: {keys:,}" for number, keys in told)
    took = f"{size(receipt.stored_bytes)} in {elapsed(receipt.read_seconds)}"
    if receipt.load_seconds is not None:
        took = f"{took}, served after {elapsed(receipt.load_seconds)}"
    if receipt.used_memory_bytes is not None:
        took = f"{took}, using {size(receipt.used_memory_bytes)}"
    yield "read", took
    for note in receipt.notes:
        yield "note", note
