"""Deciding on auto backups: rules A1 and A4 to A9, as stories and one by one."""

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import Struct, convert

from daemon.commands import (
    AdvanceSchedule,
    DeclaredCache,
    ReconcileCaches,
    RequestAutoBackup,
    StartAttempt,
)
from daemon.decide.schedule import WITHIN
from daemon.errors import NotFound
from events.codec import encode
from events.facts import CacheName, Policy, Window, cache_stream
from events.types import (
    BackupDeferred,
    BackupRequested,
    BackupSkipped,
    CacheSuspended,
    PolicySet,
    WindowMissed,
)
from projections.catalog import Backup
from projections.schedule import agenda
from projections.state import State
from tests.support.chronicle import Chronicle
from tests.support.given import At, given, may_start, refused, when
from tests.support.samples import (
    B1,
    B2,
    FILE,
    MAIN,
    ORDERS,
    SETTINGS,
    STARTED,
    USERS,
    registered,
    requested,
    running,
)

DATA = Path(__file__).parents[2] / "data" / "schedule"
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LOOK = AdvanceSchedule(ORDERS)
NIGHTLY = Policy(auto=True, retries=3, windows=(Window("02:00", 120),))
PARIS = Policy(
    auto=True, timezone="Europe/Paris", windows=(Window("02:00", 30), Window("02:30", 30))
)


class Case(Struct, frozen=True):
    """One golden story, and why it goes as it goes."""

    name: str
    why: str
    story: str
    declared: bool = False


CASES = convert(tomllib.loads((DATA / "stories.toml").read_text())["case"], list[Case])


def by(policy: Policy, *caches: CacheName, at: datetime = MIDNIGHT) -> State:
    """Caches that have a policy since an instant, and a daemon that is up since then."""
    events = [At(at, STARTED)]
    for name in caches or (ORDERS,):
        events += [At(at, registered(name)), At(at, PolicySet(cache=name, policy=policy))]
    return given(*events)


def asked(state: State, at: datetime) -> BackupRequested:
    """What the scheduler asks for, first of all, at an instant."""
    event = when(state, LOOK, now=at).events[0]
    assert isinstance(event, BackupRequested)
    return event


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden_stories(case: Case) -> None:
    """What is decided on a cache's auto backups is what the file says, for its reason (A1-A9)."""
    told = Chronicle(declared=case.declared).tell(case.story)

    assert case.story.strip() == told, case.why


def test_occurrence_and_deadline_are_recorded() -> None:
    """The request holds its occurrence and until when it may start, whatever follows (A6)."""
    event = asked(by(NIGHTLY), MIDNIGHT + 3 * HOUR)

    assert event.kind == "auto"
    assert event.vault == MAIN
    assert event.occurrence is not None
    assert (MIDNIGHT.date(), "02:00") == event.occurrence.key
    assert (MIDNIGHT + 2 * HOUR, MIDNIGHT + 4 * HOUR) == (
        event.occurrence.opens_at,
        event.occurrence.closes_at,
    )
    assert event.start_before == MIDNIGHT + 4 * HOUR


def test_restart_gives_the_same_instant() -> None:
    """The next look is at the same second before and after a restart (A5)."""
    state = by(NIGHTLY)
    restarted = given(At(MIDNIGHT + HOUR, STARTED), state=state)

    first = agenda(state, ORDERS, MIDNIGHT).next_at
    assert first is not None
    assert first == agenda(restarted, ORDERS, MIDNIGHT + HOUR).next_at
    assert () == when(restarted, LOOK, now=first - timedelta(microseconds=1)).events
    assert asked(restarted, first).occurrence == asked(state, first).occurrence


def test_deciding_twice_asks_once() -> None:
    """A second look at the same instant finds nothing to do (A4)."""
    then = when(by(NIGHTLY), LOOK, now=MIDNIGHT + 3 * HOUR)

    assert [BackupRequested] == [type(event) for event in then.events]
    assert () == when(then.state, LOOK, now=MIDNIGHT + 3 * HOUR).events


