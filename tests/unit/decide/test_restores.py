"""Deciding on restores: rules R2, R3, R4, R7 and R8."""

import pytest

from daemon.commands import (
    DeleteBackup,
    Report,
    ReportPlan,
    ReportRestored,
    ReportRestoreFailed,
    ReportUndone,
    RequestRestore,
    StartRestore,
)
from daemon.errors import BadRequest, NotFound, Rejected
from events.facts import Finding, cache_stream
from events.types import (
    Event,
    RestoreCompleted,
    RestoreFailed,
    RestoreInterrupted,
    RestorePlanned,
    RestoreRequested,
)
from projections.work import RestoreWork, UndoWork, outstanding
from tests.support.given import after, given, refused, when
from tests.support.samples import (
    B1,
    ORDERS,
    OUTSIDE,
    R1,
    RESULT,
    USERS,
    abandoned,
    complete,
    plan,
    registered,
    requested,
    restoring,
    running,
    under_way,
)

CACHES = given(registered(), registered(USERS))
BACKED_UP = given(*complete(name="one"), state=CACHES)
ASKED = given(restoring(to=USERS), state=BACKED_UP)
STARTED = given(*under_way(to=USERS), state=BACKED_UP)
UNDOING = given(RestoreInterrupted(cache=USERS, restore_id=R1, failure=OUTSIDE), state=STARTED)
too_old = Finding("engine-version", "blocker", "Too old.", "Upgrade.", forcible=True)
too_small = Finding("memory", "blocker", "Too small.", "Grow.", forcible=True)
is_replica = Finding("replica", "blocker", "It is a replica.", "Go to its primary.")
start = StartRestore(R1, "r" * 40, {"a": "1"}, {"a": "2"}, "127.0.0.1:7000", "b" * 40)


def asked(*, force: tuple[str, ...] = (), replace: bool = False) -> RequestRestore:
    """The command that restores `orders/one` into `users`."""
    return RequestRestore("orders/one", "users", force=force, replace=replace)


def planned(findings: tuple[Finding, ...], *force: str) -> tuple[Event, ...]:
    """What follows from a plan with these findings, when the caller forced these codes."""
    state = when(BACKED_UP, asked(force=force), new_id=R1).state
    return when(state, ReportPlan(R1, plan(*findings))).events


def test_restore_is_accepted() -> None:
    """A complete backup can be restored into any known cache; the restore holds it (R8)."""
    then = when(BACKED_UP, asked(), new_id=R1)

    assert (restoring(to=USERS),) == then.events
    assert refused(then.state, DeleteBackup(B1)).code == "backup-held"


def test_acceptance_relies_on_the_backup() -> None:
    """The decision to restore names the stream of the backup that it found complete (L2)."""
    decision = when(BACKED_UP, asked()).decision

    assert {cache_stream(ORDERS), cache_stream(USERS)} <= set(decision.streams)


@pytest.mark.parametrize("events", [(requested(),), running()])
def test_unfinished_backup_is_not_restored(events: tuple[Event, ...]) -> None:
    """What is not complete yet cannot be restored (S1)."""
    error = refused(given(*events, state=CACHES), RequestRestore(B1, "users"))

    assert error.code == "backup-unfinished"


def test_failed_backup_is_not_restored() -> None:
    """What has failed is no backup and cannot be restored (S1)."""
    state = given(*abandoned(), state=CACHES)

    assert isinstance(refused(state, RequestRestore(B1, "users")), NotFound)


def test_target_has_to_be_known() -> None:
    """A restore into a cache that is not there names those that are."""
    assert isinstance(refused(BACKED_UP, RequestRestore(B1, "user")), NotFound)


def test_one_restore_into_a_cache_at_a_time() -> None:
    """While a restore into a cache has not ended, another is refused; elsewhere it is not (R8)."""
    for state in (ASKED, STARTED, UNDOING):
        error = refused(state, asked())
        assert error.code == "restore-running"
        assert R1 in error.message
        assert when(state, RequestRestore(B1, "orders")).events


