"""Deciding on hooks: when one may be run, how often, and what the daemon's end means for it."""

import pytest
from msgspec.structs import replace

from daemon.commands import (
    ReconcileHooks,
    ReportAttemptFailed,
    ReportHook,
    ReportPlan,
    StartDaemon,
    StartHook,
)
from events.hooks import Hook, HookEnding, HookRan, HooksSet, HookStarted, HookWhen
from events.types import BackupFailed
from projections.state import State
from tests.support.given import after, given, refused, when
from tests.support.samples import (
    B1,
    FILE,
    HERE,
    ORDERS,
    OUTSIDE,
    R1,
    complete,
    plan,
    registered,
    restoring,
    running,
)

OK = HookEnding("ok", 1.0, exit_code=0)
BAD = HookEnding("failed", 1.0, exit_code=3, output="no room")
CUT_OFF = HookEnding("cut-off", 0.0)


def hook(name: str = "tell", at: HookWhen = "after-backup") -> Hook:
    """A hook with the defaults."""
    return Hook(name, at, f"/usr/local/bin/{name}", 60.0)


def run(name: str = "tell", at: HookWhen = "after-backup", *, work: str = B1) -> StartHook:
    """The run of a hook at the first attempt."""
    return StartHook(ORDERS, name, at, work, 1 if at.endswith("backup") else 0)


def with_hooks(*hooks: Hook) -> State:
    """A cache, and these hooks."""
    return given(registered(), HooksSet(hooks, FILE))


def test_hooks_are_recorded_when_they_change() -> None:
    """The configuration's hooks go into the log when they are others than before."""
    state = given(registered())
    assert () == when(state, ReconcileHooks((), FILE)).events
    set_ = when(state, ReconcileHooks((hook(),), FILE))
    assert (HooksSet((hook(),), FILE),) == set_.events
    assert () == when(set_.state, ReconcileHooks((hook(),), "/elsewhere")).events
    gone = when(set_.state, ReconcileHooks((), FILE))
    assert (HooksSet((), FILE),) == gone.events


def test_a_hook_after_a_backup_is_run_once() -> None:
    """It is started only while it is due and does not run, and is over with its end."""
    state = given(*complete(), state=with_hooks(hook()))
    started = when(state, run())
    assert [HookStarted] == [type(event) for event in started.events]
    assert "superseded" == refused(started.state, run()).code
    ended = after(started.state, ReportHook(run(), OK))
    assert "superseded" == refused(ended, run()).code
    assert "superseded" == refused(ended, ReportHook(run(), OK)).code


def test_a_failed_hook_after_a_backup_is_not_run_again() -> None:
    """Its end was its own: it is recorded, and that is all."""
    state = after(given(*complete(), state=with_hooks(hook())), run())
    (ran,) = when(state, ReportHook(run(), BAD)).events
    assert isinstance(ran, HookRan)
    assert (False, False) == (ran.again, ran.stops)


def test_a_hook_before_a_backup_is_run_inside_its_attempt_only() -> None:
    """Not before the attempt has begun, nor after it has ended, nor for another attempt."""
    early = run("pause", "before-backup")
    state = with_hooks(hook("pause", "before-backup"))
    assert "superseded" == refused(state, early).code
    inside = given(*running(), state=state)
    assert [HookStarted] == [type(event) for event in when(inside, early).events]
    assert "superseded" == refused(inside, replace(early, attempt=2)).code
    failed = after(inside, ReportAttemptFailed(B1, OUTSIDE))
    assert "superseded" == refused(failed, early).code


def test_a_hook_before_a_restore_is_run_before_its_plan() -> None:
    """As soon as the restore is planned it is too late."""
    early = run("close", "before-restore", work=R1)
    state = given(*complete(), restoring(), state=with_hooks(hook("close", "before-restore")))
    assert [HookStarted] == [type(event) for event in when(state, early).events]
    planned = after(state, ReportPlan(R1, plan()))
    assert "superseded" == refused(planned, early).code


def test_what_the_daemon_cuts_off_is_run_once_more() -> None:
    """A start records the end of what ran; it is due again once, and not a third time."""
    state = given(*complete(), state=with_hooks(hook()))
    for again in (True, False):
        state = after(state, run())
        restarted = when(state, StartDaemon(HERE, "0.1.0"))
        (ran,) = (event for event in restarted.events if isinstance(event, HookRan))
        assert ("cut-off", again) == (ran.ending.result, ran.again)
        state = restarted.state
    assert "superseded" == refused(state, run()).code
    assert not state.hooks.running


def test_an_orderly_stop_counts_as_cut_off_too() -> None:
    """A run that the stopping daemon has ended itself is due once more as well."""
    state = after(given(*complete(), state=with_hooks(hook())), run())
    (ran,) = when(state, ReportHook(run(), CUT_OFF)).events
    assert isinstance(ran, HookRan)
    assert ran.again


def test_a_hook_before_a_backup_ends_with_its_attempt() -> None:
    """The daemon's end cuts off both, and the record of the hook comes first."""
    state = given(*running(), state=with_hooks(hook("pause", "before-backup")))
    state = after(state, run("pause", "before-backup"))
    events = when(state, StartDaemon(HERE, "0.1.0")).events
    ran, failed, *_ = (e for e in events if isinstance(e, HookRan | BackupFailed))
    assert isinstance(ran, HookRan)
    assert isinstance(failed, BackupFailed)
    assert (True, False) == (ran.stops, ran.again)


@pytest.mark.parametrize("ending", [OK, BAD])
def test_a_trial_by_hand_needs_nothing_that_has_ended(ending: HookEnding) -> None:
    """It is recorded as what it is, and nothing is due by it."""
    then = when(with_hooks(hook()), ReportHook(run(work="trial"), ending, by_hand=True))
    (ran,) = then.events
    assert isinstance(ran, HookRan)
    assert ran.by_hand
    assert not then.state.hooks.due
    assert {} == dict(then.state.hooks.ran)
