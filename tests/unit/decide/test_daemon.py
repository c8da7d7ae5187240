"""Deciding on the daemon's coming and going: rules A6, M3, R7, and a log that does not grow."""

from datetime import datetime, timedelta

from daemon.commands import ReportSwept, StartAttempt, StartDaemon, StopDaemon
from daemon.errors import Rejected
from events.facts import (
    BackupName,
    CacheName,
    InstallationId,
    Occurrence,
    Policy,
    Window,
    cache_stream,
)
from events.types import (
    BackupAbandoned,
    BackupFailed,
    BackupRequested,
    DaemonStarted,
    DaemonStopped,
    Event,
    PolicySet,
    RestoreFailed,
    RestoreInterrupted,
    RetryScheduled,
)
from projections.state import State
from projections.work import BackupWork, SweepWork, UndoWork, outstanding
from tests.support.given import NOON, At, after, given, refused, when
from tests.support.samples import (
    B1,
    B2,
    HERE,
    MAIN,
    ORDERS,
    OUTSIDE,
    R1,
    STARTED,
    USERS,
    abandoned,
    attempted,
    complete,
    registered,
    requested,
    restoring,
    running,
    under_way,
)

START = StartDaemon(HERE, "0.1.0")
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
UP = given(At(NOON, STARTED), registered(), registered(USERS))


def test_start_is_recorded() -> None:
    """The first command of a run records whose log it is and by which version it is written."""
    assert (STARTED,) == when(given(), START).events


def test_restarts_within_a_minute_are_not_recorded() -> None:
    """A start within a minute of the last recorded one grows no log; the next one does."""
    state = given(At(NOON, STARTED))

    assert () == when(state, START, now=NOON + 59 * SECOND).events
    assert (STARTED,) == when(state, START, now=NOON + 60 * SECOND).events


def test_clock_that_went_back_does_not_hide_a_start() -> None:
    """A start before the last recorded one is recorded: the clock has been set back."""
    assert (STARTED,) == when(given(At(NOON, STARTED)), START, now=NOON - SECOND).events


def test_stop_is_recorded_once() -> None:
    """A stop is recorded after a recorded start, and not again without another."""
    then = when(UP, StopDaemon("SIGTERM"))

    assert (DaemonStopped(reason="SIGTERM"),) == then.events
    assert () == when(then.state, StopDaemon("SIGTERM")).events
    assert () == when(given(), StopDaemon("SIGTERM")).events


def test_log_of_another_installation_is_refused() -> None:
    """A daemon does not write to the log of another installation."""
    error = refused(UP, StartDaemon(InstallationId("another"), "0.1.0"))

    assert (Rejected, "other-installation") == (type(error), error.code)


def test_attempt_that_was_cut_off_has_failed() -> None:
    """Recording that a running attempt was cut off is the first thing decided on start (A6)."""
    now = NOON + timedelta(hours=1)

    (started, failed, retry) = when(given(*running(), state=UP), START, now=now).events

    assert isinstance(started, DaemonStarted)
    assert isinstance(failed, BackupFailed)
    assert ("daemon", "interrupted") == (failed.cause, failed.failure.code)
    assert retry == RetryScheduled(cache=ORDERS, backup_id=B1, retry_at=now)


def test_cut_off_is_recorded_even_when_the_start_is_not() -> None:
    """In a restart loop attempts that were cut off are settled, though no start is recorded."""
    then = when(given(*running(), state=UP), START, now=NOON + SECOND)

    assert [BackupFailed, RetryScheduled] == [type(event) for event in then.events]
    assert [SweepWork(B1, ORDERS)] == list(outstanding(then.state))


def test_second_attempt_that_is_cut_off_is_the_last() -> None:
    """The daemon's own end gives one more attempt, not one for each end (M3)."""
    state = after(given(*running(), state=UP), START, ReportSwept(B1), StartAttempt(B1))

    (failed, end) = when(state, START).events

    assert isinstance(failed, BackupFailed)
    assert failed.attempt == 2
    assert isinstance(end, BackupAbandoned)


def auto_running(*, until: datetime, cache: CacheName = ORDERS) -> tuple[Event, ...]:
    """An auto backup with one retry, whose attempt is under way."""
    backup_id = {ORDERS: B1, USERS: B2}[cache]
    window = Occurrence(NOON.date(), "12:00", NOON, until)
    asked = BackupRequested(
        cache=cache,
        backup_id=backup_id,
        kind="auto",
        name=BackupName("auto"),
        vault=MAIN,
        occurrence=window,
        start_before=until,
    )
    rule = PolicySet(cache=cache, policy=Policy(auto=True, retries=1))
    return (rule, asked, attempted(backup_id, cache=cache))


def test_auto_backup_that_was_cut_off_is_tried_again() -> None:
    """Recording the cut is the first thing decided; the retry comes after its delay (A6)."""
    state = given(*auto_running(until=NOON + HOUR), state=UP)

    (_, cut, retry) = when(state, START, now=NOON + HOUR / 2).events

    assert isinstance(cut, BackupFailed)
    assert isinstance(retry, RetryScheduled)
    assert NOON + HOUR / 2 < retry.retry_at < NOON + HOUR


