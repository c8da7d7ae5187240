"""Slots: what became of each cache's auto backups and occurrences, for the last days.

A slot is an auto backup, with the occurrence that it serves if there is one, or an occurrence
that ended without one. Says nothing about what should be: that is the schedule's.
"""

from datetime import datetime, timedelta
from typing import Literal

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from events.envelope import Envelope
from events.facts import START, BackupId, CacheName, Occurrence, Position
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCompleted,
    BackupRequested,
    BackupSkipped,
    WindowMissed,
)

Outcome = Literal["open", "complete", "given-up", "skipped", "missed"]

KEPT = timedelta(days=9)
"""Longer than anything that passed is looked for (A9): seven days, and a window's length."""
_MOST = 1_500


class Slot(Struct, frozen=True):
    """One auto backup, or one missed occurrence; `settled` is the position of its outcome."""

    noted_at: datetime
    backup_id: BackupId | None = None
    occurrence: Occurrence | None = None
    outcome: Outcome = "open"
    begun_at: datetime | None = None
    reason: str = ""
    settled: Position = START


Slots = Map[CacheName, tuple[Slot, ...]]
"""Of each cache the newest last."""

SlotEvent = (
    BackupRequested
    | AttemptStarted
    | BackupCompleted
    | BackupAbandoned
    | BackupSkipped
    | WindowMissed
)


def evolve(slots: Slots, envelope: Envelope, event: SlotEvent) -> Slots:
    """The slots after one more event; those of manual and safety backups leave no trace."""
    mine = slots.get(event.cache, ())
    match event:
        case BackupRequested():
            if event.kind != "auto":
                return slots
            slot = Slot(envelope.at, event.backup_id, event.occurrence)
            return slots.set(event.cache, (*_recent(mine, envelope.at), slot))
        case WindowMissed():
            missed = _missed(envelope, event)
            return slots.set(event.cache, (*_recent(mine, envelope.at), missed))
    at = next((n for n, slot in enumerate(mine) if slot.backup_id == event.backup_id), None)
    if at is None:
        return slots
    changed = _changed(mine[at], envelope, event)
    return slots.set(event.cache, (*mine[:at], changed, *mine[at + 1 :]))


def _missed(envelope: Envelope, event: WindowMissed) -> Slot:
    return Slot(
        noted_at=envelope.at,
        occurrence=event.occurrence,
        outcome="missed",
        reason=event.reason,
        settled=envelope.position,
    )


_OfBackup = AttemptStarted | BackupCompleted | BackupAbandoned | BackupSkipped


def _changed(slot: Slot, envelope: Envelope, event: _OfBackup) -> Slot:
    match event:
        case AttemptStarted():
            return slot if slot.begun_at else replace(slot, begun_at=envelope.at)
        case BackupCompleted():
            return replace(slot, outcome="complete", settled=envelope.position)
        case BackupAbandoned():
            return replace(slot, outcome="given-up", reason=event.reason, settled=envelope.position)
        case BackupSkipped():
            return replace(slot, outcome="skipped", reason=event.reason, settled=envelope.position)


def _recent(slots: tuple[Slot, ...], now: datetime) -> tuple[Slot, ...]:
    """Without the settled ones that nobody will ask for again."""
    first = slots[0] if slots else None
    if first is None or (first.noted_at > now - KEPT and len(slots) < _MOST):
        return slots
    kept = [slot for slot in slots if slot.outcome == "open" or slot.noted_at > now - KEPT]
    return tuple(kept[-_MOST + 1 :])
