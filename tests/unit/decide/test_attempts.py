"""Deciding on attempts: rules M3, R4, A6, A7 and S1, and reports that come too late."""

from datetime import datetime, timedelta

import pytest

from daemon.commands import (
    RemoveCache,
    Report,
    ReportAttemptFailed,
    ReportSnapshot,
    ReportStored,
    ReportSwept,
    StartAttempt,
)
from daemon.decide.attempts import LAST_CALL, next_attempt
from daemon.errors import Rejected
from events.facts import BackupName, Occurrence, Policy, Window
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCompleted,
    BackupFailed,
    BackupRequested,
    CacheSuspended,
    Event,
    LeftoversSwept,
    PolicySet,
    RetryScheduled,
    SnapshotTaken,
)
from projections.catalog import Backup
from projections.state import State
from tests.support.given import NOON, after, an_id, given, may_start, refused, when
from tests.support.samples import (
    B1,
    B2,
    FOR_GOOD,
    MAIN,
    ORDERS,
    OUTSIDE,
    SNAPSHOT,
    STORED,
    abandoned,
    attempted,
    complete,
    registered,
    requested,
    running,
    swept,
    under_way,
)

CACHES = given(registered())
RUNNING = given(*running(), state=CACHES)
OURS = ReportAttemptFailed(B1, OUTSIDE, by_daemon=True)
THEIRS = ReportAttemptFailed(B1, OUTSIDE)


def kinds(events: tuple[Event, ...]) -> list[type[Event]]:
    """The types of events, in order."""
    return [type(event) for event in events]


def test_attempt_is_recorded_before_it_works() -> None:
    """The start of an attempt names the backup, its number and its vault (S1)."""
    assert (attempted(),) == when(given(requested(), state=CACHES), StartAttempt(B1)).events


def test_whole_attempt() -> None:
    """An attempt goes from its start over the snapshot to the completed backup."""
    then = when(RUNNING, ReportSnapshot(B1, SNAPSHOT))
    assert (SnapshotTaken(cache=ORDERS, backup_id=B1, snapshot=SNAPSHOT),) == then.events

    then = when(then.state, ReportStored(B1, STORED))
    assert (BackupCompleted(cache=ORDERS, backup_id=B1, stored=STORED),) == then.events


def test_manual_backup_has_one_attempt() -> None:
    """A manual backup whose attempt fails outside is abandoned, and says why (M3)."""
    then = when(RUNNING, THEIRS)

    (failed, end) = then.events
    assert failed == BackupFailed(cache=ORDERS, backup_id=B1, attempt=1, failure=OUTSIDE)
    assert isinstance(end, BackupAbandoned)
    assert "one attempt" in end.reason


def test_daemons_own_fault_gives_one_more_attempt() -> None:
    """An attempt that failed by the daemon's fault is followed by another, at once (M3)."""
    then = when(RUNNING, OURS, now=NOON)

    failed = BackupFailed(cache=ORDERS, backup_id=B1, attempt=1, failure=OUTSIDE, cause="daemon")
    assert (failed, RetryScheduled(cache=ORDERS, backup_id=B1, retry_at=NOON)) == then.events


@pytest.mark.parametrize("second", [OURS, THEIRS])
def test_there_is_no_third_attempt(second: ReportAttemptFailed) -> None:
    """A second attempt is the last one, whoever is to blame for its failure (M3)."""
    again = after(RUNNING, OURS, ReportSwept(B1), StartAttempt(B1))

    assert [BackupFailed, BackupAbandoned] == kinds(when(again, second).events)


def test_safety_backup_has_one_attempt() -> None:
    """A safety backup has one attempt, even if the daemon is to blame (R4)."""
    state = given(*complete(B2), *under_way(B2), *running(B1, kind="safety"), state=CACHES)

    (_, end) = when(state, OURS).events

    assert isinstance(end, BackupAbandoned)
    assert "safety backup has one attempt" in end.reason


