"""Deciding on `restore undo`: what counts as the newest restore, and when nothing can be undone."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from daemon.commands import (
    DeleteBackup,
    ReportPlan,
    ReportRestored,
    ReportRestoreFailed,
    ReportUndone,
    RequestRestore,
    RequestSafetyBackup,
    RequestVerification,
    StartRestore,
    UndoRestore,
)
from daemon.errors import NotFound
from events.facts import BackupId, BackupName, CacheName, Failure, RestoreId
from events.moves import KeysWish
from events.proofs import VerificationFailed
from events.types import (
    AttemptStarted,
    BackupCompleted,
    BackupDeleted,
    BackupRequested,
    CacheRemoved,
    DeletionRequested,
    Event,
    RestoreCompleted,
    RestoreFailed,
    RestoreRequested,
    SnapshotTaken,
)
from projections.state import State
from projections.undo import Undoing, keys_back, undoing
from tests.support.given import after, an_id, given, refused, when
from tests.support.samples import (
    B1,
    MAIN,
    ORDERS,
    OUTSIDE,
    RESULT,
    SNAPSHOT,
    STORED,
    USERS,
    complete,
    plan,
    registered,
)

BACKED_UP = given(registered(), registered(USERS), *complete(name="one"))
FIRST, SECOND, THIRD = (RestoreId(an_id(0xF0 + number)) for number in (1, 2, 3))
GO = ("r" * 40, {"a": "1"}, {"a": "2"}, "127.0.0.1:7000", "b" * 40)


def safety(restore_id: RestoreId) -> BackupId:
    """The id of a restore's safety backup in these stories."""
    return BackupId(restore_id.replace("-000000f", "-000000a"))


def saved(restore_id: RestoreId, cache: CacheName = USERS) -> tuple[Event, ...]:
    """The safety backup of a restore is complete."""
    backup_id = safety(restore_id)
    name = BackupName(f"before-{restore_id}")
    return (
        BackupRequested(cache, backup_id, "safety", name, MAIN, restore_id=restore_id),
        AttemptStarted(cache, backup_id, 1, MAIN),
        SnapshotTaken(cache, backup_id, SNAPSHOT),
        BackupCompleted(cache, backup_id, STORED),
    )


def begun(
    state: State, restore_id: RestoreId, *, target_keys: int = 7, undo: bool = False
) -> State:
    """A restore into `users`, or the undoing of one, has its safety backup and is under way."""
    ask = UndoRestore("users", replace=True) if undo else RequestRestore(B1, "users", replace=True)
    state = when(state, ask, new_id=restore_id).state
    shown = replace(plan(target_keys=target_keys), safety_backup=bool(target_keys))
    state = after(state, ReportPlan(restore_id, shown), StartRestore(restore_id, *GO))
    return given(*saved(restore_id), state=state) if target_keys else state


def restored(state: State, restore_id: RestoreId, *, undo: bool = False) -> State:
    """It has completed."""
    return after(begun(state, restore_id, undo=undo), ReportRestored(restore_id, RESULT))


def failed(state: State, restore_id: RestoreId, *, loaded: bool, restarted: bool = False) -> State:
    """It was under way and has failed, before or after the target had loaded the data."""
    ends = ReportUndone(restore_id, loaded=loaded, restarted=restarted)
    return after(begun(state, restore_id), ReportRestoreFailed(restore_id, OUTSIDE), ends)


DONE = restored(BACKED_UP, FIRST)


def undo(state: State) -> RestoreRequested:
    """What is decided about taking the newest restore into `users` back."""
    (event,) = when(state, UndoRestore("users", replace=True)).events
    assert isinstance(event, RestoreRequested)
    return event


def test_undo_restores_the_safety_backup() -> None:
    """Undo is a restore of the newest restore's safety backup, with one of its own."""
    event = undo(DONE)

    assert (safety(FIRST), USERS, USERS) == (event.backup_id, event.backup_cache, event.cache)
    assert (FIRST, True, True) == (event.undoes, event.safety_backup, event.replace)
    assert "backup-held" == refused(given(event, state=DONE), DeleteBackup(safety(FIRST))).code


