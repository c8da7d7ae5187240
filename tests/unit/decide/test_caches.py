"""Deciding on caches: rules C1 to C3, A10 and M2."""

from hypothesis import example
from hypothesis import given as for_all
from hypothesis import strategies as st

from daemon.commands import (
    DeclaredCache,
    ReconcileCaches,
    RecordCache,
    RemoveCache,
    RequestBackup,
    SetCache,
)
from daemon.errors import BadRequest, NotFound, Rejected
from events.facts import CacheSettings
from events.types import (
    BackupAbandoned,
    CacheReconfigured,
    CacheRegistered,
    CacheRemoved,
    CacheSuspended,
    DeletionRequested,
    RestoreFailed,
    RestoreInterrupted,
)
from projections import catalog
from projections.work import DeletionWork, SweepWork, outstanding, ready
from tests.support.given import NOON, after, given, refused, when
from tests.support.samples import (
    B1,
    B2,
    B3,
    FILE,
    ORDERS,
    OTHER_SETTINGS,
    OUTSIDE,
    PROBE,
    R1,
    SETTINGS,
    USERS,
    add_cache,
    complete,
    registered,
    requested,
    restoring,
    running,
    set_cache,
    under_way,
)

gone = CacheSuspended(cache=ORDERS, reason=f"it is no longer declared in {FILE}")
ALNUM = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def declared(settings: CacheSettings = SETTINGS) -> ReconcileCaches:
    """A configuration file that declares `orders`."""
    return ReconcileCaches((DeclaredCache(ORDERS, settings),), FILE)


NOTHING = ReconcileCaches((), FILE)


def allowed_cache_name(name: str) -> bool:
    """C1 in other words than the program's."""
    return 1 <= len(name) <= 64 and name[0] in ALNUM and all(c in ALNUM + "_-" for c in name[1:])


@for_all(st.text(max_size=70) | st.text(ALNUM + "_-./\n", min_size=1, max_size=66))
@example("orders\n")
@example("a" * 64)
@example("a" * 65)
@example("..")
@example("a/../b")
@example("a\0b")
@example("-a")
@example("é")
@example("٣")
def test_cache_names(name: str) -> None:
    """Nothing but names of C1 become caches: 1 to 64 letters, digits, '-' and '_'."""
    if allowed_cache_name(name):
        (event,) = when(given(), add_cache(name)).events
        assert isinstance(event, CacheRegistered)
    else:
        error = refused(given(), add_cache(name))
        assert isinstance(error, BadRequest)
        assert error.code == "cache-name"


def test_added_cache_is_recorded_with_its_probe() -> None:
    """What was found when a cache was added is recorded with it (C2)."""
    command = RecordCache(add_cache("orders").request, SETTINGS, PROBE)

    assert (CacheRegistered(cache=ORDERS, settings=SETTINGS, probe=PROBE),) == when(
        given(), command
    ).events


def test_cache_can_be_added_unprobed() -> None:
    """A cache that was not probed is recorded all the same (C2)."""
    assert (registered(),) == when(given(), add_cache("orders")).events


def test_changed_cache_is_recorded_with_its_probe() -> None:
    """What was found when a cache was changed is recorded with the change (C2)."""
    command = RecordCache(SetCache(name="orders"), OTHER_SETTINGS, PROBE)

    (event,) = when(given(registered()), command).events

    assert event == CacheReconfigured(cache=ORDERS, settings=OTHER_SETTINGS, probe=PROBE)


def test_cache_is_added_once() -> None:
    """A second cache of the same name is refused; a changed one is another command (C1)."""
    assert refused(given(registered()), add_cache("orders")).code == "cache-exists"


def test_unknown_cache_is_not_changed() -> None:
    """Changing or removing a cache that is not there names those that are."""
    for command in (set_cache("ordres"), RemoveCache("ordres")):
        error = refused(given(registered()), command)
        assert isinstance(error, NotFound)
        assert "orders" in error.hint


def test_declared_cache_is_registered() -> None:
    """A cache that the file declares is registered, once (C3)."""
    first = when(given(), declared())

    assert (registered(declared=True),) == first.events
    assert () == when(first.state, declared()).events


def test_declared_cache_is_changed_with_the_file() -> None:
    """A cache follows the settings in the file (C3)."""
    state = given(registered(declared=True))

    change = CacheReconfigured(cache=ORDERS, settings=OTHER_SETTINGS, declared=True, file=FILE)
    assert (change,) == when(state, declared(OTHER_SETTINGS)).events


def test_undeclared_cache_is_suspended_not_removed() -> None:
    """A declared cache that leaves the file is suspended, once, and never removed (C3)."""
    first = when(given(registered(declared=True), *complete()), NOTHING)

    assert (gone,) == first.events
    assert ORDERS in first.state.caches
    assert [B1] == [backup.backup_id for backup in catalog.listed(first.state.catalog)]
    assert () == when(first.state, NOTHING).events


def test_file_does_not_touch_caches_added_by_command() -> None:
    """A cache that was added by command is not suspended because no file declares it (C3)."""
    assert () == when(given(registered()), NOTHING).events


def test_suspended_cache_is_taken_up_again_by_the_file() -> None:
    """A suspended cache that the file declares again is in service again (C3)."""
    then = when(given(registered(declared=True), gone), declared())

    assert (
        CacheReconfigured(cache=ORDERS, settings=SETTINGS, declared=True, file=FILE),
    ) == then.events
    assert then.state.caches[ORDERS].suspended is None


