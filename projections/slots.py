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
    BackupCancelled,
    BackupCompleted,
    BackupRequested,
    BackupSkipped,
    WindowMissed,
)
from projections.catalog import cancelled_by

Outcome = Literal["open", "complete", "given-up", "skipped", "missed", "cancelled"]

KEPT = timedelta(days=9)
"""Longer than anything that passed is looked for (A9): seven days, and a window's length."""
_MOST = 1_500
_LEAST = 64
"""So many are kept however old they look: a clock may be days ahead, and be put right again."""


class Slot(Struct, frozen=True):
    """One auto backup, or one missed occurrence.

    `noted` is the position of its first record, `settled` that of its outcome; `until` is when
    its time to start ended, and `settled_at` when the outcome was recorded.
    """

    noted_at: datetime
    backup_id: BackupId | None = None
    occurrence: Occurrence | None = None
    outcome: Outcome = "open"
    begun_at: datetime | None = None
    reason: str = ""
    settled: Position = START
    settled_at: datetime | None = None
    noted: Position = START
    until: datetime | None = None

    @property
    def untimely(self) -> bool:
        """Whether it was written off before or after the time that it had to start in.

        If its occurrence is open all the same, then the clock was wrong at that time, or the
        backup was made by command and had an hour only (A5b): it has another chance. What a
        person has cancelled has none.
        """
        if self.outcome in ("open", "complete", "cancelled"):
            return False
        if self.occurrence is None or self.settled_at is None:
            return False
        until = self.until or self.occurrence.closes_at
        return not self.occurrence.opens_at <= self.settled_at < until


Slots = Map[CacheName, tuple[Slot, ...]]
"""Of each cache the newest last."""

SlotEvent = (
    BackupRequested
    | AttemptStarted
    | BackupCompleted
    | BackupAbandoned
    | BackupCancelled
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
            slot = _requested(envelope, event)
            return slots.set(event.cache, (*_recent(mine, envelope.at), slot))
        case WindowMissed():
            missed = _missed(envelope, event)
            return slots.set(event.cache, (*_recent(mine, envelope.at), missed))
    backup_id, at = event.backup_id, len(mine)
    while at:  # from the newest on: it is nearly always that
        at -= 1
        if mine[at].backup_id == backup_id:
            changed = list(mine)
            changed[at] = _changed(mine[at], envelope, event)
            return slots.set(event.cache, tuple(changed))
    return slots


def _requested(envelope: Envelope, event: BackupRequested) -> Slot:
    return Slot(
        noted_at=envelope.at,
        backup_id=event.backup_id,
        occurrence=event.occurrence,
        noted=envelope.position,
        until=event.start_before,
    )


def _missed(envelope: Envelope, event: WindowMissed) -> Slot:
    return Slot(
        noted_at=envelope.at,
        occurrence=event.occurrence,
        outcome="missed",
        reason=event.reason,
        settled=envelope.position,
        settled_at=envelope.at,
        noted=envelope.position,
        until=event.occurrence.closes_at,
    )


_OfBackup = AttemptStarted | BackupCompleted | BackupAbandoned | BackupCancelled | BackupSkipped


def _changed(slot: Slot, envelope: Envelope, event: _OfBackup) -> Slot:
    match event:
        case AttemptStarted():
            return slot if slot.begun_at else replace(slot, begun_at=envelope.at)
        case BackupCompleted():
            return _settled(slot, envelope, "complete", "")
        case BackupAbandoned():
            return _settled(slot, envelope, "given-up", event.reason)
        case BackupCancelled():
            return _settled(slot, envelope, "cancelled", cancelled_by(envelope))
        case BackupSkipped():
            return _settled(slot, envelope, "skipped", event.reason)


def _settled(slot: Slot, envelope: Envelope, outcome: Outcome, reason: str) -> Slot:
    return replace(
        slot,
        outcome=outcome,
        reason=reason,
        settled=envelope.position,
        settled_at=envelope.at,
    )


def _recent(slots: tuple[Slot, ...], now: datetime) -> tuple[Slot, ...]:
    """Without the settled ones that nobody will ask for again."""
    if len(slots) <= _LEAST or (slots[0].noted_at > now - KEPT and len(slots) < _MOST):
        return slots
    least, most = len(slots) - _LEAST, len(slots) - _MOST + 1
    old = (
        slot
        for number, slot in enumerate(slots[:least])
        if slot.outcome == "open" or (slot.noted_at > now - KEPT and number >= most)
    )
    return (*old, *slots[least:])
