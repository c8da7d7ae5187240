"""The events of verifications in one English sentence each. Pure."""

from typing import assert_never

from events.facts import Receipt
from events.proofs import (
    BackupVerified,
    VerificationAbandoned,
    VerificationFailed,
    VerificationPutOff,
    VerificationRequested,
    VerificationStarted,
)

OfProof = (
    VerificationRequested
    | VerificationStarted
    | VerificationPutOff
    | VerificationAbandoned
    | BackupVerified
    | VerificationFailed
)


def of_proof(event: OfProof) -> str:
    """What happened, without who and when."""
    of = f"{event.backup_id} of {event.cache}"
    match event:
        case VerificationRequested():
            quick = ", its hashes only" if event.quick else ""
            by = "by the policy" if event.cause == "policy" else "by command"
            return f"verification of backup {of} asked for {by}{quick}"
        case VerificationStarted():
            return f"try {event.attempt} at verifying backup {of} started"
        case VerificationPutOff():
            at = f"{event.retry_at:%Y-%m-%d %H:%M:%SZ}"
            return f"verification of backup {of} put off until {at}: {event.failure.message}"
        case VerificationAbandoned():
            return f"verification of backup {of} given up: {event.failure.message}"
        case BackupVerified():
            return f"backup {of} verified: {in_short(event.receipt)}"
        case VerificationFailed():
            return f"backup {of} failed its verification: {event.failure.message}"
        case _:
            assert_never(event)


def in_short(receipt: Receipt) -> str:
    """A receipt in some words."""
    keys = "" if receipt.keys is None else f", {receipt.keys:,} keys"
    by = f" by {receipt.engine}" if receipt.engine else ""
    return f"{receipt.level}{by}{keys}"
