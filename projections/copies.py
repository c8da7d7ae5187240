"""Copies of one backup in further vaults: how far each has got.

Pure, and knows nothing of the backup itself. At most one copy in a vault; a copy that is
``failed`` is tried again at `not_before`. What is found in a copy is for `copy_proofs` to fold.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from events.copies import (
    BackupCleared,
    CopyCompleted,
    CopyDeleted,
    CopyEvent,
    CopyFailed,
    CopyRequested,
    CopyStarted,
)
from events.envelope import Envelope
from events.facts import Failure, VaultName
from projections.proofs import UNPROVEN, Proof, Verification

CopyPhase = Literal["waiting", "running", "complete", "failed", "deleting"]


class Mend(Struct, frozen=True):
    """A copy was found damaged and is made anew from its backup; `mended_at` tells since when."""

    found: Failure
    found_at: datetime
    mended_at: datetime | None = None


class Copy(Struct, frozen=True):
    """A copy in one vault. `completed_at` stays when it is deleted: then bytes may lie there.

    So it does while the copy is made anew. `proof` is what verifications of the copy have found,
    `check` the one that has not ended, `checked_at` when the last one ended, whatever it found.
    """

    vault: VaultName
    wanted_by: Literal["copy_to", "command"]
    requested_at: datetime
    phase: CopyPhase = "waiting"
    attempts: int = 0
    not_before: datetime | None = None
    failure: Failure | None = None
    completed_at: datetime | None = None
    stored_bytes: int = 0
    proof: Proof = UNPROVEN
    check: Verification | None = None
    checked_at: datetime | None = None
    mend: Mend | None = None

    @property
    def mending(self) -> bool:
        """Whether it is to be made anew, and is not yet."""
        return self.mend is not None and self.mend.mended_at is None

    @property
    def good(self) -> bool:
        """Whether it is whole by all that is known."""
        return self.phase == "complete" and self.proof.refuted is None


Copies = tuple[Copy, ...]
"""In the order in which they were asked for."""


def evolve(copies: Copies, envelope: Envelope, event: CopyEvent) -> Copies:
    """A backup's copies after one more event about one of them."""
    match event:
        case CopyRequested():
            fresh = Copy(event.vault, event.wanted_by, envelope.at)
            return (*(copy for copy in copies if copy.vault != event.vault), fresh)
        case CopyDeleted():
            return tuple(copy for copy in copies if copy.vault != event.vault)
        case BackupCleared():
            return copies
        case CopyStarted() | CopyCompleted() | CopyFailed():
            return tuple(
                _step(copy, envelope, event) if copy.vault == event.vault else copy
                for copy in copies
            )


def _step(copy: Copy, envelope: Envelope, event: CopyStarted | CopyCompleted | CopyFailed) -> Copy:
    match event:
        case CopyStarted():
            return replace(copy, phase="running", attempts=event.attempt, not_before=None)
        case CopyCompleted():
            return replace(
                copy,
                phase="complete",
                failure=None,
                completed_at=envelope.at,
                stored_bytes=event.stored_bytes,
                proof=UNPROVEN,
                mend=copy.mend and replace(copy.mend, mended_at=envelope.at),
            )
        case CopyFailed():
            return replace(copy, phase="failed", failure=event.failure, not_before=event.retry_at)


def leaving(copies: Copies) -> Copies:
    """They go with their backup; of one that was never begun there is nothing to remove (S1)."""
    begun = (copy for copy in copies if copy.attempts or copy.completed_at)
    return tuple(replace(copy, phase="deleting", not_before=None, check=None) for copy in begun)


def in_vault(copies: Copies, vault: VaultName) -> Copy | None:
    """The copy in a vault, if there is or was to be one."""
    return next((copy for copy in copies if copy.vault == vault), None)


def need_work(copies: Copies) -> bool:
    """Whether any of them is still to be made, to be verified or to be removed."""
    return any(copy.phase != "complete" or copy.check is not None for copy in copies)


def running(copies: Copies) -> int:
    """How many read the backup now, by the log."""
    return sum(copy.phase == "running" for copy in copies)


def reading(copies: Copies) -> int:
    """How many hold the backup: copies that are made, and verifications that have not ended."""
    return sum((copy.phase == "running") + (copy.check is not None) for copy in copies)


def complete_in(copies: Copies) -> tuple[VaultName, ...]:
    """The vaults that have a whole copy; those in which it was found damaged come last."""
    made = [copy for copy in copies if copy.phase == "complete"]
    return tuple(copy.vault for copy in sorted(made, key=lambda copy: not copy.good))


def lying_in(copies: Copies) -> tuple[VaultName, ...]:
    """The vaults that have one, whole or found damaged."""
    return tuple(copy.vault for copy in copies if copy.completed_at is not None)
