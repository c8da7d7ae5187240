"""Outstanding work, and which of it may start."""

from datetime import datetime, timedelta

from events.facts import BackupId, BackupName, Occurrence
from events.types import (
    BackupFailed,
    BackupRequested,
    BackupSkipped,
    CacheReconfigured,
    CacheSuspended,
    DeletionRequested,
    RestoreInterrupted,
    RetryScheduled,
)
from projections.state import State
from projections.work import (
    BackupWork,
    DeletionWork,
    RestoreWork,
    SweepWork,
    UndoWork,
    Work,
    next_instant,
    outstanding,
    ready,
    waits_for,
)
from tests.support.given import NOON, an_id, given
from tests.support.samples import (
    B1,
    B2,
    B3,
    MAIN,
    ORDERS,
    OUTSIDE,
    R1,
    SETTINGS,
    SOON,
    USERS,
    abandoned,
    attempted,
    complete,
    registered,
    requested,
    restoring,
    running,
    swept,
    under_way,
)

CACHES = given(registered(), registered(USERS))
failed = BackupFailed(cache=ORDERS, backup_id=B1, attempt=1, failure=OUTSIDE)
retry = RetryScheduled(cache=ORDERS, backup_id=B1, retry_at=SOON)
to_go = DeletionRequested(cache=ORDERS, backup_id=B1, reason="command")


def starts(state: State, work: Work) -> bool:
    """Whether the work may start at noon."""
    assert work in outstanding(state)
    return ready(state, work, NOON)


def waits(state: State, backup_id: BackupId) -> str:
    """Why a backup of `orders` waits."""
    reason = waits_for(state, state.catalog[ORDERS][backup_id], NOON)
    assert reason is not None
    return reason


def test_nothing_is_outstanding_when_all_has_ended() -> None:
    """Complete backups and swept failures are no work."""
    state = given(*complete(B1), *abandoned(B2), swept(B2), state=CACHES)

    assert [] == list(outstanding(state))


def test_each_kind_of_work_is_found() -> None:
    """What waits or runs is to be made, what failed swept, what goes deleted, and so on."""
    state = given(
        requested(an_id(1)),
        *abandoned(an_id(2)),
        *complete(B1),
        to_go,
        *complete(B2),
        *under_way(B2, to=USERS),
        state=CACHES,
    )

    assert [
        BackupWork(an_id(1), ORDERS),
        SweepWork(an_id(2), ORDERS),
        DeletionWork(B1, ORDERS),
        RestoreWork(R1, USERS),
    ] == list(outstanding(state))


def test_work_does_not_depend_on_who_does_it() -> None:
    """A backup that runs is outstanding as it was before: a restart finds it again."""
    waiting, busy = given(requested(), state=CACHES), given(*running(), state=CACHES)

    assert list(outstanding(waiting)) == list(outstanding(busy)) == [BackupWork(B1, ORDERS)]


def test_interrupted_restore_is_undone() -> None:
    """What is outstanding of an interrupted restore is to undo it, not to go on (R7)."""
    broken = RestoreInterrupted(cache=USERS, restore_id=R1, failure=OUTSIDE)
    state = given(*complete(), *under_way(to=USERS), broken, state=CACHES)

    assert [UndoWork(R1, USERS)] == list(outstanding(state))
    assert starts(state, UndoWork(R1, USERS))


def test_failed_attempt_is_swept_before_the_next() -> None:
    """What an attempt left is swept before the backup is tried again (S1)."""
    state = given(*running(), failed, retry, state=CACHES)
    assert [SweepWork(B1, ORDERS)] == list(outstanding(state))

    assert [BackupWork(B1, ORDERS)] == list(outstanding(given(swept(), state=state)))


def test_retry_waits_for_its_instant() -> None:
    """A backup that failed in passing may start again at its instant, and not before."""
    state = given(*running(), failed, retry, swept(), state=CACHES)
    backup = state.catalog[ORDERS][B1]

    assert "retry is due" in (waits_for(state, backup, SOON - timedelta(microseconds=1)) or "")
    assert waits_for(state, backup, SOON) is None


