"""Slots: what the log says became of each auto backup and each occurrence."""

from datetime import UTC, datetime, timedelta

import pytest

from events.facts import BackupId, BackupName, Occurrence
from events.types import (
    BackupAbandoned,
    BackupCompleted,
    BackupFailed,
    BackupRequested,
    BackupSkipped,
    CacheRemoved,
    Event,
    WindowMissed,
)
from projections.slots import KEPT, Slot
from projections.state import State
from tests.support.given import At, an_id, given
from tests.support.samples import (
    B1,
    B2,
    MAIN,
    ORDERS,
    OUTSIDE,
    STORED,
    attempted,
    complete,
    registered,
    running,
)

TWO = datetime(2026, 3, 1, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
ONE = Occurrence(TWO.date(), "02:00", TWO, TWO + 2 * HOUR)
KNOWN = given(At(TWO - DAY, registered()))


def later(days: int) -> Occurrence:
    """The occurrence so many days later."""
    ahead = days * DAY
    return Occurrence(ONE.day + ahead, ONE.start, ONE.opens_at + ahead, ONE.closes_at + ahead)


def wanted(backup_id: BackupId = B1, one: Occurrence | None = ONE) -> BackupRequested:
    """An auto backup was asked for; one made by command has an hour."""
    return BackupRequested(
        cache=ORDERS,
        backup_id=backup_id,
        kind="auto",
        name=BackupName(f"auto-{backup_id[-2:]}"),
        vault=MAIN,
        occurrence=one,
        start_before=one.closes_at if one else TWO + HOUR,
    )


def skipped(backup_id: BackupId = B1) -> BackupSkipped:
    """It was not begun in time."""
    return BackupSkipped(cache=ORDERS, backup_id=backup_id, reason="something ran")


def abandoned(backup_id: BackupId = B1) -> BackupAbandoned:
    """It was given up."""
    return BackupAbandoned(cache=ORDERS, backup_id=backup_id, reason="no attempt is left")


def missed(one: Occurrence = ONE) -> WindowMissed:
    """Nobody was there."""
    return WindowMissed(cache=ORDERS, occurrence=one, reason="down")


def slots(*events: Event | At, state: State = KNOWN) -> tuple[Slot, ...]:
    """The slots of `orders` after these events."""
    return given(*events, state=state).slots.get(ORDERS, ())


def test_slot_of_a_backup() -> None:
    """An auto backup's slot knows its occurrence, its first attempt, and its outcome's place."""
    failed = BackupFailed(cache=ORDERS, backup_id=B1, attempt=1, failure=OUTSIDE)
    done = BackupCompleted(cache=ORDERS, backup_id=B1, stored=STORED)

    (slot,) = slots(
        At(TWO, wanted()),
        At(TWO + MINUTE, attempted()),
        At(TWO + 2 * MINUTE, failed),
        At(TWO + 3 * MINUTE, attempted(attempt=2)),
        At(TWO + 5 * MINUTE, done),
    )

    assert (B1, ONE, "complete") == (slot.backup_id, slot.occurrence, slot.outcome)
    assert (TWO, TWO + MINUTE, TWO + 5 * MINUTE) == (slot.noted_at, slot.begun_at, slot.settled_at)
    assert (2, 6, ONE.closes_at) == (slot.noted, slot.settled, slot.until)


@pytest.mark.parametrize(
    ("end", "outcome", "reason"),
    [(skipped(), "skipped", "something ran"), (abandoned(), "given-up", "no attempt is left")],
)
def test_slot_holds_why_it_ended(end: Event, outcome: str, reason: str) -> None:
    """What was skipped or given up keeps its reason (A6, A7)."""
    (slot,) = slots(wanted(), end)

    assert (outcome, reason) == (slot.outcome, slot.reason)


def test_missed_occurrence_has_a_slot() -> None:
    """An occurrence that nobody served has a slot without a backup (A9)."""
    (slot,) = slots(At(TWO + 3 * HOUR, missed()))

    assert (None, ONE, "missed", "down") == (
        slot.backup_id,
        slot.occurrence,
        slot.outcome,
        slot.reason,
    )


@pytest.mark.parametrize("events", [complete(), running(kind="safety")])
def test_others_leave_no_trace(events: tuple[Event, ...]) -> None:
    """Manual and safety backups serve no occurrence and have no slots (A12)."""
    assert () == slots(*events)


def test_slots_go_with_their_cache() -> None:
    """A removed cache has no slots; added again it begins anew (A10)."""
    assert () == slots(wanted(), CacheRemoved(cache=ORDERS))


def test_old_slots_are_forgotten() -> None:
    """What ended more than nine days ago is forgotten, but for the last few records.

    Those are remembered however old they look: the clock may be wrong.
    """
    old = [At(TWO, missed(later(n))) for n in range(100)]
    new = At(TWO + KEPT, missed(later(200)))
    found = [slot.occurrence for slot in slots(*old, new)]

    assert later(200) == found[-1]
    assert 30 <= len(found) <= 70
    assert found[:-1] == [later(n) for n in range(100)][-len(found) + 1 :]
    assert len(slots(*(At(TWO + MINUTE, item.event) for item in old), new)) == 101


def test_clock_years_ahead_forgets_nothing_of_today() -> None:
    """A few records of a clock that was years ahead leave today's slots in place (fault 21)."""
    ahead = [At(TWO + 1000 * DAY, missed(later(1000 + n))) for n in range(28)]

    found = slots(At(TWO, missed()), *ahead, At(TWO, missed(later(1))))

    assert ONE == found[0].occurrence
    assert len(found) == 30


def test_open_slots_are_never_forgotten() -> None:
    """A backup that has not ended is remembered however old it is, and however much follows.

    Else nobody would ever end it.
    """
    many = [At(TWO + n * MINUTE, missed(later(n))) for n in range(1, 1600)]
    found = slots(At(TWO, wanted()), *many)

    assert B1 == found[0].backup_id
    assert len(found) <= 1501
    aged = [At(TWO + 400 * DAY, missed(later(400 + n))) for n in range(70)]
    assert B1 == slots(At(TWO, wanted()), *aged)[0].backup_id


@pytest.mark.parametrize(
    ("at", "untimely"),
    [
        (TWO - MINUTE, True),
        (TWO, False),
        (TWO + 2 * HOUR - MINUTE, False),
        (TWO + 2 * HOUR, True),
        (TWO + 1000 * DAY, True),
    ],
)
def test_what_was_written_off_outside_its_time(at: datetime, *, untimely: bool) -> None:
    """A slot knows whether it was given up while it could start, or by a clock that was wrong."""
    (slot,) = slots(At(TWO, wanted()), At(at, abandoned()))

    assert untimely == slot.untimely


def test_what_is_complete_was_in_time() -> None:
    """A backup that is complete, runs or serves no occurrence is never untimely."""
    done = BackupCompleted(cache=ORDERS, backup_id=B1, stored=STORED)
    late = At(TWO + 9 * HOUR, done)

    assert not slots(At(TWO, wanted()), late)[0].untimely
    assert not slots(At(TWO, wanted()))[0].untimely
    assert not slots(At(TWO, wanted(one=None)), At(TWO + 3 * HOUR, skipped()))[0].untimely


def test_event_of_a_forgotten_slot_changes_nothing() -> None:
    """The end of a backup without a slot, as of a cache that was removed, leaves the rest alone."""
    state = given(wanted(B2), CacheRemoved(cache=ORDERS), registered(), state=KNOWN)

    assert () == slots(abandoned(B2), state=state)
    assert an_id(9) not in state.open_backups