def test_file_takes_over_a_cache_added_by_command() -> None:
    """A cache that was added by command and is declared later belongs to the file (C3)."""
    state = after(given(registered()), declared())

    assert state.caches[ORDERS].declared
    assert refused(state, set_cache("orders")).code == "cache-declared"


def test_declared_cache_is_not_changed_by_command() -> None:
    """A command that changes or removes a declared cache is refused, naming the place (C3)."""
    for command in (set_cache("orders"), RemoveCache("orders")):
        error = refused(given(registered(declared=True)), command)
        assert (Rejected, "cache-declared") == (type(error), error.code)
        assert FILE in error.message
        assert "[caches.orders]" in error.hint


def test_suspended_cache_is_taken_over_by_command() -> None:
    """`cache set` takes over a suspended cache; from then on no file suspends it (C3)."""
    state = after(given(registered(declared=True), gone), set_cache("orders"))

    assert (None, False) == (state.caches[ORDERS].suspended, state.caches[ORDERS].declared)
    assert () == when(state, NOTHING).events


def test_suspended_cache_takes_no_new_backups() -> None:
    """A backup of a suspended cache is refused, with both ways out in the hint (C3)."""
    error = refused(given(registered(declared=True), gone), RequestBackup("orders", "one"))

    assert error.code == "cache-suspended"
    assert "Declare it again" in error.hint
    assert "cache set orders" in error.hint


def test_suspended_cache_is_removed_by_command() -> None:
    """Only `cache remove` removes; a suspended cache may be removed (C3)."""
    state = after(given(registered(declared=True), gone), RemoveCache("orders"))

    assert ORDERS not in state.caches


def test_order_in_the_file_means_nothing() -> None:
    """Reconciling decides the same events whatever order the file has."""
    one, two = DeclaredCache(ORDERS, SETTINGS), DeclaredCache(USERS, OTHER_SETTINGS)

    events = when(given(), ReconcileCaches((one, two), FILE)).events

    assert events == when(given(), ReconcileCaches((two, one), FILE)).events
    assert [ORDERS, USERS] == [
        event.cache for event in events if isinstance(event, CacheRegistered)
    ]


def test_removal_deletes_automatic_backups_only() -> None:
    """Removing a cache deletes its auto and safety backups; manual ones stay (A10, M2)."""
    state = given(
        registered(),
        *complete(B1),
        *complete(B2, kind="auto"),
        *complete(B3, kind="safety"),
    )

    then = when(state, RemoveCache("orders"))

    assert then.events == (
        DeletionRequested(cache=ORDERS, backup_id=B2, reason="cache-removed"),
        DeletionRequested(cache=ORDERS, backup_id=B3, reason="cache-removed"),
        CacheRemoved(cache=ORDERS),
    )
    assert [B1] == [backup.backup_id for backup in catalog.listed(then.state.catalog)]


def test_removal_leaves_other_caches_alone() -> None:
    """Removing a cache touches no backup of another (A10)."""
    state = given(registered(), registered(USERS), *complete(B1, cache=USERS, kind="auto"))

    assert (CacheRemoved(cache=ORDERS),) == when(state, RemoveCache("orders")).events


def test_removal_ends_unfinished_backups() -> None:
    """A backup that waits or runs when its cache is removed is abandoned, and swept (S1)."""
    then = when(given(registered(), requested(B1), *running(B2)), RemoveCache("orders"))

    reason = "the cache was removed"
    assert then.events[:2] == (
        BackupAbandoned(cache=ORDERS, backup_id=B1, reason=reason),
        BackupAbandoned(cache=ORDERS, backup_id=B2, reason=reason),
    )
    assert [SweepWork(B2, ORDERS)] == list(outstanding(then.state))


def test_held_backup_outlives_its_cache_until_the_reader_ends() -> None:
    """An auto backup that a restore reads is deleted only when the restore has ended (A10)."""
    held = given(
        registered(),
        registered(USERS),
        *complete(B1, kind="auto"),
        *under_way(B1, to=USERS),
    )
    removed = after(held, RemoveCache("orders"))
    deletion = DeletionWork(B1, ORDERS)
    assert deletion in outstanding(removed)
    assert not ready(removed, deletion, NOON)

    end = RestoreFailed(cache=USERS, restore_id=R1, failure=OUTSIDE, undone=True, command="")
    assert ready(given(end, state=removed), deletion, NOON)


def test_cache_is_not_removed_under_a_restore() -> None:
    """A cache that a restore is writing to is not removed (R8)."""
    for events in ((restoring(to=USERS),), under_way(to=USERS)):
        state = given(registered(), registered(USERS), *complete(), *events)
        assert refused(state, RemoveCache("users")).code == "restore-running"


def test_removal_gives_up_an_undoing() -> None:
    """A target that never answers again can be removed: what is left to type is kept (R7)."""
    state = given(
        registered(),
        registered(USERS),
        *complete(),
        *under_way(to=USERS),
        RestoreInterrupted(cache=USERS, restore_id=R1, failure=OUTSIDE),
    )

    then = when(state, RemoveCache("users"))

    (end, _) = then.events
    assert isinstance(end, RestoreFailed)
    assert (False, ("REPLICAOF NO ONE",)) == (end.undone, end.by_hand)
    assert not then.state.active
    assert not then.state.held


def test_cache_added_again_goes_on_with_its_backups() -> None:
    """A cache added again under its name has the manual backups it had, names taken (M2)."""
    state = given(registered(), *complete(name="first"))
    again = after(state, RemoveCache("orders"), add_cache("orders"))

    assert [B1] == [backup.backup_id for backup in catalog.listed(again.catalog, ORDERS)]
    assert refused(again, RequestBackup("orders", "first")).code == "backup-exists"
