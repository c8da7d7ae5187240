"""Hooks as the log tells of them: what is due, what is let go, and what is told of a failure."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from events.facts import BackupKind, CacheName
from events.hooks import Hook, HookEnding, HookOutcome, HookRan, HooksSet, HookStarted
from events.imports import ImportRequested
from events.types import (
    BackupCancelled,
    BackupDeleted,
    BackupFailed,
    DeletionRequested,
    Event,
    RestoreCompleted,
    RestoreFailed,
    RetryScheduled,
)
from projections.hook_checks import hook_lines
from projections.hooks import due, failures, is_for, last_words, runs_for
from projections.state import State
from tests.support.given import NOON, At, given
from tests.support.samples import (
    B1,
    B2,
    FILE,
    ORDERS,
    OUTSIDE,
    R1,
    RESULT,
    USERS,
    abandoned,
    attempted,
    complete,
    registered,
    requested,
    running,
    under_way,
)

TELL = Hook("tell", "after-backup", "/bin/tell", 60.0)
OPEN = Hook("open", "after-restore", "/bin/open", 60.0)
FAILED = BackupFailed(cache=ORDERS, backup_id=B1, attempt=1, failure=OUTSIDE)
RETRY = RetryScheduled(cache=ORDERS, backup_id=B1, retry_at=NOON + timedelta(hours=1))
BAD = HookEnding("failed", 0.2, exit_code=3, output="one\ntwo\n\nthree\n")


def owed(*events: Event, hooks: tuple[Hook, ...] = (TELL, OPEN)) -> list[tuple[str, str | None]]:
    """The hooks that are due after these events, and the outcomes that they follow."""
    state = given(registered(), HooksSet(hooks, FILE), *events)
    return [(one.hook, one.occasion.outcome) for one in due(state.hooks)]


def ran(ending: HookEnding, *, again: bool = False, stops: bool = False) -> HookRan:
    """A run after the first backup."""
    return HookRan(ORDERS, "tell", "after-backup", B1, 1, ending, stops=stops, again=again)


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        (complete(), "completed"),
        (abandoned(), "failed"),
        ((*running(), BackupCancelled(cache=ORDERS, backup_id=B1, attempt=1)), "cancelled"),
    ],
)
def test_every_end_of_a_backup_owes_its_hooks(
    events: tuple[Event, ...], outcome: HookOutcome
) -> None:
    """A hook after backups is due for each end that it is configured for."""
    assert [("tell", outcome)] == owed(*events)
    others = replace(TELL, run_on=tuple({"completed", "failed", "cancelled"} - {outcome}))
    assert [] == owed(*events, hooks=(others,))


def test_nothing_that_never_began_owes_a_hook() -> None:
    """A backup that is cancelled while it waits has had no hook before it, and has none after."""
    assert [] == owed(requested(), BackupCancelled(cache=ORDERS, backup_id=B1))


def test_an_import_is_no_backup_of_the_server() -> None:
    """What is brought from elsewhere runs no hook."""
    brought = ImportRequested(cache=ORDERS, backup_id=B1, kind="client", source="laptop:dump.rdb")
    assert [] == owed(requested(), brought, attempted(), complete()[-1])


def test_a_restore_owes_its_hooks_to_its_target() -> None:
    """Hooks after restores follow both ends."""
    done = RestoreCompleted(cache=USERS, restore_id=R1, result=RESULT)
    failed = RestoreFailed(cache=USERS, restore_id=R1, failure=OUTSIDE, undone=True, command="x")
    for end, outcome in ((done, "completed"), (failed, "failed")):
        told = owed(registered(USERS), *complete(), *under_way(to=USERS), end, hooks=(OPEN,))
        assert [("open", outcome)] == told


@pytest.mark.parametrize(
    ("kind", "names"), [("manual", ["tell"]), ("auto", ["tell"]), ("safety", [])]
)
def test_safety_backups_have_hooks_only_where_that_is_said(
    kind: BackupKind, names: list[str]
) -> None:
    """A safety backup is made while its target takes no writes: by default nobody is told."""
    assert names == [name for name, _ in owed(*complete(kind=kind))]
    every = replace(TELL, kinds=("auto", "manual", "safety"))
    assert [("tell", "completed")] == owed(*complete(kind=kind), hooks=(every,))


def test_an_old_log_owes_nothing_to_a_new_hook() -> None:
    """What has ended before a hook was configured is none of its business."""
    state = given(registered(), *complete(), HooksSet((TELL,), FILE))
    assert [] == due(state.hooks)


def test_a_hook_that_goes_or_changes_its_time_owes_nothing() -> None:
    """What was due of it is let go; what was due of the others stays."""
    other = replace(TELL, name="other")
    state = given(registered(), HooksSet((TELL, other), FILE), *complete())
    kept = given(HooksSet((other,), FILE), state=state)
    assert ["other"] == [one.hook for one in due(kept.hooks)]
    moved = given(HooksSet((replace(TELL, when="before-backup"), other), FILE), state=state)
    assert ["other"] == [one.hook for one in due(moved.hooks)]


def test_hooks_are_due_in_the_order_of_ends_and_then_of_the_file() -> None:
    """What ended first comes first, and each end's hooks as they are configured."""
    hooks = (replace(TELL, name="z"), replace(TELL, name="a"))
    state = given(registered(), HooksSet(hooks, FILE), *complete(B2), *complete(B1))
    told = [(one.occasion.work_id, one.hook) for one in due(state.hooks)]
    assert [(B2, "z"), (B2, "a"), (B1, "z"), (B1, "a")] == told


