"""What verifications find in copies, and that a damaged one is to be made anew.

Pure. A verdict on a copy is kept with the copy and nowhere else: what is known of its backup is
as it was.
"""

from msgspec.structs import replace

from events.copy_proofs import (
    CopyMendingRequested,
    CopyProofEnded,
    CopyProofEvent,
    CopyVerificationAbandoned,
    CopyVerificationFailed,
    CopyVerificationPutOff,
    CopyVerificationRequested,
    CopyVerificationStarted,
    CopyVerified,
)
from events.envelope import Envelope
from events.facts import Failure
from projections.copies import Copies, Copy, Mend
from projections.proofs import Proof, Verification, proven, refuted


def evolve(copies: Copies, envelope: Envelope, event: CopyProofEvent) -> Copies:
    """A backup's copies after one more event about the proof of one of them.

    One that is to be made anew is the last that was asked for.
    """
    if isinstance(event, CopyMendingRequested):
        copies = tuple(sorted(copies, key=lambda copy: copy.vault == event.vault))
    return tuple(
        _step(copy, envelope, event) if copy.vault == event.vault else copy for copy in copies
    )


def _step(copy: Copy, envelope: Envelope, event: CopyProofEvent) -> Copy:
    match event:
        case CopyVerificationRequested():
            return replace(copy, check=_requested(envelope, event))
        case CopyVerificationStarted() | CopyVerificationPutOff():
            return replace(copy, check=copy.check and _tried(copy.check, event))
        case CopyVerified() | CopyVerificationFailed() | CopyVerificationAbandoned():
            proof = _judged(copy.proof, envelope, event)
            return _seen(replace(copy, proof=proof, check=None, checked_at=envelope.at))
        case CopyMendingRequested():
            return _to_be_mended(copy, envelope)


def _seen(copy: Copy) -> Copy:
    """Of one that was to be mended, and is whole again, nothing is left to do."""
    if copy.mending and copy.proof.refuted is None:
        return replace(copy, phase="complete", failure=None, not_before=None, mend=None)
    return copy


def _judged(proof: Proof, envelope: Envelope, event: CopyProofEnded) -> Proof:
    match event:
        case CopyVerified():
            return proven(envelope.at, proof, event.receipt)
        case CopyVerificationFailed():
            return refuted(envelope.at, proof, event.level, event.failure)
        case CopyVerificationAbandoned():
            return replace(proof, unproven=event.failure)


def _requested(envelope: Envelope, event: CopyVerificationRequested) -> Verification:
    return Verification(
        verification_id=event.verification_id,
        cache=event.cache,
        backup_id=event.backup_id,
        cause=event.cause,
        quick=event.quick,
        requested_at=envelope.at,
        requested_by=envelope.who.user or envelope.who.kind,
    )


def _tried(
    check: Verification, event: CopyVerificationStarted | CopyVerificationPutOff
) -> Verification:
    if isinstance(event, CopyVerificationStarted):
        return replace(check, running=True, tries=event.attempt, retry_at=None)
    return replace(check, running=False, retry_at=event.retry_at, failure=event.failure)


def _to_be_mended(copy: Copy, envelope: Envelope) -> Copy:
    """What lies there stays, and is counted, until the backup was proven."""
    unknown = Failure("damaged", "it was found damaged", "Nothing is to be done.")
    found = Mend(copy.proof.refuted or unknown, copy.proof.refuted_at or envelope.at)
    return replace(
        copy,
        phase="waiting",
        attempts=0,
        requested_at=envelope.at,
        not_before=None,
        failure=None,
        mend=found,
    )
