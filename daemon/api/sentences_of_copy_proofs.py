"""The events of the verification of copies in one English sentence each. Pure."""

from typing import assert_never

from daemon.api.sentences_proof import in_short
from events.copy_proofs import (
    CopyMendingRequested,
    CopyProofEvent,
    CopyVerificationAbandoned,
    CopyVerificationFailed,
    CopyVerificationPutOff,
    CopyVerificationRequested,
    CopyVerificationStarted,
    CopyVerified,
)


def of_copy_proof(event: CopyProofEvent) -> str:
    """What happened, without who and when."""
    of = f"the copy of backup {event.backup_id} of {event.cache} in vault {event.vault}"
    match event:
        case CopyVerificationRequested():
            quick = ", its hashes only" if event.quick else ""
            by = "by the policy" if event.cause == "policy" else "by command"
            return f"verification of {of} asked for {by}{quick}"
        case CopyVerificationStarted():
            return f"try {event.attempt} at verifying {of} started"
        case CopyVerificationPutOff():
            at = f"{event.retry_at:%Y-%m-%d %H:%M:%SZ}"
            return f"verification of {of} put off until {at}: {event.failure.message}"
        case CopyVerificationAbandoned():
            return f"verification of {of} given up: {event.failure.message}"
        case CopyVerified():
            return f"{of} verified: {in_short(event.receipt)}"
        case CopyVerificationFailed():
            return f"{of} failed its verification: {event.failure.message}"
        case CopyMendingRequested():
            return f"{of} is to be made anew, when the backup is proven"
        case _:
            assert_never(event)
