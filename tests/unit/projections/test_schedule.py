"""The schedule's queries: what is due, and when to look again (A4-A9)."""

from datetime import UTC, datetime, timedelta

import pytest
from immutables import Map
from msgspec.structs import replace

from daemon.commands import AdvanceSchedule, RequestAutoBackup, StartAttempt
from events.facts import BackupId, CacheName, Policy, Window
from events.types import (
    BackupCompleted,
    BackupRequested,
    CacheReconfigured,
    CacheSuspended,
    PolicySet,
)
from projections.schedule import (
    Agenda,
    Close,
    Miss,
    Open,
    agenda,
    due,
    open_occurrence,
    passed,
    served,
    starts,
)
from projections.state import State
from tests.support.given import At, given, when
from tests.support.samples import (
    B1,
    ORDERS,
    SETTINGS,
    STARTED,
    STORED,
    USERS,
    registered,
    requested,
    running,
)

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NIGHTLY = Policy(auto=True, retries=3, windows=(Window("02:00", 120),))
TWICE = Policy(auto=True, retries=3, windows=(Window("02:00", 120), Window("14:00", 60)))
LONG_DAY = Policy(auto=True, retries=1, windows=(Window("00:00", 1440),))


def by(policy: Policy, *, at: datetime = MIDNIGHT, name: CacheName = ORDERS) -> State:
    """A cache with a policy since an instant."""
    known = At(at, registered(name))
    return given(At(at, STARTED), known, At(at, PolicySet(cache=name, policy=policy)))


def asked(state: State, at: datetime) -> tuple[State, BackupId]:
    """The state in which the scheduler has asked for a backup, and which."""
    then = when(state, AdvanceSchedule(ORDERS), now=at)
    return then.state, next(e.backup_id for e in then.events if isinstance(e, BackupRequested))


def served_at(state: State, at: datetime) -> State:
    """The state in which the scheduler's backup is complete."""
    state, backup_id = asked(state, at)
    state = when(state, StartAttempt(backup_id), now=at).state
    done = BackupCompleted(cache=ORDERS, backup_id=backup_id, stored=STORED)
    return given(At(at, done), state=state)


def kinds(agenda: Agenda) -> list[str]:
    """The steps of an agenda, by their kinds."""
    return [type(step).__name__ for step in agenda.steps]


def test_next_look_is_at_the_instant() -> None:
    """With nothing due the next look is at the next backup's instant, to the second (A5)."""
    state = by(NIGHTLY)

    found = agenda(state, ORDERS, MIDNIGHT)

    assert () == found.steps
    assert found.next_at is not None
    assert MIDNIGHT + 2 * HOUR <= found.next_at <= MIDNIGHT + 3 * HOUR
    assert ["Open"] == kinds(agenda(state, ORDERS, found.next_at))


def test_following_the_next_looks_misses_nothing() -> None:
    """Whoever only looks when told to asks for each occurrence's backup in its own time (A4).

    Ten days, over both a change of the clock and of the month.
    """
    paris = Policy(auto=True, timezone="Europe/Paris", retries=1, windows=TWICE.windows)
    state = by(paris, at=datetime(2026, 3, 25, tzinfo=UTC))
    now, days = datetime(2026, 3, 25, tzinfo=UTC), []
    while now < datetime(2026, 4, 4, tzinfo=UTC):
        found = agenda(state, ORDERS, now)
        if found.steps:
            (step,) = found.steps
            assert isinstance(step, Open)
            assert step.occurrence.opens_at <= now < step.occurrence.closes_at
            days.append(step.occurrence.key)
            state = served_at(state, now)
            found = agenda(state, ORDERS, now)
        assert found.next_at is not None
        assert found.next_at > now
        now = found.next_at

    assert len(days) == len(set(days)) == 20


def test_waiting_backup_is_looked_at_when_its_window_closes() -> None:
    """What waits is looked at again when it may not start any more (A7)."""
    state, backup_id = asked(by(NIGHTLY), MIDNIGHT + 3 * HOUR)
    close = MIDNIGHT + 4 * HOUR

    assert agenda(state, ORDERS, MIDNIGHT + 3 * HOUR).next_at == close
    (step,) = agenda(state, ORDERS, close).steps
    assert isinstance(step, Close)
    assert step.backup.backup_id == backup_id


