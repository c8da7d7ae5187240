"""Deciding on backups as a person sees them: rules M1, M2, R4, R8 and references."""

import pytest
from hypothesis import example
from hypothesis import given as for_all
from hypothesis import strategies as st

from daemon.commands import (
    DeleteBackup,
    RemoveCache,
    ReportDeleted,
    RequestBackup,
    RequestSafetyBackup,
)
from daemon.errors import BadRequest, NotFound, Rejected
from events.types import BackupDeleted, BackupRequested, DeletionRequested, RestoreInterrupted
from projections import catalog
from tests.support.given import after, an_id, given, may_start, refused, when
from tests.support.samples import (
    B1,
    B2,
    MAIN,
    ORDERS,
    OUTSIDE,
    R1,
    USERS,
    abandoned,
    complete,
    registered,
    requested,
    restoring,
    running,
    swept,
    under_way,
)

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
INNER = LETTERS + "0123456789._-"
CACHES = given(registered(), registered(USERS))
to_go = DeletionRequested(cache=ORDERS, backup_id=B1, reason="command")


def allowed_backup_name(name: str) -> bool:
    """M1 in other words than the program's."""
    return 1 <= len(name) <= 100 and name[0] in LETTERS and all(c in INNER for c in name[1:])


@for_all(st.text(max_size=110) | st.text(INNER + "/\n ", min_size=1, max_size=102))
@example("before-migration\n")
@example("a" * 100)
@example("a" * 101)
@example("1a")
@example(".a")
@example("../../etc")
@example("a\0")
@example("ä")
@example("aé")
@example("a٣")
def test_backup_names(name: str) -> None:
    """Nothing but names of M1 become backups; anything else is refused with the rule."""
    if allowed_backup_name(name):
        (event,) = when(CACHES, RequestBackup("orders", name)).events
        assert isinstance(event, BackupRequested)
        assert event.name == name
    else:
        error = refused(CACHES, RequestBackup("orders", name))
        assert (BadRequest, "backup-name") == (type(error), error.code)
        assert "1 to 100" in error.hint


def test_backup_goes_to_its_caches_vault() -> None:
    """A requested backup is manual, and will be stored in the vault of its cache (M2)."""
    (event,) = when(CACHES, RequestBackup("orders", "one"), new_id=B1).events

    assert event == requested(B1, name="one")
    assert isinstance(event, BackupRequested)
    assert event.vault == MAIN


def test_backup_of_an_unknown_cache_is_not_found() -> None:
    """A backup of a cache that is not there names those that are."""
    error = refused(CACHES, RequestBackup("order", "one"))

    assert isinstance(error, NotFound)
    assert "orders, users" in error.hint


@pytest.mark.parametrize(
    "events", [(requested(name="one"),), running(name="one"), complete(name="one")]
)
def test_living_backup_keeps_its_name(events: tuple[BackupRequested, ...]) -> None:
    """A name is unique among the living backups of its cache (M1)."""
    error = refused(given(*events, state=CACHES), RequestBackup("orders", "one"))

    assert (Rejected, "backup-exists") == (type(error), error.code)
    assert B1 in error.message


def test_names_are_per_cache() -> None:
    """Two caches may have backups of the same name (M1)."""
    state = given(*complete(name="one"), state=CACHES)

    assert when(state, RequestBackup("users", "one")).events


def test_failed_backup_gives_its_name_back() -> None:
    """The name of a failed backup can be taken at once, swept or not (M1)."""
    failed = given(*abandoned(name="one"), state=CACHES)

    assert when(failed, RequestBackup("orders", "one")).events
    assert when(given(swept(), state=failed), RequestBackup("orders", "one")).events


def test_deleted_backup_gives_its_name_back() -> None:
    """The name of a backup can be taken from the moment its deletion is in the log (M1)."""
    state = after(given(*complete(name="one"), state=CACHES), DeleteBackup("orders/one"))

    assert when(state, RequestBackup("orders", "one")).events


def test_second_backup_waits_for_the_first() -> None:
    """Two backups of one cache can be asked for; the second starts when the first ends (R8)."""
    state = given(*running(B1), state=CACHES)
    then = when(state, RequestBackup("orders", "two"), new_id=B2)
    assert not may_start(then.state, B2)

    ended = given(*complete(B1)[-1:], state=then.state)
    assert may_start(ended, B2)


def test_backup_waits_for_a_restore_into_its_cache() -> None:
    """A backup can be asked for during a restore into its cache, and starts after it (R8)."""
    state = given(*complete(B1), *under_way(B1), state=CACHES)
    then = when(state, RequestBackup("orders", "two"), new_id=B2)

    assert not may_start(then.state, B2)


@pytest.mark.parametrize("reference", [B1, "orders/one", B1[:-1]])
def test_deletion_by_reference(reference: str) -> None:
    """A backup is deleted by its id, the beginning of it, or CACHE/NAME."""
    state = given(*complete(name="one"), state=CACHES)

    assert (to_go,) == when(state, DeleteBackup(reference)).events