@pytest.mark.parametrize("code", ["replica", "listener", "modules", "databases", "nonsense", ""])
def test_most_blockers_cannot_be_forced(code: str) -> None:
    """Only the findings that R2 says can be overridden by replication may be forced."""
    error = refused(BACKED_UP, asked(force=("memory", code)))

    assert (BadRequest, "force") == (type(error), error.code)


def test_plan_without_findings_goes_on() -> None:
    """A plan that nothing speaks against is recorded, and the restore goes on (R2)."""
    assert (RestorePlanned(cache=USERS, restore_id=R1, plan=plan()),) == planned(())


def test_blocker_ends_the_restore() -> None:
    """A blocker ends the restore before anything is touched, for good and with a hint (R2)."""
    (_, end) = planned((is_replica, too_old))

    assert isinstance(end, RestoreFailed)
    assert (True, "replica", True) == (end.undone, end.failure.code, end.failure.permanent)
    assert "and 1 more" in end.failure.message
    assert end.failure.hint == is_replica.hint


def test_forced_blocker_is_recorded() -> None:
    """A blocker that was forced lets the restore go on, and the log says so (R2)."""
    (event,) = planned((too_old, too_small), "memory", "engine-version")

    assert isinstance(event, RestorePlanned)
    assert event.forced == ("engine-version", "memory")


def test_each_blocker_has_to_be_forced() -> None:
    """Forcing one blocker does not force another (R2)."""
    (_, end) = planned((too_old, too_small), "memory")

    assert isinstance(end, RestoreFailed)
    assert end.failure.code == "engine-version"


def test_finding_can_refuse_to_be_forced() -> None:
    """A finding that is not forcible blocks, even if its code was forced (R2)."""
    for_good = Finding("memory", "blocker", "No room at all.", "Grow.", forcible=False)

    assert isinstance(planned((for_good,), "memory")[-1], RestoreFailed)


def test_warnings_do_not_block() -> None:
    """A warning is in the recorded plan and stops nothing (R2)."""
    warning = Finding("parameters", "warning", "Another encoding.", "")

    (event,) = planned((warning,))

    assert isinstance(event, RestorePlanned)
    assert (warning,) == event.plan.findings
    assert event.forced == ()


def test_full_target_is_not_overwritten_unasked() -> None:
    """A target that holds keys is overwritten only when told so (R3)."""
    (_, end) = when(ASKED, ReportPlan(R1, plan(target_keys=1234))).events

    assert isinstance(end, RestoreFailed)
    assert end.failure.code == "not-empty"
    assert "1,234" in end.failure.message
    assert "--replace" in end.failure.hint


def test_full_target_is_overwritten_when_asked() -> None:
    """With `--replace` a target that holds keys is overwritten (R3)."""
    state = when(BACKED_UP, asked(replace=True), new_id=R1).state

    (event,) = when(state, ReportPlan(R1, plan(target_keys=1))).events

    assert isinstance(event, RestorePlanned)


def test_start_holds_the_way_back() -> None:
    """Every old value is in the log before the first setting is changed (R4)."""
    state = after(ASKED, ReportPlan(R1, plan()), start)

    held = state.restores[R1].started
    assert held is not None
    assert ({"a": "1"}, {"a": "2"}) == (held.old_settings, held.changes)


def test_restore_starts_once_and_only_by_plan() -> None:
    """A restore starts after its plan, once, and never again after an interruption (R2, R7)."""
    for state in (ASKED, STARTED, UNDOING):
        assert refused(state, start).code == "superseded"


def test_restore_completes() -> None:
    """A started restore completes with its result, and its target is free again (R6, R8)."""
    then = when(STARTED, ReportRestored(R1, RESULT))

    assert (RestoreCompleted(cache=USERS, restore_id=R1, result=RESULT),) == then.events
    assert [] == list(outstanding(then.state))