def test_one_commit_closes_misses_and_opens() -> None:
    """All that a long sleep left is one commit: the end of what waited, misses, the open one (A9).

    What ends in the same commit is in nobody's way.
    """
    at = MIDNIGHT + 3 * HOUR
    state = when(by(NIGHTLY), LOOK, now=at).state

    then = when(state, LOOK, now=at + timedelta(days=3))

    assert [BackupSkipped, WindowMissed, WindowMissed, BackupRequested] == [
        type(event) for event in then.events
    ]
    assert (cache_stream(ORDERS),) == then.decision.streams


def test_at_most_seven_days_are_missed() -> None:
    """A year of absence leaves as many misses as the last seven days had windows (A9)."""
    policy = Policy(auto=True, windows=(Window("02:00", 60), Window("14:00", 60)))

    events = when(by(policy), LOOK, now=MIDNIGHT + timedelta(days=365, hours=13)).events

    assert len(events) == 14
    assert all(isinstance(event, WindowMissed) for event in events)


def test_there_is_no_burst() -> None:
    """After any absence one backup at most is asked for of each cache (A9)."""
    ring = Policy(auto=True, windows=tuple(Window(f"{h:02}:00", 60) for h in range(24)))
    state = by(ring)

    for hours in (1, 5, 24, 24 * 6, 24 * 100):
        events = when(state, LOOK, now=MIDNIGHT + hours * HOUR + 0.95 * HOUR).events
        assert sum(isinstance(event, BackupRequested) for event in events) == 1


def test_names_are_free() -> None:
    """An auto backup whose name a manual one has gets a number behind it (M1)."""
    first, second = "auto-20260301-0200", "auto-20260301-0200-2"
    state = given(requested(B1, name=first), requested(B2, name=second), state=by(NIGHTLY))

    assert asked(state, MIDNIGHT + 3 * HOUR).name == "auto-20260301-0200-3"


def test_ids_of_one_commit_differ() -> None:
    """Backups that one commit asks for have ids of their own, of several caches too."""
    state = by(PARIS, ORDERS, USERS, at=datetime(2026, 3, 28, tzinfo=UTC))
    file = ReconcileCaches(
        tuple(DeclaredCache(name, SETTINGS, NIGHTLY) for name in (ORDERS, USERS)), FILE
    )
    three = Policy(
        auto=True,
        timezone="Europe/Paris",
        windows=(Window("02:00", 15), Window("02:15", 15), Window("02:30", 15)),
    )

    now = datetime(2026, 3, 29, 1, tzinfo=UTC)
    of_two_caches = when(state, file, now=now).events
    of_one = when(by(three, at=datetime(2026, 3, 28, tzinfo=UTC)), LOOK, now=now).events

    for events in (of_two_caches, of_one):
        ids = [event.backup_id for event in events if isinstance(event, BackupRequested)]
        assert len(ids) == len(set(ids)) == 2


def test_at_most_one_is_in_progress() -> None:
    """While a cache's auto backup runs its next one does not start (A7)."""
    halves = Policy(auto=True, windows=(Window("00:00", 720), Window("12:00", 720)))
    then = when(by(halves), LOOK, now=MIDNIGHT + 11 * HOUR)
    first = asked(by(halves), MIDNIGHT + 11 * HOUR).backup_id
    state = when(then.state, StartAttempt(first), now=MIDNIGHT + 11 * HOUR).state

    then = when(state, LOOK, now=MIDNIGHT + 23 * HOUR)

    (second, deferred) = then.events
    assert isinstance(second, BackupRequested)
    assert isinstance(deferred, BackupDeferred)
    assert "has to end first" in deferred.reason
    assert not may_start(then.state, second.backup_id)