@pytest.mark.parametrize(
    "policy", [Policy(), Policy(windows=NIGHTLY.windows), Policy(auto=True), None]
)
def test_nothing_is_due_without_windows(policy: Policy | None) -> None:
    """A cache with auto off, without windows or without a policy has no agenda (A1)."""
    state = by(policy) if policy else given(At(MIDNIGHT, registered()))

    assert Agenda() == agenda(state, ORDERS, MIDNIGHT + 10 * DAY)
    assert [] == list(starts(state, ORDERS, MIDNIGHT))


def test_suspended_cache_has_no_agenda_but_what_waits() -> None:
    """A suspended cache's windows count for nothing; what waited is still ended (C3)."""
    gone = CacheSuspended(cache=ORDERS, reason="gone")
    state, _ = asked(by(NIGHTLY), MIDNIGHT + 3 * HOUR)
    state = given(At(MIDNIGHT + 3 * HOUR, gone), state=state)

    assert agenda(state, ORDERS, MIDNIGHT + 3 * HOUR).next_at == MIDNIGHT + 4 * HOUR
    assert ["Close"] == kinds(agenda(state, ORDERS, MIDNIGHT + 9 * DAY))


def test_back_in_service_windows_count_from_then() -> None:
    """What passed while a cache was suspended is no miss (C3)."""
    gone = At(MIDNIGHT + HOUR, CacheSuspended(cache=ORDERS, reason="gone"))
    back = At(MIDNIGHT + 3 * DAY, CacheReconfigured(cache=ORDERS, settings=SETTINGS))
    state = given(gone, back, state=by(NIGHTLY))

    assert [] == kinds(agenda(state, ORDERS, MIDNIGHT + 3 * DAY))
    assert ["Miss"] == kinds(agenda(state, ORDERS, MIDNIGHT + 3 * DAY + 5 * HOUR))


def test_missed_reasons_tell_down_from_held_up() -> None:
    """A miss says whether the daemon was down, or there and held up (A9)."""
    down = given(At(MIDNIGHT + 5 * HOUR, STARTED), state=by(NIGHTLY))
    now = MIDNIGHT + 6 * HOUR

    ((was_down,), (was_held_up,)) = (agenda(s, ORDERS, now).steps for s in (down, by(NIGHTLY)))

    assert isinstance(was_down, Miss)
    assert isinstance(was_held_up, Miss)
    assert was_down.reason == "the daemon was not running"
    assert "held up" in was_held_up.reason


def test_passed_leaves_the_open_one() -> None:
    """Before a policy changes only what has passed is settled; the open one is the new policy's."""
    state = by(NIGHTLY)
    now = MIDNIGHT + DAY + 3 * HOUR

    assert ["Miss", "Open"] == kinds(agenda(state, ORDERS, now))
    assert ["Miss"] == [type(step).__name__ for step in passed(state, ORDERS, now)]


def test_due_tells_of_all_caches() -> None:
    """What is due now is known of all caches at once, in the order of their names."""
    users = [At(MIDNIGHT, registered(USERS)), At(MIDNIGHT, PolicySet(cache=USERS, policy=TWICE))]
    state = given(*users, state=by(NIGHTLY))

    assert [ORDERS, USERS] == [
        step.cache for step in due(state, MIDNIGHT + 3 * HOUR) if isinstance(step, Open)
    ]
    assert () == due(state, MIDNIGHT)


def test_starts_to_come() -> None:
    """The starts of the next three days come in order, each in its own occurrence."""
    coming = list(starts(by(TWICE), ORDERS, MIDNIGHT))

    assert ["02:00", "14:00"] * 3 == [start.occurrence.start for start in coming]
    assert coming == sorted(coming, key=lambda start: start.at)
    assert all(s.occurrence.opens_at <= s.at < s.occurrence.closes_at for s in coming)


def test_starts_hide_what_is_served() -> None:
    """What a backup serves, waiting or complete, is no start to come; the next ones are (A4)."""
    now = MIDNIGHT + 3 * HOUR
    waiting, _ = asked(by(TWICE), now)

    for state in (waiting, served_at(by(TWICE), now)):
        coming = [start.occurrence.key for start in starts(state, ORDERS, now)]
        assert (MIDNIGHT.date(), "14:00") == coming[0]
        assert len(coming) == 6