def test_undo_can_be_undone() -> None:
    """An undoing is the newest restore itself, and undoing it brings back what it replaced."""
    event = undo(restored(DONE, SECOND, undo=True))

    assert (SECOND, safety(SECOND)) == (event.undoes, event.backup_id)


@pytest.mark.parametrize(
    ("loaded", "restarted", "undone"),
    [(False, False, FIRST), (True, False, SECOND), (False, True, SECOND)],
)
def test_newest_is_the_last_that_changed_the_data(
    *, loaded: bool, restarted: bool, undone: RestoreId
) -> None:
    """A restore that failed counts when its data is there, or may be; else it hides nothing."""
    assert undone == undo(failed(DONE, SECOND, loaded=loaded, restarted=restarted)).undoes


def test_restart_before_the_safety_backup_hides_nothing() -> None:
    """A target that was restarted before there was a safety backup has its own data."""
    state = when(DONE, RequestRestore(B1, "users", replace=True), new_id=SECOND).state
    shown = replace(plan(target_keys=7), safety_backup=True)
    state = after(state, ReportPlan(SECOND, shown), StartRestore(SECOND, *GO))
    ends = ReportUndone(SECOND, loaded=False, restarted=True)

    assert FIRST == undo(after(state, ReportRestoreFailed(SECOND, OUTSIDE), ends)).undoes


def test_plan_that_was_refused_hides_nothing() -> None:
    """A restore that its own plan stopped leaves the one before it to be undone."""
    asked = when(DONE, RequestRestore(B1, "users"), new_id=SECOND).state
    assert FIRST == undo(after(asked, ReportPlan(SECOND, plan(target_keys=7)))).undoes


def gone(state: State) -> State:
    """The safety backup of the first restore has been deleted."""
    asked = DeletionRequested(USERS, safety(FIRST), reason="command")
    return given(asked, BackupDeleted(USERS, safety(FIRST)), state=state)


def damaged(state: State) -> State:
    """A verification has found the first restore's safety backup damaged."""
    backup_id = safety(FIRST)
    asked = when(state, RequestVerification(backup_id)).state
    proving = asked.verifications[backup_id].verification_id
    failed = VerificationFailed(USERS, backup_id, proving, level="hashes", failure=OUTSIDE)
    return given(failed, state=asked)


def without_safety() -> State:
    """A restore was told to make no safety backup."""
    request = RequestRestore(B1, "users", replace=True, safety_backup=False)
    state = when(BACKED_UP, request, new_id=FIRST).state
    shown = replace(plan(target_keys=7), safety_backup=False)
    state = after(state, ReportPlan(FIRST, shown), StartRestore(FIRST, *GO))
    return after(state, ReportRestored(FIRST, RESULT))


