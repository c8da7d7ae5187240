"""The catalog: what is listed, whose name is taken, what a reference means."""

import pytest

from events.facts import BackupId
from events.types import (
    BackupAbandoned,
    BackupDeleted,
    BackupFailed,
    DeletionRequested,
    Event,
    RetryScheduled,
    SnapshotTaken,
)
from projections import catalog
from projections.catalog import KEPT_FAILURES
from tests.support.given import NOON, an_id, given
from tests.support.samples import (
    B1,
    B2,
    ORDERS,
    OUTSIDE,
    SNAPSHOT,
    SOON,
    STORED,
    USERS,
    abandoned,
    attempted,
    complete,
    registered,
    requested,
    running,
    swept,
)

failed = BackupFailed(cache=ORDERS, backup_id=B1, attempt=1, failure=OUTSIDE)
to_go = DeletionRequested(cache=ORDERS, backup_id=B1, reason="command")
UNLISTED: dict[str, tuple[Event, ...]] = {
    "waiting": (requested(),),
    "running": running(),
    "snapshot taken": (*running(), SnapshotTaken(cache=ORDERS, backup_id=B1, snapshot=SNAPSHOT)),
    "waiting for a retry": (
        *running(),
        failed,
        RetryScheduled(cache=ORDERS, backup_id=B1, retry_at=NOON),
    ),
    "failed": abandoned(),
    "failed and swept": (*abandoned(), swept()),
    "deleting": (*complete(), to_go),
    "deleted": (*complete(), to_go, BackupDeleted(cache=ORDERS, backup_id=B1)),
}


@pytest.mark.parametrize("phase", UNLISTED)
def test_only_complete_backups_are_listed(phase: str) -> None:
    """Nothing partial is ever listed as a backup, whatever phase it is in (S1)."""
    state = given(registered(), *UNLISTED[phase])

    assert [] == list(catalog.listed(state.catalog))
    assert [] == list(catalog.listed(state.catalog, ORDERS))


def test_complete_backup_is_listed() -> None:
    """A backup is listed from its completion on, with what was stored (S1)."""
    state = given(registered(), *complete())

    (backup,) = catalog.listed(state.catalog)

    assert (B1, STORED) == (backup.backup_id, backup.stored)
    assert not backup.unswept


def test_listing_is_by_age() -> None:
    """Backups are listed in the order in which they were asked for, over all caches."""
    state = given(registered(), registered(USERS), *complete(B2), *complete(B1, cache=USERS))

    assert [B2, B1] == [backup.backup_id for backup in catalog.listed(state.catalog)]
    assert [B2] == [backup.backup_id for backup in catalog.listed(state.catalog, ORDERS)]


def test_asked_for_and_missing_is_unfinished() -> None:
    """What waits, runs or has failed is told apart from backups, and from what is going."""
    state = given(registered(), *complete(B1), *running(B2), requested(an_id(7)))

    unfinished = [backup.backup_id for backup in catalog.unfinished(state.catalog)]

    assert [B2, an_id(7)] == unfinished


def test_attempt_may_leave_something() -> None:
    """From an attempt's start until completion or sweep, leftovers may lie in the vault (S1)."""

    def unswept(*events: Event) -> bool:
        return given(registered(), *events).catalog[ORDERS][B1].unswept

    assert not unswept(requested())
    assert unswept(*running())
    assert unswept(*abandoned())
    assert not unswept(*abandoned(), swept())
    assert not unswept(*complete())


def test_failed_attempt_forgets_its_snapshot() -> None:
    """The facts of a snapshot that was not stored are not those of the backup."""
    taken = SnapshotTaken(cache=ORDERS, backup_id=B1, snapshot=SNAPSHOT)

    backup = given(registered(), *running(), taken, failed).catalog[ORDERS][B1]

    assert backup.snapshot is None
    assert backup.failure == OUTSIDE


def test_second_attempt_counts() -> None:
    """A retry keeps the count of attempts and drops the instant it waited for."""
    retry = RetryScheduled(cache=ORDERS, backup_id=B1, retry_at=SOON)
    waiting = given(registered(), *running(), failed, retry, swept())
    assert waiting.catalog[ORDERS][B1].not_before == SOON

    again = given(attempted(attempt=2), state=waiting).catalog[ORDERS][B1]

    assert (2, None, "running") == (again.attempts, again.not_before, again.phase)


def test_living_names_are_taken() -> None:
    """Names of backups to be made and of complete ones are taken; failed and dying give back (M1).

    A failed backup and one that is being deleted give their names back.
    """
    living = given(registered(), requested(B1), *running(B2), *complete(an_id(3)))
    dead = given(registered(), *abandoned(B2), *complete(B1), to_go)

    assert [B1, B2, an_id(3)] == [b.backup_id for b in catalog.living(living.catalog)]
    assert [] == list(catalog.living(dead.catalog))


def test_old_failures_are_forgotten() -> None:
    """So many failures of a cache are remembered, the newest; the log has the others."""
    many: list[Event] = []
    for number in range(KEPT_FAILURES + 3):
        many += [*abandoned(an_id(number)), swept(an_id(number))]

    kept = given(registered(), *many).catalog[ORDERS]

    assert [an_id(n) for n in range(3, KEPT_FAILURES + 3)] == sorted(kept)


def test_unswept_failures_are_never_forgotten() -> None:
    """A failure whose leftovers may still be in the vault is kept until they are swept (S1)."""
    many: list[Event] = []
    for number in range(KEPT_FAILURES + 3):
        many += abandoned(an_id(number))

    state = given(registered(), *many)

    assert len(state.catalog[ORDERS]) == len(state.open_backups) == KEPT_FAILURES + 3


def test_complete_backups_do_not_count_as_failures() -> None:
    """However many failures there are, a complete backup is not forgotten for them."""
    many: list[Event] = list(complete(an_id(0)))
    for number in range(1, KEPT_FAILURES + 3):
        many += [
            requested(an_id(number)),
            BackupAbandoned(cache=ORDERS, backup_id=an_id(number), reason="the cache went"),
        ]

    listed = catalog.listed(given(registered(), *many).catalog)

    assert [an_id(0)] == [backup.backup_id for backup in listed]


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        (B1, [B1]),
        (B1[:-1], [B1, B2]),
        (B1[:8], [B1, B2]),
        ("orders/nightly", [B1]),
        ("users/nightly", [B2]),
        ("orders/other", []),
        ("nobody/nightly", []),
        ("nightly", []),
        ("orders/", []),
        (f"orders/{B1}", []),
        ("x", []),
    ],
)
def test_reference(reference: str, found: list[BackupId]) -> None:
    """A reference is an id, the beginning of one, or CACHE/NAME; it may mean several backups."""
    state = given(
        registered(),
        registered(USERS),
        *complete(B1, name="nightly"),
        *complete(B2, cache=USERS, name="nightly"),
    )

    assert found == [backup.backup_id for backup in catalog.find(state.catalog, reference)]


def test_whole_id_is_not_a_prefix() -> None:
    """A reference that is one id whole means that one, even if another begins with it."""
    longer = BackupId(f"{B1}-1")
    state = given(registered(), *complete(B1), *complete(longer))

    assert [B1] == [backup.backup_id for backup in catalog.find(state.catalog, B1)]
