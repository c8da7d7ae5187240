"""Restores as the log knows them: how far they are, what they changed, how they ended."""

from events.types import RestoreCompleted, RestoreFailed, RestoreInterrupted
from tests.support.given import ANNA, NOON, At, given
from tests.support.samples import (
    B1,
    ORDERS,
    OUTSIDE,
    R1,
    RESULT,
    SOON,
    USERS,
    complete,
    registered,
    restoring,
    under_way,
)

before = given(registered(), registered(USERS), *complete())
interrupted = RestoreInterrupted(cache=USERS, restore_id=R1, failure=OUTSIDE)
failed = RestoreFailed(cache=USERS, restore_id=R1, failure=OUTSIDE, undone=True, command="again")


def test_requested_restore_tells_who_and_what() -> None:
    """A restore tells its backup, its target, who asked for it and when."""
    restore = given(At(NOON, restoring(to=USERS)), state=before).restores[R1]

    assert (B1, ORDERS, USERS) == (restore.backup_id, restore.backup_cache, restore.target)
    assert (ANNA.user, NOON) == (restore.requested_by, restore.requested_at)
    assert restore.phase == "requested"


def test_started_restore_holds_what_it_changes() -> None:
    """From its start until its end a restore holds every old value of its target (R4, R7)."""
    started = given(*under_way(to=USERS), state=before)
    undoing = given(interrupted, state=started)

    for state in (started, undoing):
        held = state.restores[R1].started
        assert held is not None
        assert held.old_settings == {"min-replicas-to-write": "0"}
    assert undoing.restores[R1].phase == "undoing"
    assert undoing.restores[R1].failure == OUTSIDE


def test_restore_is_active_until_its_end() -> None:
    """A restore occupies its target until it is complete, or failed and undone (R8)."""
    started = given(*under_way(to=USERS), state=before)
    undoing = given(interrupted, state=started)
    done = RestoreCompleted(cache=USERS, restore_id=R1, result=RESULT)

    assert {USERS: R1} == dict(started.active) == dict(undoing.active)
    assert {} == dict(given(done, state=started).active)
    assert {} == dict(given(failed, state=undoing).active)


def test_restore_holds_its_backup() -> None:
    """A backup is held while a restore reads it, and no longer (R8)."""
    started = given(*under_way(to=USERS), state=before)

    assert {B1: 1} == dict(started.held)
    assert {} == dict(given(failed, state=started).held)


def test_ended_restore_is_remembered() -> None:
    """A restore that has ended tells its result or its failure, and when it ended."""
    started = given(*under_way(to=USERS), state=before)
    done = RestoreCompleted(cache=USERS, restore_id=R1, result=RESULT)

    completed = given(At(SOON, done), state=started).restores[R1]
    given_up = given(At(SOON, failed), state=started).restores[R1]

    assert ("completed", RESULT, SOON) == (completed.phase, completed.result, completed.ended_at)
    assert ("failed", failed, SOON) == (given_up.phase, given_up.ended, given_up.ended_at)
