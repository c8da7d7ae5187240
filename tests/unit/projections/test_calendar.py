"""The calendar: one mark for each day of a cache, as bad as its worst backup."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from msgspec.structs import replace

from events.facts import BackupKind, CacheName, Occurrence, Policy, Window
from events.types import BackupRequested, BackupSkipped, Event, WindowMissed
from projections.calendar import ORDER, UNTOLD, Day, DayState, Span, calendar
from projections.history import History, OfCache, evolve
from projections.state import State
from tests.support.given import At, an_id, envelopes
from tests.support.report_stories import NAMES, NOW, Fleet, Night, events_of
from tests.support.retaining import story
from tests.support.samples import ORDERS

POLICY = Policy(auto=True, windows=(Window("02:00", 120),))
FATES: dict[str, DayState] = {
    "missed": "missed",
    "skipped": "skipped",
    "fails": "failed",
    "retried": "retried",
    "suspect": "suspect",
    "damaged": "damaged",
}
FIRST = date(2026, 3, 1)
SPAN = Span(FIRST, 7, datetime(2026, 3, 7, 12, tzinfo=UTC))


def of_orders(*events: Event | At) -> OfCache:
    """The history of `orders` that these events make."""
    history = History()
    for envelope, event in envelopes(events, State()):
        history = evolve(history, envelope, event)
    return history.caches.get(ORDERS, OfCache())


def made(day: int, *, hour: int = 2, kind: BackupKind = "auto", number: int = 1) -> list[At]:
    """A good backup of an instant in March, without a window."""
    at = datetime(2026, 3, day, hour, 30, tzinfo=UTC)
    return [At(at, event) for event in story(an_id(number), at, kind=kind)]


def served(events: Sequence[At], day: int) -> list[At]:
    """The same, for the window of a day."""
    opens = datetime(2026, 3, day, 2, tzinfo=UTC)
    occurrence = Occurrence(opens.date(), "02:00", opens, opens + timedelta(hours=2))
    return [
        At(one.at, replace(one.event, occurrence=occurrence))
        if isinstance(one.event, BackupRequested)
        else one
        for one in events
    ]


def marks(days: Sequence[Day]) -> list[str]:
    """The marks alone."""
    return [day.state for day in days]


@pytest.mark.parametrize("number", range(3), ids=NAMES[:3])
def test_each_night_has_the_mark_of_its_fate(number: int) -> None:
    """A month of good and bad nights is told night by night."""
    fleet = Fleet(3, 30)
    history = History()
    for envelope, event in envelopes(events_of(fleet), State()):
        history = evolve(history, envelope, event)
    nights = [Night(fleet, number, day) for day in range(fleet.days)]
    span = Span(nights[0].occurrence.day, fleet.days, NOW, NOW - timedelta(days=fleet.days))
    found = calendar(history.caches[CacheName(NAMES[number])], POLICY, span)

    expected = [FATES.get(n.fate, "good" if n.day % 2 else "proven") for n in nights]
    assert expected == marks(found)
    assert all(day.told for day in found if day.state not in ("proven", "good"))


def test_a_day_is_as_bad_as_its_worst_backup() -> None:
    """Of two windows one of which was missed, the day is a missed one, and says which."""
    evening = datetime(2026, 3, 2, 18, tzinfo=UTC)
    missed = WindowMissed(
        ORDERS, Occurrence(date(2026, 3, 2), "18:00", evening, evening), "nobody was there"
    )
    found = calendar(of_orders(*served(made(2), 2), missed), POLICY, SPAN)

    assert ("missed", 1) == (found[1].state, found[1].made)
    assert ("18:00 missed: nobody was there",) == found[1].told


def test_a_window_that_was_made_up_for_is_not_lost() -> None:
    """A second backup for a window whose first one was skipped makes it failed, then good."""
    first = served(made(3, number=1), 3)[0]
    skipped = At(first.at, BackupSkipped(cache=ORDERS, backup_id=an_id(1), reason="busy"))
    again = served(made(3, hour=3, number=2), 3)

    assert "retried" == calendar(of_orders(first, skipped, *again), POLICY, SPAN)[2].state


def test_a_backup_belongs_to_the_day_of_its_own_zone() -> None:
    """22:30 UTC of the first of March is the second in Tokyo."""
    events = made(1, hour=22, kind="manual")
    tokyo = replace(POLICY, timezone="Asia/Tokyo")

    assert 1 == calendar(of_orders(*events), POLICY, SPAN)[0].made
    assert 1 == calendar(of_orders(*events), tokyo, SPAN)[1].made


def test_a_safety_backup_is_of_no_account() -> None:
    """A12: a copy of data that somebody wanted to replace makes no day a good one."""
    days = calendar(of_orders(*made(2, kind="safety")), POLICY, SPAN)

    assert {"none"} == set(marks(days))


def test_windows_that_nothing_is_recorded_of_are_missed() -> None:
    """Who was away for weeks finds no record of it, and yet no days on which all was well."""
    counted = replace(SPAN, counted_at=datetime(2026, 3, 3, tzinfo=UTC))
    found = calendar(of_orders(*served(made(5), 5)), POLICY, counted)

    assert ["none", "none", "missed", "missed", "good", "missed", "missed"] == marks(found)
    assert (f"02:00 missed: {UNTOLD}",) == found[2].told


def test_every_state_has_a_rank() -> None:
    """No mark can be lost when the worst one is looked for."""
    assert len(set(ORDER)) == len(ORDER)
    assert set(FATES.values()) < set(ORDER)
