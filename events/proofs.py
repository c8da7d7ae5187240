"""What is done to prove that a stored backup can be restored, and what came of it (DESIGN 7).

A verification never changes the backup. What says nothing of the backup itself (a vault that
is away, say) is told apart from what does.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from events.facts import BackupId, CacheName, Failure, ProofLevel, Receipt, VerificationId


class _VerificationEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """`backup_id` is held from the request to the end."""

    cache: CacheName
    backup_id: BackupId
    verification_id: VerificationId


class VerificationRequested(_VerificationEvent, frozen=True, tag="verification-requested/1"):
    """Somebody, or the policy (`cause`), wants a receipt; `quick` asks for ``hashes`` alone."""

    cause: Literal["command", "policy"]
    quick: bool = False


class VerificationStarted(_VerificationEvent, frozen=True, tag="verification-started/1"):
    """One try begins, from zero (R7); `attempt` counts them from 1."""

    attempt: int


class VerificationPutOff(_VerificationEvent, frozen=True, tag="verification-put-off/1"):
    """A try failed in a way that says nothing of the backup; another follows at `retry_at`."""

    failure: Failure
    retry_at: datetime


class VerificationAbandoned(_VerificationEvent, frozen=True, tag="verification-abandoned/1"):
    """No more tries: nothing was learnt of the backup, and what was known of it still holds."""

    failure: Failure


class BackupVerified(_VerificationEvent, frozen=True, tag="backup-verified/3"):
    """The stored backup is proven, as far as the receipt says."""

    receipt: Receipt


class VerificationFailed(_VerificationEvent, frozen=True, tag="verification-failed/1"):
    """The stored backup is not what it should be, and no longer counts as good.

    A later verification that reaches at least `level` without a failure takes that back.
    """

    level: ProofLevel
    failure: Failure