def test_a_hook_between_attempts_is_let_go_by_the_next_one() -> None:
    """A pause that is over when the next attempt begins must not be ended in its middle."""
    hooks = (replace(TELL, run_on=("retry",)),)
    failed = (registered(), HooksSet(hooks, FILE), *running(kind="auto"), FAILED, RETRY)
    assert ["tell"] == [one.hook for one in due(given(*failed).hooks)]
    assert [] == due(given(*failed, attempted(attempt=2)).hooks)
    started = HookStarted(ORDERS, "tell", "after-backup", B1, 1)
    assert ["tell"] == [
        one.hook for one in due(given(*failed, started, attempted(attempt=2)).hooks)
    ]


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("orders", True),
        ("ord*", True),
        ("*ers", True),
        ("*", True),
        ("order", False),
        ("o.*", False),
    ],
)
def test_caches_are_named_by_patterns(pattern: str, fits: bool) -> None:  # noqa: FBT001
    """Only ``*`` stands for something else than itself."""
    assert fits == is_for(replace(TELL, caches=("none", pattern)), CacheName("orders"))


def told(state: State, *, hours: float = 1) -> list[str]:
    """What `check` tells of hooks so many hours after noon."""
    return [line.message for line in hook_lines(state, NOON + timedelta(hours=hours))]


def test_a_failed_hook_is_told_of_for_a_day() -> None:
    """The warning has its end and its last words, and goes after a day or with a better run."""
    base = given(registered(), HooksSet((TELL,), FILE), *complete())
    bad = given(At(NOON, ran(BAD)), state=base)
    assert ["hook tell after a backup ended with exit code 3: two / three (1 h ago)"] == [
        line.replace("60 min", "1 h") for line in told(bad)
    ]
    assert [] == told(bad, hours=24.1)
    assert [] == told(given(ran(HookEnding("ok", 1.0)), state=bad))
    assert [] == told(given(HooksSet((), FILE), state=bad))
    by_hand = replace(ran(HookEnding("ok", 1.0)), by_hand=True)
    assert [] == told(given(by_hand, state=bad))


def test_what_tells_of_itself_is_not_told_twice() -> None:
    """A hook that stopped a backup, or that is run again, makes no line of its own."""
    base = given(registered(), HooksSet((TELL,), FILE), *complete())
    assert [] == list(failures(given(ran(BAD, stops=True), state=base).hooks, NOON))
    cut_off = HookEnding("cut-off", 0.0)
    assert [] == list(failures(given(ran(cut_off, again=True), state=base).hooks, NOON))


def test_runs_are_kept_with_their_backup() -> None:
    """They are there as long as it is, and counted for ever."""
    state = given(registered(), HooksSet((TELL,), FILE), *complete(), ran(BAD))
    assert ["failed"] == [one.result for one in runs_for(state.hooks, B1)]
    gone = given(
        DeletionRequested(cache=ORDERS, backup_id=B1, reason="command"),
        BackupDeleted(cache=ORDERS, backup_id=B1),
        state=state,
    )
    assert () == runs_for(gone.hooks, B1)
    assert {("tell", "failed"): 1} == dict(gone.hooks.counts)


def test_last_words_are_the_last_lines_of_what_failed() -> None:
    """Two lines at most, and nothing of what went well."""
    assert "two / three" == last_words(BAD)
    assert "" == last_words(HookEnding("ok", 1.0, output="all is well"))
