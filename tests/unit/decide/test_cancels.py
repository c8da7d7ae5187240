"""Deciding on cancelled backups, and on what a stuck call leaves (faults 30 and 43; C3)."""

import pytest

from daemon.commands import (
    CancelBackup,
    DeleteBackup,
    ReconcileCaches,
    ReportAttemptFailed,
    ReportSnapshot,
    ReportStored,
    ReportStuck,
    ReportSwept,
    StartAttempt,
)
from events.facts import Failure
from events.types import (
    BackupAbandoned,
    BackupCancelled,
    BackupFailed,
    CacheSuspended,
    LeftoversStuck,
    LeftoversSwept,
)
from projections import catalog
from projections.work import BackupWork, DeletionWork, SweepWork, outstanding, ready
from tests.support.given import NOON, after, given, may_start, refused, when
from tests.support.samples import (
    B1,
    B2,
    FILE,
    ORDERS,
    OUTSIDE,
    SNAPSHOT,
    STORED,
    abandoned,
    complete,
    registered,
    requested,
    running,
    swept,
)

CACHES = given(registered())
RUNNING = given(*running(name="one"), state=CACHES)
STUCK = Failure(code="stuck", message="It hangs.", hint="Look.")
OURS = ReportAttemptFailed(B1, OUTSIDE, by_daemon=True)
HANGS = ReportStuck(B1, STUCK, "write")


@pytest.mark.parametrize("reference", [B1, "orders/one", B1[:-1]])
def test_running_backup_is_cancelled(reference: str) -> None:
    """A running backup ends by one event that names its attempt; then what it left is swept."""
    then = when(RUNNING, CancelBackup(reference))

    assert (BackupCancelled(cache=ORDERS, backup_id=B1, attempt=1),) == then.events
    assert [SweepWork(B1, ORDERS)] == list(outstanding(then.state))
    backup = then.state.catalog[ORDERS][B1]
    assert ("cancelled", "it was cancelled by anna") == (backup.phase, backup.abandoned)


def test_waiting_backup_is_cancelled() -> None:
    """A backup that only waits is over at once, with nothing to sweep and its name free again."""
    then = when(given(requested(name="one"), state=CACHES), CancelBackup("orders/one"))

    assert (BackupCancelled(cache=ORDERS, backup_id=B1, attempt=0),) == then.events
    assert [] == list(outstanding(then.state))
    assert () == catalog.find(then.state.catalog, "orders/one")


def test_reports_of_what_was_cancelled_are_refused() -> None:
    """Whichever is first in the log holds: after a cancel no report of the attempt is taken."""
    state = after(RUNNING, CancelBackup(B1))

    for report in (ReportSnapshot(B1, SNAPSHOT, 1), ReportStored(B1, STORED, 1), OURS):
        assert "superseded" == refused(state, report).code
    assert not may_start(state, B1)


@pytest.mark.parametrize(
    ("story", "code"),
    [
        ((*complete(name="one"),), "backup-complete"),
        ((*abandoned(name="one"),), "backup-over"),
        (
            (*running(name="one"), BackupCancelled(cache=ORDERS, backup_id=B1, attempt=1), swept()),
            "already-cancelled",
        ),
    ],
)
def test_what_is_over_is_not_cancelled(story: tuple[BackupFailed, ...], code: str) -> None:
    """What is complete, given up or cancelled is refused, by name and by id, saying which it is."""
    state = given(*story, state=CACHES)

    assert code == refused(state, CancelBackup("orders/one")).code
    assert code == refused(state, CancelBackup(B1)).code


def test_deleted_backup_is_not_cancelled() -> None:
    """A backup that is being deleted cannot be cancelled."""
    state = after(given(*complete(), state=CACHES), DeleteBackup(B1))

    assert "backup-deleting" == refused(state, CancelBackup(B1)).code


def test_safety_backup_ends_with_its_restore() -> None:
    """A safety backup is not cancelled on its own; the refusal names its restore."""
    error = refused(given(*running(kind="safety"), state=CACHES), CancelBackup(B1))

    assert "safety-backup" == error.code
    assert "restore" in error.message