def test_reasons_fit_for_a_person() -> None:
    """A deferral names the backup in the way by its name, not by its id (A7)."""
    state = given(*running(name="before-deploy"), state=by(NIGHTLY))

    (_, deferred) = when(state, LOOK, now=MIDNIGHT + 3 * HOUR).events

    assert isinstance(deferred, BackupDeferred)
    assert "before-deploy" in deferred.reason


def test_by_command_starts_within_an_hour() -> None:
    """A backup made by command may start, retries included, for an hour and no longer (A5b)."""
    now = MIDNIGHT + 12 * HOUR

    (event,) = when(by(NIGHTLY), RequestAutoBackup("orders"), now=now).events

    assert isinstance(event, BackupRequested)
    assert (None, now + WITHIN) == (event.occurrence, event.start_before)
    assert (timedelta(hours=1), "auto") == (WITHIN, event.kind)


def test_by_command_serves_what_was_given_up() -> None:
    """An occurrence that was given up is served by command while it is open (A5b)."""
    story = Chronicle()
    story.tell(
        """
2026-03-01 00:00:00  policy 02:00+2h retries 3
2026-03-01 03:00:00  look
2026-03-01 03:00:01  begin auto-20260301-0200
2026-03-01 03:00:10  fails auto-20260301-0200 for good
"""
    )

    (event,) = when(story.state, RequestAutoBackup("orders"), now=MIDNIGHT + 3.5 * HOUR).events

    assert isinstance(event, BackupRequested)
    assert event.occurrence is not None
    assert event.occurrence.start == "02:00"


def test_by_command_needs_a_cache_in_service() -> None:
    """An unknown cache, a suspended one and one with auto off get none by command (A5b, C3)."""
    suspended = given(CacheSuspended(cache=ORDERS, reason="gone"), state=by(NIGHTLY))
    off = by(Policy(windows=NIGHTLY.windows))

    assert isinstance(refused(off, RequestAutoBackup("nobody")), NotFound)
    assert refused(suspended, RequestAutoBackup("orders")).code == "cache-suspended"
    assert refused(off, RequestAutoBackup("orders")).code == "auto-off"
    assert refused(given(registered()), RequestAutoBackup("orders")).code == "auto-off"


def test_nothing_is_due_of_an_unknown_cache() -> None:
    """A look at a cache that has been removed meanwhile finds nothing."""
    assert () == when(given(), LOOK).events


def test_clock_before_the_log_decides_nothing() -> None:
    """Before the log's first record nothing is decided, and the next look is at that (fault 26)."""
    state = by(NIGHTLY)
    early = datetime(1970, 1, 1, 3, tzinfo=UTC)

    assert () == when(state, LOOK, now=early).events
    assert agenda(state, ORDERS, early).next_at == MIDNIGHT


def test_same_decision_for_ever() -> None:
    """The same state and instant give the same bytes, ids included."""
    state = by(PARIS, at=datetime(2026, 3, 20, tzinfo=UTC))
    now = datetime(2026, 3, 29, 1, tzinfo=UTC)

    first, second = (when(state, LOOK, now=now, new_id="a" * 26).events for _ in range(2))

    assert len(first) > 5
    assert [encode(event) for event in first] == [encode(event) for event in second]


def test_fold_keeps_the_story() -> None:
    """The catalog tells why a backup waits, and why it was skipped (A7)."""
    state = given(*running(name="big"), state=by(NIGHTLY))
    then = when(state, LOOK, now=MIDNIGHT + 3 * HOUR)
    waiting = _auto(then.state)
    skipped = _auto(when(then.state, LOOK, now=MIDNIGHT + 4 * HOUR).state)

    assert ("waiting", None) == (waiting.phase, waiting.abandoned)
    assert "big" in (waiting.deferred or "")
    assert skipped.phase == "skipped"
    assert "its window closed first" in (skipped.abandoned or "")


def _auto(state: State) -> Backup:
    (found,) = [b for b in state.catalog[ORDERS].values() if b.kind == "auto"]
    return found
