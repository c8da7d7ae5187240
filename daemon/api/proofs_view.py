"""From state to what is answered about proofs. Pure."""

from collections.abc import Iterable
from datetime import datetime

from immutables import Map

from daemon.answers.proof import AssuranceView, CopiesView, ProofView, VerificationView
from events.facts import CacheName, VaultName
from projections.assurance import assurance
from projections.catalog import Backup
from projections.copies import Copy
from projections.proofs import UNPROVEN, Proof, Verification
from projections.restores import Restore
from projections.state import State
from projections.work import proving_waits_for


def proof_view(state: State, backup: Backup, now: datetime) -> ProofView | None:
    """What is known of a backup, or is being found out; None when that is nothing."""
    wanted = state.verifications.get(backup.backup_id)
    return _view(backup.proof, _under_way(state, wanted, now))


def copy_proof_view(state: State, copy: Copy, now: datetime) -> ProofView | None:
    """What is known of a copy, or is being found out; None when that is nothing."""
    return _view(copy.proof, _under_way(state, copy.check, now))


def _view(proof: Proof, under_way: VerificationView | None) -> ProofView | None:
    if proof == UNPROVEN and under_way is None:
        return None
    return ProofView(
        receipt=proof.receipt,
        verified_at=proof.verified_at,
        refuted=proof.refuted,
        refuted_at=proof.refuted_at,
        unproven=proof.unproven,
        under_way=under_way,
    )


def _under_way(state: State, wanted: Verification | None, now: datetime) -> VerificationView | None:
    if wanted is None:
        return None
    by_rule = None if wanted.running else proving_waits_for(state, wanted, now)
    return VerificationView(
        cause=wanted.cause,
        running=wanted.running,
        tries=wanted.tries,
        quick=wanted.quick,
        waits_for=by_rule if by_rule or wanted.running else "another verification, or a calm host",
        retry_at=wanted.retry_at,
        failure=wanted.failure,
    )


def assurance_view(
    state: State, name: CacheName, now: datetime, restores: Iterable[Restore] | None = None
) -> AssuranceView:
    """What a cache's backups are good for; `restores` as for `pace`."""
    known = assurance(state, name, now, restores)
    proven, guess, lost = known.proven, known.guess, known.lost(now)
    receipt = proven.proof.receipt if proven else None
    return AssuranceView(
        proven_at=proven.proof.verified_at if proven else None,
        level=receipt.level if receipt else "",
        name=proven.name if proven else "",
        restore_seconds=guess.seconds if guess else None,
        restore_from=guess.source if guess else "",
        restore_partly=guess is not None and not guess.whole,
        newest=known.newest.name if known.newest else "",
        lost_seconds=None if lost is None else lost.total_seconds(),
    )


def copies_views(state: State, name: CacheName) -> tuple[CopiesView, ...]:
    """A cache's copies, by the vault in which they lie."""
    found: dict[VaultName, list[Copy]] = {}
    for backup in state.catalog.get(name, Map()).values():
        for copy in backup.copies if backup.phase == "complete" else ():
            if copy.completed_at is not None:
                found.setdefault(copy.vault, []).append(copy)
    return tuple(_copies(state, name, found[vault]) for vault in sorted(found))


def _copies(state: State, name: CacheName, there: list[Copy]) -> CopiesView:
    vault, damaged = there[0].vault, sum(copy.proof.refuted is not None for copy in there)
    known = state.readings.get(name, Map()).get(vault)
    return CopiesView(
        vault=vault,
        whole=len(there) - damaged,
        damaged=damaged,
        proven_at=known.proven_at if known else None,
        level=(known.level or "") if known else "",
    )