def test_failure_before_the_start_leaves_nothing_to_undo() -> None:
    """A restore that fails before it changed anything is over at once (R7)."""
    for state in (ASKED, after(ASKED, ReportPlan(R1, plan()))):
        (end,) = when(state, ReportRestoreFailed(R1, OUTSIDE)).events
        assert isinstance(end, RestoreFailed)
        assert (True, OUTSIDE) == (end.undone, end.failure)


def test_failure_after_the_start_is_undone_first() -> None:
    """A restore that fails after it changed its target is over only when that is undone (R7)."""
    then = when(STARTED, ReportRestoreFailed(R1, OUTSIDE))

    assert (RestoreInterrupted(cache=USERS, restore_id=R1, failure=OUTSIDE),) == then.events
    assert [UndoWork(R1, USERS)] == list(outstanding(then.state))
    assert RestoreWork(R1, USERS) not in outstanding(then.state)


def test_undone_restore_has_failed() -> None:
    """When all is undone the first failure is what the restore failed of (R7)."""
    (end,) = when(UNDOING, ReportUndone(R1, loaded=False, notes=("look at it",))).events

    assert isinstance(end, RestoreFailed)
    assert (True, OUTSIDE, ("look at it",)) == (end.undone, end.failure, end.by_hand)


def test_undone_restore_says_what_the_target_serves() -> None:
    """A target that had loaded the backup before the interruption is told apart (R7)."""
    (end,) = when(UNDOING, ReportUndone(R1, loaded=True)).events

    assert isinstance(end, RestoreFailed)
    assert "had loaded the backup" in end.failure.message


def test_restore_is_interrupted_once() -> None:
    """While a restore is being undone further failures are no news: the log does not grow."""
    assert refused(UNDOING, ReportRestoreFailed(R1, OUTSIDE)).code == "superseded"


def test_failed_restore_says_how_to_repeat_it() -> None:
    """A failed restore holds the command that repeats it (R7).

    Whether to overwrite is asked anew (R3): clients may have written since.
    """
    command = RequestRestore(B1, "users", replace=True, safety_backup=False, force=("memory",))
    state = when(BACKED_UP, command, new_id=R1).state

    (end,) = when(state, ReportRestoreFailed(R1, OUTSIDE)).events

    assert isinstance(end, RestoreFailed)
    assert end.command == f"valkeep restore {B1} --to users --force memory --no-safety-backup"


LATE: list[Report] = [
    ReportPlan(R1, plan()),
    ReportRestored(R1, RESULT),
    ReportRestoreFailed(R1, OUTSIDE),
    ReportUndone(R1, loaded=False),
]


@pytest.mark.parametrize("report", LATE, ids=lambda report: type(report).__name__)
def test_late_reports_change_nothing(report: Report) -> None:
    """A report on a restore that has ended, or never was, is refused as superseded."""
    over = (
        BACKED_UP,
        after(STARTED, ReportRestored(R1, RESULT)),
        after(UNDOING, ReportUndone(R1, loaded=False)),
    )
    for state in over:
        error = refused(state, report)
        assert (Rejected, "superseded") == (type(error), error.code)


def test_reports_come_in_order() -> None:
    """A restore cannot complete before it starts, be planned twice, or be undone unbroken."""
    assert refused(ASKED, ReportRestored(R1, RESULT)).code == "superseded"
    assert refused(STARTED, ReportPlan(R1, plan())).code == "superseded"
    assert refused(STARTED, ReportUndone(R1, loaded=False)).code == "superseded"
    assert refused(UNDOING, ReportRestored(R1, RESULT)).code == "superseded"


def test_new_restore_can_follow_a_failed_one() -> None:
    """When a restore has ended its target can be restored into again (R8)."""
    state = after(UNDOING, ReportUndone(R1, loaded=False))

    (event,) = when(state, asked()).events

    assert isinstance(event, RestoreRequested)