def test_ambiguous_reference_deletes_nothing() -> None:
    """A reference that fits several backups is refused, and says which (M2)."""
    state = given(*complete(B1), *complete(B2, cache=USERS), state=CACHES)

    error = refused(state, DeleteBackup(B1[:-1]))

    assert error.code == "ambiguous-backup"
    assert B1 in error.message
    assert B2 in error.message


@pytest.mark.parametrize("reference", ["", "x", "orders/", "/", "orders/two", "users/one", "one"])
def test_unknown_reference_is_not_found(reference: str) -> None:
    """A reference that fits nothing is not found; nothing is guessed, least of all from ''."""
    error = refused(given(*complete(name="one"), state=CACHES), DeleteBackup(reference))

    assert (NotFound, "unknown-backup") == (type(error), error.code)


@pytest.mark.parametrize("events", [(requested(),), running()])
def test_unfinished_backup_is_not_deleted(events: tuple[BackupRequested, ...]) -> None:
    """A backup that is still being made cannot be deleted (R8)."""
    assert refused(given(*events, state=CACHES), DeleteBackup(B1)).code == "backup-unfinished"


@pytest.mark.parametrize("events", [abandoned(), (*complete(), to_go)])
def test_what_is_no_backup_is_not_deleted(events: tuple[BackupRequested, ...]) -> None:
    """Neither a failed backup nor one that is going already can be deleted."""
    error = refused(given(*events, state=CACHES), DeleteBackup(B1))

    assert error.code == "unknown-backup"
    assert "there is nothing of it to use or to delete" in error.message
    assert f"valkeep backup show {B1}" in error.hint


def test_backup_that_is_restored_is_not_deleted() -> None:
    """A backup that a restore is reading is not deleted, wherever it is restored to (R8)."""
    for events in ((restoring(to=USERS),), under_way(to=USERS), under_way(to=ORDERS)):
        state = given(*complete(), *events, state=CACHES)
        assert refused(state, DeleteBackup(B1)).code == "backup-held"


def test_deletion_ends_once() -> None:
    """A deletion is recorded when the vault has confirmed it, and only once."""
    then = when(given(*complete(), to_go, state=CACHES), ReportDeleted(B1))

    assert (BackupDeleted(cache=ORDERS, backup_id=B1),) == then.events
    assert refused(then.state, ReportDeleted(B1)).code == "superseded"


def test_only_what_is_going_can_be_gone() -> None:
    """A report that a living backup is gone is refused (S1)."""
    assert refused(given(*complete(), state=CACHES), ReportDeleted(B1)).code == "superseded"
    assert refused(given(*running(), state=CACHES), ReportDeleted(B1)).code == "superseded"


def test_manual_backup_outlives_its_cache() -> None:
    """A manual backup can still be found and deleted when its cache is removed (M2)."""
    state = after(given(*complete(name="one"), state=CACHES), RemoveCache("orders"))

    assert [B1] == [backup.backup_id for backup in catalog.listed(state.catalog, ORDERS)]
    assert (to_go,) == when(state, DeleteBackup("orders/one")).events


def test_safety_backup_belongs_to_its_restore() -> None:
    """A started restore gets a safety backup of its target, which may run at once (R4, R8)."""
    state = given(*complete(), *under_way(to=USERS), state=CACHES)

    then = when(state, RequestSafetyBackup(R1), new_id=B2)

    (event,) = then.events
    assert isinstance(event, BackupRequested)
    assert (USERS, "safety", R1) == (event.cache, event.kind, event.restore_id)
    assert R1 in event.name
    assert may_start(then.state, B2)


def test_restore_gets_one_safety_backup() -> None:
    """A restore gets one safety backup with one attempt, whatever became of it (R4)."""
    state = given(*complete(), *under_way(to=USERS), state=CACHES)
    once = when(state, RequestSafetyBackup(R1), new_id=B2)

    assert refused(once.state, RequestSafetyBackup(R1)).code == "superseded"
    done = given(*complete(B2, cache=USERS, kind="safety")[1:], state=once.state)
    assert refused(done, RequestSafetyBackup(R1)).code == "superseded"


def test_safety_backup_respects_names() -> None:
    """A safety backup does not take the name of a living backup (M1)."""
    state = given(*complete(), *under_way(to=USERS), state=CACHES)
    taken = given(requested(an_id(9), cache=USERS, name=f"before-restore-{R1}"), state=state)

    assert refused(taken, RequestSafetyBackup(R1)).code == "backup-exists"


def test_no_safety_backup_without_a_started_restore() -> None:
    """Only a restore that has begun to change its target gets a safety backup (R4)."""
    stopped = RestoreInterrupted(cache=USERS, restore_id=R1, failure=OUTSIDE)
    asked = given(*complete(), restoring(to=USERS), state=CACHES)
    undoing = given(*complete(), *under_way(to=USERS), stopped, state=CACHES)

    for state in (CACHES, asked, undoing):
        assert refused(state, RequestSafetyBackup(R1)).code == "superseded"
