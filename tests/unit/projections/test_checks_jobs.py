"""What `check` says of cancelled backups, of calls that hang, and of backups given up unbegun."""

from datetime import timedelta

from events.types import (
    BackupAbandoned,
    BackupCancelled,
    BackupFailed,
    LeftoversStuck,
    LeftoversSwept,
    RetryScheduled,
)
from projections.schedule import due, served
from projections.slots import Slot
from projections.state import State
from tests.support.given import At
from tests.support.samples import B1, B2, ORDERS, OUTSIDE, complete, requested, running, swept
from tests.unit.projections.test_checks import FIRST, asked, bad, begun, line, set_up, stored

CANCELLED = BackupCancelled(cache=ORDERS, backup_id=B1, attempt=1)
HOUR = timedelta(hours=1)


def cancelled_in_its_window() -> State:
    """A scheduled backup was cancelled a moment after it had begun."""
    at = FIRST.opens_at + timedelta(minutes=1)
    return set_up(asked(), begun(), At(at, CANCELLED), At(at, swept()))


def test_a_cancelled_window_is_told() -> None:
    """Somebody wanted it so, and there is no backup of that window all the same."""
    state = cancelled_in_its_window()

    assert {"cancelled": "warning", "fresh": "critical"} == bad(state)
    told = line(state, "cancelled")
    assert "it was cancelled by anna" in told.message
    assert "backup create orders --auto" in told.hint


def test_a_cancelled_window_is_not_served_again() -> None:
    """It has had its outcome: nothing is due for it, while it is open and after it (A9)."""
    state = cancelled_in_its_window()
    cache = state.caches[ORDERS]
    (slot,) = state.slots[ORDERS]

    assert ("cancelled", "it was cancelled by anna") == (slot.outcome, slot.reason)
    for now in (FIRST.opens_at + HOUR, FIRST.closes_at + HOUR):
        assert served(state, cache, FIRST, now)
        assert () == due(state, now)


def test_what_was_cancelled_late_has_no_second_chance() -> None:
    """One made by command, and cancelled after its own hour in a window that is still open."""
    slot = Slot(
        noted_at=FIRST.opens_at,
        backup_id=B1,
        occurrence=FIRST,
        outcome="cancelled",
        settled_at=FIRST.opens_at + HOUR + HOUR / 2,
        until=FIRST.opens_at + HOUR,
    )
    assert not slot.untimely


def test_a_later_backup_makes_up_for_it() -> None:
    """A newer good scheduled backup makes the warning go away."""
    state = cancelled_in_its_window()
    again = set_up(
        asked(),
        begun(),
        At(FIRST.opens_at, CANCELLED),
        asked(B2),
        begun(B2),
        *stored(B2, FIRST.opens_at + timedelta(minutes=9)),
    )
    assert {} == bad(again)
    assert {} != bad(state)


def test_a_call_that_hangs_is_told() -> None:
    """The vault is named, and since when, until what it left is swept."""
    at = FIRST.opens_at
    hangs = (
        asked(),
        begun(),
        At(at, BackupFailed(cache=ORDERS, backup_id=B1, attempt=1, failure=OUTSIDE)),
        At(at, LeftoversStuck(cache=ORDERS, backup_id=B1, attempts=(1,), doing="sweep")),
        At(at, RetryScheduled(cache=ORDERS, backup_id=B1, retry_at=at)),
        begun(attempt=2),
        *stored(B1, at),
    )
    told = line(set_up(*hangs), "stuck")
    assert "warning" == told.level
    assert f"vault main has a stuck call since {at:%Y-%m-%d %H:%M:%SZ}: to sweep" in told.message
    assert {"stuck": "warning"} == bad(set_up(*hangs))

    gone = LeftoversSwept(cache=ORDERS, backup_id=B1, attempts=(1,))
    assert {} == bad(set_up(*hangs, gone))


def test_manual_backup_that_never_began_is_told() -> None:
    """One that was given up without an attempt is told of like one that failed (C3)."""
    end = BackupAbandoned(cache=ORDERS, backup_id=B2, reason="its cache was suspended")
    state = set_up(*complete(B1), requested(B2, name="mine"), end)

    told = line(state, "manual")
    assert ("warning", "abandoned") == (told.level, told.code)
    assert "backup mine was given up: its cache was suspended" in told.message


def test_a_cancelled_manual_backup_is_nobodys_trouble() -> None:
    """A manual backup that somebody cancelled is no failure."""
    assert "manual" not in bad(set_up(*running(B1), CANCELLED, swept()))