def test_permanent_failure_says_so() -> None:
    """A backup that is abandoned for a permanent failure says that this is the reason (A6)."""
    (_, end) = when(RUNNING, ReportAttemptFailed(B1, FOR_GOOD)).events

    assert isinstance(end, BackupAbandoned)
    assert "permanent" in end.reason


def test_next_attempt_waits_for_the_sweep() -> None:
    """Another attempt starts only when what the last one left is swept (S1)."""
    failed = after(RUNNING, OURS)
    assert refused(failed, StartAttempt(B1)).code == "not-now"

    (event,) = when(after(failed, ReportSwept(B1)), StartAttempt(B1)).events
    assert event == attempted(attempt=2)


def test_running_attempt_is_not_started_again() -> None:
    """At most one attempt of a backup is under way (A7)."""
    assert refused(RUNNING, StartAttempt(B1)).code == "not-now"


def test_attempt_waits_for_its_cache() -> None:
    """An attempt does not start while another backup of its cache runs, and says which (R8)."""
    error = refused(given(requested(B2), state=RUNNING), StartAttempt(B2))

    assert error.code == "not-now"
    assert "backup-b1" in error.message


DAY = timedelta(days=1)


def auto_running(
    *, retries: int = 3, policy: bool = True, until: datetime = NOON + DAY, attempt: int = 1
) -> State:
    """An auto backup whose attempt is under way, by a policy with so many retries."""
    window = Occurrence(NOON.date(), "11:00", NOON - timedelta(hours=1), until)
    asked = BackupRequested(
        cache=ORDERS,
        backup_id=B1,
        kind="auto",
        name=BackupName("auto"),
        vault=MAIN,
        occurrence=window,
        start_before=until,
    )
    rule = Policy(auto=policy, retries=retries, windows=(Window("11:00", 1440),))
    set_to = PolicySet(cache=ORDERS, policy=rule)
    return given(set_to, asked, attempted(attempt=attempt), state=CACHES)


def given_up(state: State, report: Report, now: datetime = NOON) -> str:
    """Why a backup is abandoned when its attempt ends so."""
    (_, end) = when(state, report, now=now).events
    assert isinstance(end, BackupAbandoned)
    return end.reason


def retried(state: State, report: Report = THEIRS, now: datetime = NOON) -> datetime:
    """When a backup is tried again whose attempt ends so."""
    (_, retry) = when(state, report, now=now).events
    assert isinstance(retry, RetryScheduled)
    return retry.retry_at


def test_three_reasons_to_abandon() -> None:
    """The log tells apart: no attempt left, too late for the window, permanent (A6)."""
    last, late = auto_running(attempt=4), auto_running(until=NOON)

    assert "no attempt is left" in given_up(last, THEIRS)
    assert "too late: its window closed" in given_up(late, THEIRS)
    assert "permanent" in given_up(auto_running(), ReportAttemptFailed(B1, FOR_GOOD))


@pytest.mark.parametrize("retries", range(11))
def test_attempts_are_one_and_the_retries(retries: int) -> None:
    """There are one attempt and up to `retries` more, not one beyond (A3, A6)."""
    made, state = 0, auto_running(retries=retries)
    while True:
        made += 1
        then = when(state, THEIRS, now=NOON)
        if isinstance(then.events[-1], BackupAbandoned):
            break
        state = after(then.state, ReportSwept(B1))
        state = when(state, StartAttempt(B1), now=NOON + 2 * timedelta(hours=1)).state

    assert made == 1 + retries


def test_delay_grows_to_an_hour() -> None:
    """Each retry comes after twice the delay of the one before, an hour at most (A6)."""
    waits = [retried(auto_running(retries=10, attempt=n)) - NOON for n in range(1, 11)]

    for number, wait in enumerate(waits):
        least = timedelta(seconds=min(3600, 60 * 2**number))
        assert least <= wait <= 1.25 * least


def test_delay_is_spread() -> None:
    """Backups that fail together do not come back together (A6)."""
    ends = set()
    for number in range(100):
        backup = Backup(
            backup_id=an_id(number),
            cache=ORDERS,
            kind="auto",
            name=BackupName("auto"),
            vault=MAIN,
            requested_at=NOON,
            requested_by="scheduler",
            start_before=NOON + DAY,
            attempts=5,
        )
        ends.add(next_attempt(backup, NOON))

    assert len(ends) > 70


