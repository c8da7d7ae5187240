"""What went wrong last with a cache's backups, and what has succeeded since."""

from datetime import timedelta

from msgspec.structs import replace

from events.facts import Occurrence
from events.types import (
    BackupAbandoned,
    BackupFailed,
    Event,
    SnapshotTaken,
    WindowMissed,
)
from projections.last_failure import last_failure
from projections.state import State
from tests.support.given import NOON, At, given
from tests.support.samples import (
    B1,
    B2,
    B3,
    FOR_GOOD,
    ORDERS,
    OUTSIDE,
    SNAPSHOT,
    complete,
    registered,
    running,
)

HOUR = timedelta(hours=1)
LATER = NOON + 9 * HOUR
FAILED = BackupFailed(cache=ORDERS, backup_id=B1, attempt=1, failure=OUTSIDE)
GIVEN_UP = BackupAbandoned(cache=ORDERS, backup_id=B1, reason="one attempt")
WINDOW = Occurrence(day=NOON.date(), start="12:00", opens_at=NOON, closes_at=NOON + 2 * HOUR)


def at(hours: float, *events: Event) -> tuple[At, ...]:
    """Events of one hour."""
    return tuple(At(NOON + hours * HOUR, event) for event in events)


def good(hours: float) -> tuple[At, ...]:
    """A backup whose snapshot was taken in that hour."""
    asked, begun, done = complete(B2, name="good")
    taken = replace(SNAPSHOT, taken_at=NOON + hours * HOUR)
    return at(hours, asked, begun, SnapshotTaken(cache=ORDERS, backup_id=B2, snapshot=taken), done)


def told(state: State) -> str | None:
    """What failed, and what has succeeded since."""
    found = last_failure(state, ORDERS, LATER)
    if found is None:
        return None
    return f"{found.what}: {found.why} ({found.since.name if found.since else 'none'})"


def test_nothing_has_failed() -> None:
    """Of a new cache, and of one whose backups are complete, no failure is told."""
    assert told(given(registered())) is None
    assert told(given(registered(), *good(1))) is None


def test_a_failed_attempt_is_told_until_the_next_is_complete() -> None:
    """While a retry waits, and when it was given up, with the reason of both."""
    begun: tuple[Event | At, ...] = (registered(), *at(1, *running(B1, name="bad")))
    assert "bad failed: Nobody listens (none)" == told(given(*begun, *at(1, FAILED)))
    gone = given(*begun, *at(1, FAILED, GIVEN_UP))
    assert "bad failed: Nobody listens; given up: one attempt (none)" == told(gone)


def test_what_has_succeeded_since_is_told() -> None:
    """The first good backup with a later snapshot counts, an earlier one does not."""
    bad = at(3, *running(B1, name="bad"), FAILED, GIVEN_UP)
    assert str(told(given(registered(), *good(2), *bad))).endswith("(none)")
    assert str(told(given(registered(), *bad, *good(4)))).endswith("(good)")


def test_a_missed_window_is_a_failure() -> None:
    """A window that nobody served is told with its day; a later failure is newer."""
    missed = At(NOON + 3 * HOUR, WindowMissed(cache=ORDERS, occurrence=WINDOW, reason="it was off"))
    state = given(registered(), missed)
    assert "window 12:00 of 2026-03-01 was missed: it was off (none)" == told(state)
    after = at(5, *running(B1, name="bad"), FAILED)
    assert str(told(given(*after, state=state))).startswith("bad failed")


def test_a_safety_backup_is_its_restores_business() -> None:
    """A safety backup that failed is told with its restore, not here."""
    events = running(B3, kind="safety")
    failed = BackupFailed(cache=ORDERS, backup_id=B3, attempt=1, failure=FOR_GOOD)
    assert told(given(registered(), *at(1, *events, failed))) is None


def test_a_clock_that_was_ahead_is_passed_over() -> None:
    """What is noted for an instant to come is no failure yet."""
    ahead = given(registered(), *at(90, *running(B1), FAILED))
    assert told(ahead) is None