def test_auto_backup_that_was_cut_off_too_late_is_abandoned() -> None:
    """A daemon that comes back when the window is over abandons what was cut off (A6, A9)."""
    state = given(*auto_running(until=NOON + HOUR), state=UP)

    (_, _, end) = when(state, START, now=NOON + HOUR).events

    assert isinstance(end, BackupAbandoned)
    assert "window closed" in end.reason


def test_restart_loop_uses_up_the_attempts() -> None:
    """A daemon that dies in each attempt gives the backup up after the last (A6)."""
    state = given(*auto_running(until=NOON + HOUR), state=UP)
    state = when(state, START, now=NOON + 2 * MINUTE).state
    state = when(state, ReportSwept(B1), now=NOON + 3 * MINUTE).state
    state = when(state, StartAttempt(B1), now=NOON + 4 * MINUTE).state

    (_, _, end) = when(state, START, now=NOON + 6 * MINUTE).events

    assert isinstance(end, BackupAbandoned)
    assert "no attempt is left" in end.reason


def test_one_start_settles_all_that_was_cut_off() -> None:
    """What was cut off in several caches is settled in the commit of the start (A6)."""
    late = auto_running(until=NOON + HOUR, cache=USERS)
    state = given(*auto_running(until=NOON + DAY), *late, state=UP)

    then = when(state, START, now=NOON + 2 * HOUR)

    assert [DaemonStarted, BackupFailed, RetryScheduled, BackupFailed, BackupAbandoned] == [
        type(event) for event in then.events
    ]
    assert {cache_stream(ORDERS), cache_stream(USERS)} < set(then.decision.streams)


def test_start_decides_nothing_on_windows() -> None:
    """A start settles what was cut off; misses and openings are the scheduler's (A9)."""
    rule = Policy(auto=True, windows=(Window("12:00", 60),))
    state = given(PolicySet(cache=ORDERS, policy=rule), state=UP)

    assert [STARTED] == list(when(state, START, now=NOON + 3 * DAY).events)


def test_start_leaves_everything_else_alone() -> None:
    """Backups that wait, are complete or have failed are not touched by a restart."""
    state = given(requested(B1), *complete(B2), *abandoned(), state=UP)

    assert () == when(state, START, now=NOON + SECOND).events


def test_restore_that_changed_nothing_has_failed() -> None:
    """A restore that was cut off before its start is over, and never run by itself (R7)."""
    state = given(*complete(), restoring(to=USERS), state=UP)

    (end,) = when(state, START, now=NOON + SECOND).events

    assert isinstance(end, RestoreFailed)
    assert ("interrupted", True) == (end.failure.code, end.undone)


def test_restore_that_was_cut_off_is_undone() -> None:
    """What is outstanding of a restore that was cut off is to undo it (R7)."""
    state = given(*complete(), *under_way(to=USERS), state=UP)

    then = when(state, START, now=NOON + SECOND)

    (event,) = then.events
    assert isinstance(event, RestoreInterrupted)
    assert [UndoWork(R1, USERS)] == list(outstanding(then.state))


def test_undoing_goes_on_after_a_restart() -> None:
    """An undoing that was cut off goes on, and the log does not repeat what it knows (R7)."""
    state = given(
        *complete(),
        *under_way(to=USERS),
        RestoreInterrupted(cache=USERS, restore_id=R1, failure=OUTSIDE),
        state=UP,
    )

    assert () == when(state, START, now=NOON + SECOND).events


def test_safety_backup_ends_with_its_restore() -> None:
    """A safety backup that waited or ran when the daemon ended is over with its restore (R7)."""
    for backup in ((requested(B2, kind="safety"),), running(B2, kind="safety")):
        state = given(*complete(B1), *under_way(B1), *backup, state=UP)
        then = when(state, START, now=NOON + SECOND)
        assert [BackupFailed, BackupAbandoned, RestoreInterrupted] == [
            type(event) for event in then.events
        ]
        assert BackupWork(B2, ORDERS, safety=True) not in outstanding(then.state)


def started_every_two_seconds(state: State, times: int) -> State:
    """The state after a restart loop."""
    for number in range(times):
        now = NOON + timedelta(seconds=2 * number + 1)
        state = when(state, START, now=now).state
        state = when(state, StopDaemon("SIGTERM"), now=now).state
    return state


def test_restart_loop_does_not_grow_the_log() -> None:
    """A thousand restarts in two thousand seconds add one start and one stop a minute."""
    state = given(*running(B1), *complete(B2, cache=USERS), *under_way(B2, to=USERS), state=UP)

    after_loop = started_every_two_seconds(state, 1000)

    settled = 3  # the attempt that was cut off, its retry, and the restore to be undone
    assert after_loop.position - state.position <= settled + 2 * (2000 // 60 + 1)