def test_decided_instant_is_recorded() -> None:
    """The event holds the instant of the retry, and no attempt starts before it (A6)."""
    then = when(auto_running(), THEIRS, now=NOON)
    at = retried(auto_running())
    state = after(then.state, ReportSwept(B1))

    assert state.catalog[ORDERS][B1].not_before == at
    early = at - timedelta(microseconds=1)
    with pytest.raises(Rejected, match="retry is due"):
        when(state, StartAttempt(B1), now=early)
    assert [AttemptStarted] == kinds(when(state, StartAttempt(B1), now=at).events)


def test_last_call_before_the_window_closes() -> None:
    """A retry that its delay would carry past the window is made shortly before its end (A6)."""
    soon = NOON + timedelta(seconds=40)

    assert retried(auto_running(until=soon)) == soon - LAST_CALL
    assert retried(auto_running(until=NOON + LAST_CALL / 2)) == NOON + LAST_CALL / 8
    for seconds in range(1, 200):
        until = NOON + timedelta(seconds=seconds)
        assert NOON < retried(auto_running(until=until)) < until


def test_retry_is_never_at_the_windows_end() -> None:
    """A window that closes at the very instant of the failure leaves no retry (A6)."""
    assert "too late" in given_up(auto_running(until=NOON), THEIRS)
    assert retried(auto_running(until=NOON + timedelta(microseconds=1))) == NOON


def test_cut_off_counts_as_an_attempt() -> None:
    """An attempt that the daemon is to blame for is one of the policy's, no extra one (A6)."""
    assert "no attempt is left" in given_up(auto_running(retries=0), OURS)
    assert retried(auto_running(retries=1), OURS) > NOON


def test_running_attempt_outlives_auto() -> None:
    """An attempt that runs when auto is turned off may complete, and is not retried (A1)."""
    state = auto_running(policy=False)

    assert [BackupCompleted] == kinds(when(state, ReportStored(B1, STORED)).events)
    assert "off" in given_up(state, THEIRS)


def test_retry_of_a_suspended_cache_is_not_lost() -> None:
    """A failure while the cache is suspended is retried, when the cache is back (C3, A6)."""
    gone = CacheSuspended(cache=ORDERS, reason="gone")
    state = given(gone, state=auto_running())

    then = when(state, THEIRS, now=NOON)

    assert [BackupFailed, RetryScheduled] == kinds(then.events)
    assert not may_start(after(then.state, ReportSwept(B1)), B1)


def test_failed_attempt_is_swept_once() -> None:
    """A sweep is recorded once, and frees nothing that is still needed (S1)."""
    failed = given(*abandoned(), state=CACHES)

    then = when(failed, ReportSwept(B1))

    assert (LeftoversSwept(cache=ORDERS, backup_id=B1),) == then.events
    assert refused(then.state, ReportSwept(B1)).code == "superseded"


def test_running_attempt_is_not_swept() -> None:
    """A report of a sweep under a running attempt is refused (S1)."""
    assert refused(RUNNING, ReportSwept(B1)).code == "superseded"


LATE: list[Report] = [
    ReportSnapshot(B1, SNAPSHOT),
    ReportStored(B1, STORED),
    OURS,
    THEIRS,
]


@pytest.mark.parametrize("report", LATE, ids=lambda report: type(report).__name__)
def test_late_reports_change_nothing(report: Report) -> None:
    """A report on an attempt that is no longer wanted is refused as superseded."""
    over = {
        "waiting": given(requested(), state=CACHES),
        "complete": given(*complete(), state=CACHES),
        "failed": given(*abandoned(), state=CACHES),
        "swept": given(*abandoned(), swept(), state=CACHES),
        "removed": after(RUNNING, RemoveCache("orders")),
        "unknown": CACHES,
    }
    for state in over.values():
        error = refused(state, report)
        assert (Rejected, "superseded") == (type(error), error.code)
