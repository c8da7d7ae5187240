"""Deciding on comparisons: what can be compared, and that both backups stay until the end."""

import pytest

from daemon.commands import (
    CancelComparison,
    DeleteBackup,
    ReportCompared,
    ReportNotCompared,
    RequestBackup,
    RequestComparison,
    StartDaemon,
)
from events.comparisons import ComparisonFailed, ComparisonRequested
from events.differences import ComparisonId, ComparisonResult, ComparisonWish, KeyCounts
from events.facts import InstallationId
from events.types import CacheRegistered, CacheSuspended
from projections.state import State
from projections.work import ComparisonWork, outstanding
from tests.support.given import NOON, after, given, refused, when
from tests.support.samples import B1, B2, B3, FOR_GOOD, ORDERS, SETTINGS, USERS, complete, under_way

X = ComparisonId("20260301T120000Z-0000d001")
RESULT = ComparisonResult(KeyCounts(same=7), NOON, NOON, "valkey 8.1.8", 1.0, 2.0)


def two() -> State:
    """Two caches, and two backups of the first."""
    caches = [CacheRegistered(cache=name, settings=SETTINGS) for name in (ORDERS, USERS)]
    return given(*caches, *complete(B1, name="one"), *complete(B2, name="two"))


def test_both_backups_are_held_until_the_end() -> None:
    """A comparison holds both backups (A11), and lets them go when it has ended."""
    asked = when(two(), RequestComparison("orders/one", "orders/two", ("a*",), 3, 10), new_id=X)
    (event,) = asked.events
    wish = ComparisonWish(("a*",), 3, 10)
    assert ComparisonRequested(ORDERS, X, B1, ORDERS, B2, wish) == event
    assert {B1: 1, B2: 1} == dict(asked.state.held)
    assert [ComparisonWork(X, ORDERS)] == list(outstanding(asked.state))
    assert "backup-held" == refused(asked.state, DeleteBackup(B2)).code

    ended = when(asked.state, ReportCompared(X, RESULT)).state
    assert {} == dict(ended.held)
    assert [] == list(outstanding(ended))
    assert ("completed", RESULT) == (ended.comparisons[X].phase, ended.comparisons[X].result)
    assert "superseded" == refused(ended, ReportNotCompared(X, FOR_GOOD)).code


def test_backup_against_itself_is_held_twice_and_let_go() -> None:
    """Comparing a backup with itself is allowed, and leaves nothing held."""
    state = when(two(), RequestComparison(B1, B1), new_id=X).state
    assert {B1: 2} == dict(state.held)
    assert {} == dict(when(state, ReportNotCompared(X, FOR_GOOD)).state.held)


def test_name_of_a_cache_means_it_is_live() -> None:
    """Where the second side is a cache's name the comparison is with the cache as it is now."""
    (event,) = when(two(), RequestComparison("orders/one", "users")).events
    assert isinstance(event, ComparisonRequested)
    assert (USERS, None) == (event.second_cache, event.second_backup_id)


def test_what_cannot_be_compared_is_refused() -> None:
    """Unfinished backups, suspended caches, and caches that are being restored into."""
    unfinished = when(two(), RequestBackup("orders", "three"), new_id=B3).state
    assert "backup-unfinished" == refused(unfinished, RequestComparison(B1, B3)).code
    assert "unknown-backup" == refused(two(), RequestComparison(B1, "elsewhere")).code

    gone = given(CacheSuspended(cache=USERS, reason="it is not declared"), state=two())
    assert "cache-suspended" == refused(gone, RequestComparison(B1, "users")).code

    restoring = given(*under_way(B2, to=USERS), state=two())
    assert "restore-running" == refused(restoring, RequestComparison(B1, "users")).code


@pytest.mark.parametrize(
    "command",
    [
        RequestComparison(B1, B2, names=-1),
        RequestComparison(B1, B2, database=-1),
        RequestComparison(B1, B2, keys=("",)),
        RequestComparison(B1, B2, keys=("a*",) * 65),
    ],
)
def test_wish_without_sense_is_refused(command: RequestComparison) -> None:
    """Numbers are not negative; patterns are not empty, and not more than can be looked for."""
    assert "comparison" == refused(two(), command).code


def test_cancelled_comparison_has_failed() -> None:
    """A comparison that is cancelled ends at once, and cannot be cancelled twice."""
    state = when(two(), RequestComparison(B1, B2), new_id=X).state
    ended = when(state, CancelComparison(X))
    (event,) = ended.events
    assert isinstance(event, ComparisonFailed)
    assert "cancelled" == event.failure.code
    assert {} == dict(ended.state.held)
    assert "comparison-over" == refused(ended.state, CancelComparison(X)).code
    assert "unknown-comparison" == refused(ended.state, CancelComparison("x")).code


def test_start_ends_what_was_cut_off() -> None:
    """After a start a comparison that was under way has failed, and its backups are free."""
    state = when(two(), RequestComparison(B1, B2), new_id=X).state
    started = after(state, StartDaemon(InstallationId("i"), "1.0"))
    failure = started.comparisons[X].failure
    assert failure is not None
    assert ("interrupted", {}) == (failure.code, dict(started.held))