def test_backups_of_one_cache_exclude_each_other() -> None:
    """While one backup of a cache runs, another waits for its end; other caches do not (R8)."""
    state = given(*running(B1, name="first"), requested(B2), state=CACHES)
    elsewhere = given(requested(B3, cache=USERS), state=state)

    assert "first" in waits(state, B2)
    assert not starts(state, BackupWork(B2, ORDERS))
    assert starts(elsewhere, BackupWork(B3, USERS))


def test_backup_waits_for_a_restore_into_its_cache() -> None:
    """While a restore into a cache is active, no other backup of it starts (R8)."""
    state = given(*complete(B1), restoring(B1), requested(B2), state=CACHES)

    assert R1 in waits(state, B2)
    assert not starts(state, BackupWork(B2, ORDERS))


def test_restore_elsewhere_stops_no_backup() -> None:
    """A restore of a cache's backup into another cache leaves the first free for backups (R8)."""
    state = given(*complete(B1), *under_way(B1, to=USERS), requested(B2), state=CACHES)

    assert starts(state, BackupWork(B2, ORDERS))


def test_safety_backup_runs_inside_its_restore() -> None:
    """The safety backup of a restore is let into that restore's exclusion (R8)."""
    state = given(
        *complete(B1), *under_way(B1), requested(B2, kind="safety"), requested(B3), state=CACHES
    )

    assert starts(state, BackupWork(B2, ORDERS, safety=True))
    assert not starts(state, BackupWork(B3, ORDERS))


def test_restore_waits_for_a_running_backup() -> None:
    """A restore does not begin while a backup of its target runs; its own safety one may (R8)."""
    state = given(*running(B2), *complete(B1, cache=USERS), state=CACHES)
    waiting = given(restoring(B1, to=ORDERS, of=USERS), state=state)
    assert not starts(waiting, RestoreWork(R1, ORDERS))

    state = given(*complete(B1), *under_way(B1), *running(B2, kind="safety"), state=CACHES)
    assert starts(state, RestoreWork(R1, ORDERS))


def test_deletion_waits_for_readers() -> None:
    """A backup that a restore reads is deleted only when the restore has ended (A10, R8)."""
    state = given(*complete(B1), *under_way(B1, to=USERS), to_go, state=CACHES)

    assert not starts(state, DeletionWork(B1, ORDERS))


def test_suspended_cache_gets_no_backups() -> None:
    """A suspended cache gets no new backups, except to save what a restore overwrites (C3, R4)."""
    gone = CacheSuspended(cache=ORDERS, reason="no longer declared")
    state = given(*complete(B1), *under_way(B1), requested(B2, kind="safety"), state=CACHES)
    suspended = given(gone, state=state)
    manual = given(gone, requested(B3), state=CACHES)

    assert "no longer declared" in waits(manual, B3)
    assert starts(suspended, BackupWork(B2, ORDERS, safety=True))


def test_removed_cache_gets_no_backups() -> None:
    """A backup whose cache is gone cannot start."""
    state = given(requested(), state=CACHES)
    backup = state.catalog[ORDERS][B1]

    assert "removed" in (waits_for(given(), backup, NOON) or "")


LATER = NOON + timedelta(minutes=30)
WINDOW = Occurrence(NOON.date(), "12:00", NOON, SOON)


def auto(
    backup_id: BackupId = B1, *, one: Occurrence | None = WINDOW, until: datetime = SOON
) -> BackupRequested:
    """An auto backup was asked for, of an occurrence or by command."""
    return BackupRequested(
        cache=ORDERS,
        backup_id=backup_id,
        kind="auto",
        name=BackupName(f"auto-{backup_id[-2:]}"),
        vault=MAIN,
        occurrence=one,
        start_before=until,
    )


def why(state: State, backup_id: BackupId, now: datetime) -> str:
    """Why a backup of `orders` waits at an instant; nothing when it may start."""
    return waits_for(state, state.catalog[ORDERS][backup_id], now) or ""