def test_unknown_backup_is_not_cancelled() -> None:
    """A reference that fits nothing, or nothing at all, is not found."""
    assert {"unknown-backup"} == {refused(RUNNING, CancelBackup(x)).code for x in ("zzz", "")}


def test_old_attempts_are_not_heard() -> None:
    """A report that names another attempt than the one that runs is refused (I10)."""
    state = after(RUNNING, OURS, ReportSwept(B1), StartAttempt(B1))
    assert 2 == state.catalog[ORDERS][B1].attempts

    for report in (
        ReportSnapshot(B1, SNAPSHOT, 1),
        ReportStored(B1, STORED, 1),
        ReportAttemptFailed(B1, OUTSIDE, attempt=1),
    ):
        assert "superseded" == refused(state, report).code
    assert when(state, ReportStored(B1, STORED, 2)).events


def test_stuck_attempt_fails_and_is_swept_apart() -> None:
    """An attempt whose call has not returned has failed; its leftovers hold up nothing else."""
    then = when(RUNNING, HANGS)

    assert [BackupFailed, LeftoversStuck, BackupAbandoned] == [type(e) for e in then.events]
    backup = then.state.catalog[ORDERS][B1]
    assert (False, (1,), then.state.last_at) == (backup.unswept, backup.stuck, backup.stuck_since)
    assert [SweepWork(B1, ORDERS, (1,))] == list(outstanding(then.state))

    (gone,) = when(then.state, ReportSwept(B1, (1,))).events
    assert LeftoversSwept(cache=ORDERS, backup_id=B1, attempts=(1,)) == gone
    assert [] == list(outstanding(after(then.state, ReportSwept(B1, (1,)))))


def test_stuck_sweep_holds_up_no_retry() -> None:
    """When it is the sweep that hangs, the next attempt may start all the same."""
    state = after(RUNNING, OURS)
    assert not may_start(state, B1)

    state = after(state, ReportStuck(B1, STUCK, "sweep"))
    assert may_start(state, B1)
    assert [SweepWork(B1, ORDERS, (1,)), BackupWork(B1, ORDERS)] == list(outstanding(state))


def test_complete_backup_with_a_stuck_attempt_is_kept() -> None:
    """The sweep of a stuck attempt is of that attempt only; a deletion waits for it."""
    state = after(RUNNING, OURS, ReportStuck(B1, STUCK, "sweep"), StartAttempt(B1))
    state = after(state, ReportStored(B1, STORED, 2))
    assert [SweepWork(B1, ORDERS, (1,))] == list(outstanding(state))

    state = after(state, DeleteBackup(B1))
    work = DeletionWork(B1, ORDERS)
    assert work in list(outstanding(state))
    assert not ready(state, work, NOON)
    assert ready(after(state, ReportSwept(B1, (1,))), work, NOON)


def test_sweeps_that_are_not_due_are_refused() -> None:
    """Nothing is swept, or told as stuck, that is not waiting for a sweep."""
    stuck = after(RUNNING, HANGS)

    assert "superseded" == refused(stuck, ReportSwept(B1)).code
    assert "superseded" == refused(stuck, ReportSwept(B1, (1, 2))).code
    assert "superseded" == refused(stuck, HANGS).code
    assert "superseded" == refused(RUNNING, ReportSwept(B1, (1,))).code


def test_waiting_manual_backup_ends_with_its_caches_service() -> None:
    """A manual backup that waits when its cache is suspended is given up, saying why (C3)."""
    state = given(registered(declared=True), *running(), requested(B2))
    then = when(state, ReconcileCaches((), FILE))

    assert [CacheSuspended, BackupAbandoned] == [type(event) for event in then.events]
    assert ("running", "failed") == tuple(then.state.catalog[ORDERS][b].phase for b in (B1, B2))
    assert "suspended before it could start" in (then.state.catalog[ORDERS][B2].abandoned or "")


def test_manual_backup_of_a_suspended_cache_is_not_tried_again() -> None:
    """One that fails after its cache was suspended has no second attempt to wait for (C3)."""
    state = given(*running(), CacheSuspended(cache=ORDERS, reason="gone"), state=CACHES)
    _, last = when(state, OURS).events

    assert isinstance(last, BackupAbandoned)
    assert "suspended: gone" in last.reason
