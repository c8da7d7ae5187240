"""What is done to prove that a backup's copy can be restored from, and what came of it.

Events of their own, beside those of `proofs`: whatever is found in a copy says nothing of the
backup, so none of these can be taken for a verdict on it. `vault` is where the copy is.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from events.facts import (
    BackupId,
    CacheName,
    Failure,
    ProofLevel,
    Receipt,
    VaultName,
    VerificationId,
)


class _CopyProofEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """The backup is held from the request to the end, for it holds its copies."""

    cache: CacheName
    backup_id: BackupId
    vault: VaultName
    verification_id: VerificationId


class CopyVerificationRequested(_CopyProofEvent, frozen=True, tag="copy-verification-requested/1"):
    """Somebody, or the policy (`cause`), wants a receipt; `quick` asks for ``hashes`` alone.

    It takes the place of one that has not begun.
    """

    cause: Literal["command", "policy"]
    quick: bool = False


class CopyVerificationStarted(_CopyProofEvent, frozen=True, tag="copy-verification-started/1"):
    """One try begins, from zero (R7); `attempt` counts them from 1."""

    attempt: int


class CopyVerificationPutOff(_CopyProofEvent, frozen=True, tag="copy-verification-put-off/1"):
    """A try failed in a way that says nothing of the copy; another follows at `retry_at`."""

    failure: Failure
    retry_at: datetime


class CopyVerificationAbandoned(_CopyProofEvent, frozen=True, tag="copy-verification-abandoned/1"):
    """No more tries: nothing was learnt of the copy, and what was known of it still holds."""

    failure: Failure


class CopyVerified(_CopyProofEvent, frozen=True, tag="copy-verified/1"):
    """The copy is proven, as far as the receipt says."""

    receipt: Receipt


class CopyVerificationFailed(_CopyProofEvent, frozen=True, tag="copy-verification-failed/1"):
    """The copy is not what it should be: nobody is told to restore from it.

    A later verification that reaches at least `level` without a failure takes that back.
    """

    level: ProofLevel
    failure: Failure


class CopyMendingRequested(
    Struct, frozen=True, forbid_unknown_fields=True, tag="copy-mending-requested/1"
):
    """A damaged copy is to be made anew; nothing of it goes before the backup is proven whole."""

    cache: CacheName
    backup_id: BackupId
    vault: VaultName


CopyProofEnded = CopyVerified | CopyVerificationFailed | CopyVerificationAbandoned
CopyProofEvent = (
    CopyVerificationRequested
    | CopyVerificationStarted
    | CopyVerificationPutOff
    | CopyProofEnded
    | CopyMendingRequested
)