REFUSALS: dict[str, tuple[State, str, str]] = {
    "none yet": (BACKED_UP, "nothing-to-undo", "Nothing has been restored"),
    "failed early": (failed(BACKED_UP, FIRST, loaded=False), "nothing-to-undo", "Nobody listens"),
    "running": (begun(DONE, SECOND), "restore-running", SECOND),
    "no safety backup": (without_safety(), "no-safety-backup", "--no-safety-backup"),
    "empty before": (
        after(begun(BACKED_UP, FIRST, target_keys=0), ReportRestored(FIRST, RESULT)),
        "was-empty",
        "was empty",
    ),
    "deleted": (gone(DONE), "safety-gone", "is gone"),
    "being deleted": (
        given(DeletionRequested(USERS, safety(FIRST), reason="retention"), state=DONE),
        "safety-gone",
        "is gone",
    ),
    "damaged": (
        damaged(DONE),
        "safety-damaged",
        safety(FIRST),
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_undone_is_told(case: str) -> None:
    """Where nothing can be taken back, the refusal says why and what to do instead."""
    state, code, word = REFUSALS[case]
    refusal = refused(state, UndoRestore("users"))

    assert code == refusal.code
    assert word in refusal.message


def test_removed_cache_is_told_as_that() -> None:
    """A cache that was removed has no safety backups any more, and the refusal says so."""
    refusal = refused(given(CacheRemoved(USERS), state=DONE), UndoRestore("users"))

    assert isinstance(refusal, NotFound)
    assert "was removed" in refusal.message
    assert isinstance(refused(DONE, UndoRestore("nobody")), NotFound)


def test_undo_is_of_what_was_shown() -> None:
    """A restore that came after the plan was shown is not undone in place of the other."""
    later = restored(DONE, SECOND)

    assert "restore-newer" == refused(later, UndoRestore("users", restore_id=FIRST)).code
    assert when(later, UndoRestore("users", restore_id=SECOND)).events


def test_undo_tells_how_to_repeat_it() -> None:
    """An undoing that failed with the old data in place is repeated as such, else by its backup."""
    asked = begun(DONE, SECOND, undo=True)
    stopped = after(asked, ReportRestoreFailed(SECOND, OUTSIDE))
    ends = {
        loaded: when(stopped, ReportUndone(SECOND, loaded=loaded)).events[0]
        for loaded in (False, True)
    }

    assert [
        "valkeep restore undo users",
        f"valkeep restore {safety(FIRST)} --to users",
    ] == [end.command for end in ends.values() if isinstance(end, RestoreFailed)]


def test_undo_can_be_made_until_retention_ends_it() -> None:
    """What is told as the last day is when the safety backup's age is over (A11)."""
    found = undoing(DONE, USERS)

    assert isinstance(found, Undoing)
    assert SNAPSHOT.taken_at + timedelta(days=7) == found.until


@pytest.mark.parametrize(
    ("wish", "back"),
    [
        (KeysWish(), KeysWish(on_conflict="replace")),
        (
            KeysWish(patterns=("a:*", "b?"), database=2, ttl="strip"),
            KeysWish(patterns=("a:*", "b?"), database=2, on_conflict="replace"),
        ),
        (
            KeysWish(patterns=("a:*",), rename_prefix="old*:"),
            KeysWish(patterns=("old\\*:a:*",), on_conflict="replace"),
        ),
        (
            KeysWish(rename_prefix="old:", keys_per_second=9),
            KeysWish(patterns=("old:*",), on_conflict="replace", keys_per_second=9),
        ),
    ],
)
def test_keys_come_back_by_keys(wish: KeysWish, back: KeysWish) -> None:
    """Undoing a restore by keys brings back what that one may have replaced, and no other key."""
    asked = RestoreRequested(
        USERS, FIRST, B1, ORDERS, replace=True, safety_backup=True, method="keys", keys=wish
    )
    state = after(given(asked, state=BACKED_UP), ReportPlan(FIRST, plan(target_keys=7)))
    state = given(*saved(FIRST), state=after(state, StartRestore(FIRST, *GO)))
    state = given(RestoreCompleted(USERS, FIRST, RESULT), state=state)

    assert back == keys_back(wish) == undo(state).keys
    assert "keys" == undo(state).method
    (whole,) = when(state, UndoRestore("users", method="replication")).events
    assert isinstance(whole, RestoreRequested)
    assert ("replication", None) == (whole.method, whole.keys)


def test_restore_by_keys_that_failed_may_have_written() -> None:
    """A restore by keys that was cut off has perhaps replaced keys, and can be undone."""
    asked = RestoreRequested(
        USERS, FIRST, B1, ORDERS, replace=True, safety_backup=True, method="keys", keys=KeysWish()
    )
    state = after(given(asked, state=BACKED_UP), ReportPlan(FIRST, plan(target_keys=7)))
    state = given(*saved(FIRST), state=after(state, StartRestore(FIRST, *GO)))
    why = Failure("interrupted", "The daemon ended.", "Again.")
    state = after(state, ReportRestoreFailed(FIRST, why))

    assert FIRST == undo(state).undoes


def test_safety_backup_is_asked_for_by_the_undoing_too() -> None:
    """An undoing makes a safety backup of its own, under a name of its own (R4)."""
    state = when(DONE, UndoRestore("users", replace=True), new_id=SECOND).state
    state = after(state, ReportPlan(SECOND, plan(target_keys=7)), StartRestore(SECOND, *GO))
    (event,) = when(state, RequestSafetyBackup(SECOND)).events

    assert isinstance(event, BackupRequested)
    assert ("safety", f"before-restore-{SECOND}") == (event.kind, event.name)