def test_starts_hide_what_has_no_time() -> None:
    """An occurrence that daylight saving leaves no time is no start to come (A8)."""
    windows = (Window("02:00", 30), Window("02:30", 30))
    at = datetime(2026, 3, 28, 12, tzinfo=UTC)
    state = by(Policy(auto=True, timezone="Europe/Paris", windows=windows), at=at)

    first = next(starts(state, ORDERS, at))

    assert first.occurrence.start == "02:30"


def test_open_occurrence_is_one_that_nobody_serves() -> None:
    """A backup made by command serves the open occurrence, unless something does (A5b)."""
    state, now = by(NIGHTLY), MIDNIGHT + 3 * HOUR
    cache = state.caches[ORDERS]

    assert open_occurrence(state, cache, MIDNIGHT + 2 * HOUR - timedelta(seconds=1)) is None
    assert open_occurrence(state, cache, MIDNIGHT + 4 * HOUR) is None
    assert open_occurrence(served_at(state, now), cache, now + HOUR / 2) is None
    found = open_occurrence(state, cache, MIDNIGHT + 2 * HOUR)
    assert found is not None
    assert found.start == "02:00"


def test_manual_backups_serve_no_occurrence() -> None:
    """A manual backup inside the window does not stand for the scheduled one (A12)."""
    state = given(*(At(MIDNIGHT + 2.5 * HOUR, e) for e in running(B1)), state=by(NIGHTLY))

    assert ["Open"] == kinds(agenda(state, ORDERS, MIDNIGHT + 3 * HOUR))


def test_configuration_does_not_undo_success() -> None:
    """What is complete stays served whatever changes of configuration follow (A6)."""
    state, backup_id = asked(by(LONG_DAY), MIDNIGHT + 12 * HOUR)
    off = PolicySet(cache=ORDERS, policy=Policy())
    again = PolicySet(cache=ORDERS, policy=LONG_DAY)
    state = when(state, StartAttempt(backup_id), now=MIDNIGHT + 12 * HOUR).state
    done = BackupCompleted(cache=ORDERS, backup_id=backup_id, stored=STORED)
    state = given(*(At(MIDNIGHT + 13 * HOUR, e) for e in (done, off, again)), state=state)

    cache = state.caches[ORDERS]
    one = open_occurrence(by(LONG_DAY), cache, MIDNIGHT + 12 * HOUR)
    assert one is not None
    assert served(state, cache, one, MIDNIGHT + 14 * HOUR)


def test_catalog_remembers_what_slots_forget() -> None:
    """A complete backup serves its occurrence also when its slot is forgotten (A4, fault 21)."""
    state = replace(served_at(by(LONG_DAY), MIDNIGHT + 12 * HOUR), slots=Map())
    now = MIDNIGHT + 13 * HOUR

    assert () == agenda(state, ORDERS, now).steps
    assert open_occurrence(state, state.caches[ORDERS], now) is None


def test_agenda_relies_on_its_own_cache() -> None:
    """What other caches do changes nothing in a cache's agenda."""
    now = MIDNIGHT + 3 * HOUR
    alone = agenda(by(NIGHTLY), ORDERS, now)
    busy = given(registered(USERS), *running(B1, cache=USERS), state=by(NIGHTLY))

    assert alone == agenda(busy, ORDERS, now)


def test_manual_backup_that_waits_is_left_alone() -> None:
    """A manual backup has no window, and is never ended by the schedule (M2)."""
    state = given(requested(B1), state=by(NIGHTLY))

    assert ["Miss"] * 7 + ["Open"] == kinds(agenda(state, ORDERS, MIDNIGHT + 30 * DAY + 3 * HOUR))


def test_command_inside_a_window_leaves_nothing_due() -> None:
    """While a backup made by command serves the open occurrence nothing is due (A5b)."""
    now = MIDNIGHT + 2 * HOUR
    state = when(by(NIGHTLY), RequestAutoBackup("orders"), now=now).state

    found = agenda(state, ORDERS, MIDNIGHT + 2.9 * HOUR)

    assert () == found.steps
    assert found.next_at == now + HOUR
