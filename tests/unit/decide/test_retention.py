"""Deciding what retention deletes: reason first, once, never under a reader (A2, A10, A11)."""

from datetime import timedelta

import pytest

from daemon.commands import (
    ExpireBackups,
    PolicyChange,
    RemoveCache,
    ReportDeleted,
    SetPolicy,
    StartDaemon,
)
from events.types import (
    BackupDeleted,
    CacheSuspended,
    DeletionRequested,
    PolicySet,
    RestoreCompleted,
    RetentionExpired,
)
from projections.state import State
from projections.work import DeletionWork, outstanding, ready
from tests.support.given import NOON, At, given, refused, when
from tests.support.retaining import policy, reading, story
from tests.support.samples import B1, B2, B3, HERE, ORDERS, RESULT, USERS, registered

DAY = timedelta(days=1)
EXPIRE = ExpireBackups(ORDERS)
DELETION = DeletionWork(B1, ORDERS)


def kept_for(days: int, **settings: int | bool | str) -> State:
    """A cache with three auto backups, made on three days, and this retention."""
    set_ = PolicySet(cache=ORDERS, policy=policy(retention_days=days, **settings))
    made = [
        At(NOON + number * DAY, event)
        for number, backup_id in enumerate((B1, B2, B3))
        for event in story(backup_id, NOON + number * DAY)
    ]
    return given(At(NOON, registered()), At(NOON, registered(USERS)), At(NOON, set_), *made)


def test_the_reason_comes_before_the_deletion() -> None:
    """A2: what retention deletes is said with its figures first, in the same commit."""
    then = when(kept_for(7), EXPIRE, now=NOON + 7 * DAY)

    assert (
        RetentionExpired(
            cache=ORDERS,
            backup_id=B1,
            taken_at=NOON,
            retention_days=7,
            reason="its snapshot is 7 days old, and it is kept for 7 days",
        ),
        DeletionRequested(cache=ORDERS, backup_id=B1, reason="retention"),
    ) == then.events
    assert [DELETION] == list(outstanding(then.state))


def test_a_shorter_retention_deletes_at_once() -> None:
    """A2: by the policy now: what a shorter retention no longer covers goes in the next moment."""
    now = NOON + 5 * DAY
    state = kept_for(30)
    assert () == when(state, EXPIRE, now=now).events

    shorter = SetPolicy("orders", PolicyChange(retention_days=4))
    then = when(when(state, shorter, now=now).state, EXPIRE, now=now)

    assert [B1, B2] == [e.backup_id for e in then.events if isinstance(e, DeletionRequested)]


def test_a_longer_retention_keeps_more() -> None:
    """A2: what would have gone by the old policy stays by the new one."""
    now = NOON + 8 * DAY
    longer = SetPolicy("orders", PolicyChange(retention_days=30))

    assert when(kept_for(7), EXPIRE, now=now).events
    assert () == when(when(kept_for(7), longer, now=now).state, EXPIRE, now=now).events


def test_keep_last_is_kept_by_the_policy_now() -> None:
    """A11: with a smaller keep_last the next moment deletes what only it has kept."""
    now = NOON + 30 * DAY
    state = kept_for(1, keep_last=3)
    assert () == when(state, EXPIRE, now=now).events

    smaller = SetPolicy("orders", PolicyChange(keep_last=0))
    then = when(when(state, smaller, now=now).state, EXPIRE, now=now)

    assert [B1, B2, B3] == [e.backup_id for e in then.events if isinstance(e, DeletionRequested)]


def test_turning_auto_off_does_not_stop_retention() -> None:
    """A1: with auto off the settings stay, and what exists goes in its time but for the newest."""
    off = SetPolicy("orders", PolicyChange(auto=False))
    state = when(kept_for(7), off, now=NOON + 3 * DAY).state

    then = when(state, EXPIRE, now=NOON + 30 * DAY)

    assert [B1, B2] == [e.backup_id for e in then.events if isinstance(e, DeletionRequested)]


def test_a_suspended_cache_loses_nothing() -> None:
    """C3: while a cache is suspended retention decides nothing there, whatever the age."""
    state = given(CacheSuspended(cache=ORDERS, reason="it left the file"), state=kept_for(1))

    assert () == when(state, EXPIRE, now=NOON + 700 * DAY).events


def test_a_backup_goes_when_its_reader_ends() -> None:
    """A11: what is due to go while a restore reads it goes after the restore, not before."""
    now = NOON + 7 * DAY
    held = given(At(now, reading(B1)), state=kept_for(7))
    assert () == when(held, EXPIRE, now=now).events

    end = RestoreCompleted(cache=USERS, restore_id=reading(B1).restore_id, result=RESULT)
    then = when(given(At(now, end), state=held), EXPIRE, now=now)

    assert [B1] == [e.backup_id for e in then.events if isinstance(e, DeletionRequested)]
    assert ready(then.state, DELETION, now)


def test_removing_the_cache_waits_for_the_reader() -> None:
    """A10: a removed cache's backup is no longer listed at once, and deleted after its reader."""
    state = given(reading(B1), state=kept_for(7))
    removed = when(state, RemoveCache("orders")).state
    works = list(outstanding(removed))

    assert DELETION in works
    assert not ready(removed, DELETION, NOON)
    assert ready(removed, DeletionWork(B2, ORDERS), NOON)

    end = RestoreCompleted(cache=USERS, restore_id=reading(B1).restore_id, result=RESULT)
    assert ready(given(end, state=removed), DELETION, NOON)


def test_a_removed_cache_keeps_its_manual_backups() -> None:
    """A10, M2: removing a cache asks for the deletion of its auto and safety backups only."""
    state = given(
        registered(),
        *story(B1, NOON),
        *story(B2, NOON, kind="safety"),
        *story(B3, NOON, kind="manual"),
    )

    then = when(state, RemoveCache("orders"))

    went = [e for e in then.events if isinstance(e, DeletionRequested)]
    assert [(B1, "cache-removed"), (B2, "cache-removed")] == [(e.backup_id, e.reason) for e in went]
    assert "complete" == then.state.catalog[ORDERS][B3].phase


def test_a_deletion_outlives_the_daemon_and_ends_once() -> None:
    """A deletion that was cut off is outstanding after a restart, and is recorded once (S1)."""
    later = NOON + 7 * DAY
    state = when(kept_for(7), EXPIRE, now=later).state
    state = when(state, StartDaemon(HERE, "0.1.0"), now=later + DAY / 24).state
    assert [DELETION] == list(outstanding(state))

    then = when(state, ReportDeleted(B1), now=later + DAY)

    assert (BackupDeleted(cache=ORDERS, backup_id=B1),) == then.events
    assert "superseded" == refused(then.state, ReportDeleted(B1)).code


@pytest.mark.parametrize("days", [0, 1, 6])
def test_nothing_is_decided_before_its_time(days: int) -> None:
    """A2: before a backup's days are over there is nothing to decide."""
    assert () == when(kept_for(7), EXPIRE, now=NOON + days * DAY).events


def test_no_clock_before_the_log_deletes() -> None:
    """By a clock that shows a time before the log's first record nothing is deleted."""
    state = given(
        At(NOON, registered()),
        *(At(NOON, e) for e in story(B1, NOON - 900 * DAY)),
        *(At(NOON, e) for e in story(B2, NOON - 800 * DAY)),
    )

    assert () == when(state, EXPIRE, now=NOON - timedelta(seconds=1)).events
    assert when(state, EXPIRE, now=NOON).events
