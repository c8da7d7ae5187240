"""Deciding on attempts: rules M3, R4, A7 and S1, and reports that come too late."""

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
from daemon.errors import Rejected
from events.types import (
    BackupAbandoned,
    BackupCompleted,
    BackupFailed,
    Event,
    LeftoversSwept,
    RetryScheduled,
    SnapshotTaken,
)
from tests.support.given import NOON, after, given, refused, when
from tests.support.samples import (
    B1,
    B2,
    FOR_GOOD,
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
