"""Proofs: what verifications have found of a backup, and those that have not ended.

Knows the newest receipt, the newest damage that nothing has disproved since, and how often an
outstanding verification was tried. What is to be proven, and when, is decided elsewhere.
"""

from datetime import datetime
from typing import Literal, get_args

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from events.envelope import Envelope
from events.facts import BackupId, CacheName, Failure, ProofLevel, Receipt, VerificationId
from events.proofs import (
    BackupVerified,
    VerificationAbandoned,
    VerificationFailed,
    VerificationPutOff,
    VerificationRequested,
    VerificationStarted,
)

LEVELS: tuple[ProofLevel, ...] = get_args(ProofLevel)
"""From the least to the most."""


class Proof(Struct, frozen=True):
    """What is known of one backup: its newest receipt, and the damage that was found, if any.

    `refuted_level` is how far a verification must get to take the damage back. `unproven` is why
    the last verification came to nothing, until one comes to something.
    """

    receipt: Receipt | None = None
    verified_at: datetime | None = None
    refuted: Failure | None = None
    refuted_at: datetime | None = None
    refuted_level: ProofLevel = "hashes"
    unproven: Failure | None = None


UNPROVEN = Proof()


class Verification(Struct, frozen=True):
    """One verification that has not ended; a running one has no `retry_at`."""

    verification_id: VerificationId
    cache: CacheName
    backup_id: BackupId
    cause: Literal["command", "policy"]
    quick: bool
    requested_at: datetime
    requested_by: str
    tries: int = 0
    running: bool = False
    retry_at: datetime | None = None
    failure: Failure | None = None


Verifications = Map[BackupId, Verification]
"""A backup has at most one that has not ended."""

Ended = BackupVerified | VerificationFailed | VerificationAbandoned
ProofEvent = VerificationRequested | VerificationStarted | VerificationPutOff | Ended


def evolve(active: Verifications, envelope: Envelope, event: ProofEvent) -> Verifications:
    """The outstanding verifications after one more event."""
    match event:
        case VerificationRequested():
            return active.set(event.backup_id, _requested(envelope, event))
        case VerificationStarted():
            old = active[event.backup_id]
            new = replace(old, running=True, tries=event.attempt, retry_at=None)
            return active.set(event.backup_id, new)
        case VerificationPutOff():
            old = active[event.backup_id]
            new = replace(old, running=False, retry_at=event.retry_at, failure=event.failure)
            return active.set(event.backup_id, new)
        case BackupVerified() | VerificationFailed() | VerificationAbandoned():
            return active.delete(event.backup_id)


def _requested(envelope: Envelope, event: VerificationRequested) -> Verification:
    return Verification(
        verification_id=event.verification_id,
        cache=event.cache,
        backup_id=event.backup_id,
        cause=event.cause,
        quick=event.quick,
        requested_at=envelope.at,
        requested_by=envelope.who.user or envelope.who.kind,
    )


def judged(proof: Proof, envelope: Envelope, event: Ended) -> Proof:
    """What is known of a backup after a verification has ended: the newest verdict counts.

    A receipt of a lower level than the one at which damage was found disproves nothing.
    """
    match event:
        case VerificationAbandoned():
            return replace(proof, unproven=event.failure)
        case VerificationFailed():
            return refuted(envelope.at, proof, event.level, event.failure)
        case BackupVerified():
            return proven(envelope.at, proof, event.receipt)


def proven(at: datetime, proof: Proof, receipt: Receipt) -> Proof:
    """What is known with one more receipt; it takes back what was found at its level or below."""
    new = replace(proof, receipt=receipt, verified_at=at, unproven=None)
    if LEVELS.index(receipt.level) >= LEVELS.index(proof.refuted_level):
        new = replace(new, refuted=None, refuted_at=None, refuted_level="hashes")
    return new


def refuted(at: datetime, proof: Proof, level: ProofLevel, failure: Failure) -> Proof:
    """What is known when damage was found, at this level."""
    return replace(proof, refuted=failure, refuted_at=at, refuted_level=level, unproven=None)
