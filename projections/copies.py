"""Copies of one backup in further vaults: how far each has got.

Pure, and knows nothing of the backup itself. At most one copy in a vault; a copy that is
``failed`` is tried again at `not_before`.
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

CopyPhase = Literal["waiting", "running", "complete", "failed", "deleting"]


class Copy(Struct, frozen=True):
    """A copy in one vault. `completed_at` stays when it is deleted: then bytes may lie there."""

    vault: VaultName
    wanted_by: Literal["copy_to", "command"]
    requested_at: datetime
    phase: CopyPhase = "waiting"
    attempts: int = 0
    not_before: datetime | None = None
    failure: Failure | None = None
    completed_at: datetime | None = None
    stored_bytes: int = 0


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
            )
        case CopyFailed():
            return replace(copy, phase="failed", failure=event.failure, not_before=event.retry_at)


def leaving(copies: Copies) -> Copies:
    """They go with their backup; of one that was never begun there is nothing to remove (S1)."""
    begun = (copy for copy in copies if copy.attempts)
    return tuple(replace(copy, phase="deleting", not_before=None) for copy in begun)


def in_vault(copies: Copies, vault: VaultName) -> Copy | None:
    """The copy in a vault, if there is or was to be one."""
    return next((copy for copy in copies if copy.vault == vault), None)


def need_work(copies: Copies) -> bool:
    """Whether any of them is still to be made or to be removed."""
    return any(copy.phase != "complete" for copy in copies)


def running(copies: Copies) -> int:
    """How many read the backup now, by the log."""
    return sum(copy.phase == "running" for copy in copies)


def complete_in(copies: Copies) -> tuple[VaultName, ...]:
    """The vaults that have a whole copy."""
    return tuple(copy.vault for copy in copies if copy.phase == "complete")