def test_auto_backup_starts_inside_its_window_only() -> None:
    """No attempt starts before the window opens or when it has closed, to the microsecond (A6).

    The first can only be asked after the clock was set back.
    """
    state, moment = given(auto(), state=CACHES), timedelta(microseconds=1)

    assert "window opens" in why(state, B1, NOON - moment)
    assert why(state, B1, NOON) == why(state, B1, SOON - moment) == ""
    assert "window closed" in why(state, B1, SOON)


def test_backup_by_command_starts_inside_its_hour_only() -> None:
    """A backup made by command says that its hour was over, not a window (A5b)."""
    state = given(auto(one=None), state=CACHES)

    assert why(state, B1, NOON - timedelta(hours=9)) == ""
    assert "hour" in why(state, B1, SOON)
    assert "window" not in why(state, B1, SOON)


def test_new_auto_backup_waits_for_a_retry() -> None:
    """A new auto backup waits for one that is to be tried again; a manual one does not (A7)."""
    again = (auto(), attempted(), failed, retry, swept())
    state = given(*again, auto(B2, one=None), requested(B3), state=CACHES)

    assert "tried again first" in why(state, B2, NOON)
    assert why(state, B3, NOON) == ""


def test_what_leaves_is_in_nobodys_way() -> None:
    """A backup that ends in the same commit does not keep the next one waiting (A7)."""
    again = (auto(), attempted(), failed, retry, swept())
    state = given(*again, auto(B2, one=None), state=CACHES)

    backup = state.catalog[ORDERS][B2]

    assert waits_for(state, backup, NOON, leaving=frozenset({B1})) is None


def test_retry_of_a_window_to_come_blocks_nobody() -> None:
    """After the clock was set back a retry whose window is not open yet is not in the way."""
    tomorrow = timedelta(days=1)
    ahead = Occurrence(WINDOW.day + tomorrow, "12:00", NOON + tomorrow, SOON + tomorrow)
    again = (auto(one=ahead, until=ahead.closes_at), attempted(), failed, retry, swept())
    state = given(*again, auto(B2, one=None, until=SOON + tomorrow), state=CACHES)

    assert why(state, B2, NOON) == ""
    assert "tried again first" in why(state, B2, NOON + tomorrow)


def test_auto_backup_waits_through_a_suspension() -> None:
    """An auto backup of a suspended cache waits, and goes on when the cache is back (C3)."""
    gone = CacheSuspended(cache=ORDERS, reason="no longer declared")
    back = CacheReconfigured(cache=ORDERS, settings=SETTINGS)

    state = given(auto(), gone, state=CACHES)

    assert "no longer declared" in why(state, B1, LATER)
    assert why(given(back, state=state), B1, LATER) == ""


def test_skipped_backup_is_no_work() -> None:
    """What was skipped is over: nothing was begun, so nothing is swept (S1)."""
    over = BackupSkipped(cache=ORDERS, backup_id=B1, reason="no time")

    assert [] == list(outstanding(given(auto(), over, state=CACHES)))


def test_closed_window_ends_no_running_attempt() -> None:
    """An attempt that runs when its window closes stays wanted (A6)."""
    state = given(auto(), attempted(), state=CACHES)

    assert [BackupWork(B1, ORDERS)] == list(outstanding(state))


def test_window_to_come_is_an_instant_to_come() -> None:
    """A backup that waits for its window to open again wakes the worker when it does."""
    state = given(auto(), state=CACHES)

    assert next_instant(state, NOON - timedelta(hours=1)) == NOON
    assert next_instant(state, NOON) is None


def test_next_instant_is_the_earliest_to_come() -> None:
    """The next instant is the earliest one to come; what is past already waits for other things."""
    tomorrow = NOON + timedelta(days=1)
    state = given(*running(), failed, retry, swept(), state=CACHES)
    later = given(
        requested(B2, cache=USERS),
        attempted(B2, cache=USERS),
        BackupFailed(cache=USERS, backup_id=B2, attempt=1, failure=OUTSIDE),
        RetryScheduled(cache=USERS, backup_id=B2, retry_at=tomorrow),
        state=state,
    )

    assert next_instant(CACHES, NOON) is None
    assert next_instant(state, NOON) == SOON
    assert next_instant(later, NOON) == SOON
    assert next_instant(later, SOON) == tomorrow
