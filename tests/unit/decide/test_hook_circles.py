"""What a hook asks for: decided as for anybody, and known, so that no circle goes on for ever."""

from msgspec.structs import replace

from daemon.commands import HookAsks, RequestBackup, RequestRestore, StartHook
from events.facts import CacheName
from events.hooks import Hook, HookAsked, HookEnding, HookRan, HooksSet, Passed
from events.types import BackupDeleted, BackupRequested, DeletionRequested, Event, RestoreRequested
from projections.hooks import before_backup, due, wanted
from projections.state import State
from tests.support.given import given, when
from tests.support.samples import B1, FILE, ORDERS, USERS, complete, registered

AGAIN = Hook("again", "after-backup", "/usr/local/bin/again", 60.0)
TELL = Hook("tell", "after-backup", "/usr/local/bin/tell", 60.0)
PAUSE = Hook("pause", "before-backup", "/usr/local/bin/pause", 60.0)
RUN = StartHook(ORDERS, "again", "after-backup", B1, 1)


def asking(*hooks: Hook, caches: tuple[CacheName, ...] = (ORDERS,)) -> State:
    """A backup is complete, and its hook is running."""
    names = [registered(cache) for cache in caches]
    state = given(*names, HooksSet(hooks or (AGAIN, TELL), FILE), *complete(B1))
    return when(state, RUN).state


def asked(events: tuple[Event, ...]) -> HookAsked | None:
    """What is recorded of who has asked."""
    return next((event for event in events if isinstance(event, HookAsked)), None)


def finished(state: State, event: BackupRequested) -> State:
    """That backup is made."""
    events = complete(event.backup_id, name=event.name, cache=event.cache)[1:]
    return given(*events, state=state)


def backed_up(state: State, request: RequestBackup, *, hook: str, work: str) -> State:
    """A hook asks for a backup, which is made."""
    then = when(state, HookAsks(request, hook, work))
    made = next(event for event in then.events if isinstance(event, BackupRequested))
    return finished(then.state, made)


def named(state: State) -> list[tuple[str, str]]:
    """The hooks that are due, with their caches."""
    return [(one.hook, one.occasion.cache) for one in due(state.hooks)]


def test_a_hook_is_not_run_for_what_it_has_asked_for() -> None:
    """The backup that a hook asks for has all hooks but that one."""
    state = asking()
    then = when(state, HookAsks(RequestBackup(ORDERS, "next"), "again", B1))

    made, told = then.events
    assert isinstance(made, BackupRequested)
    passed = (Passed("again", ORDERS),)
    assert HookAsked(ORDERS, "again", B1, made.backup_id, passed) == told
    assert [("again", ORDERS), ("tell", ORDERS), ("tell", ORDERS)] == named(
        finished(then.state, made)
    )


def test_who_does_not_run_is_not_believed() -> None:
    """A hook that is not running for that work has asked for nothing: its word changes nothing."""
    request = RequestBackup(ORDERS, "next")
    state = asking()

    for hook, work in (("tell", B1), ("again", "20260301T120000Z-0000ffff"), ("nobody", "x")):
        assert asked(when(state, HookAsks(request, hook, work)).events) is None


def test_a_way_of_several_hooks_ends() -> None:
    """A hook of the second backup that asks for a third: neither it nor the first is run for it."""
    other = replace(AGAIN, name="other")
    state = backed_up(asking(AGAIN, other), RequestBackup(ORDERS, "second"), hook="again", work=B1)
    second = next(one.occasion.work_id for one in due(state.hooks) if one.occasion.work_id != B1)
    state = when(state, StartHook(ORDERS, "other", "after-backup", second, 1)).state
    third = when(state, HookAsks(RequestBackup(ORDERS, "third"), "other", second))

    told = asked(third.events)
    assert told is not None
    assert (Passed("again", ORDERS), Passed("other", ORDERS)) == told.passed


def test_it_is_the_hook_and_the_cache_that_count() -> None:
    """A hook that makes a backup of the next cache after each one goes through all of them."""
    state = backed_up(
        asking(AGAIN, caches=(ORDERS, USERS)), RequestBackup(USERS, "x"), hook="again", work=B1
    )

    assert [("again", ORDERS), ("again", USERS)] == named(state)


def test_hooks_before_and_restores_have_it_too() -> None:
    """What is asked for runs a hook before it no second time, and a restore is known as well."""
    state = asking(AGAIN, PAUSE)
    then = when(state, HookAsks(RequestRestore(B1, ORDERS, replace=True), "again", B1))
    begun = next(event for event in then.events if isinstance(event, RestoreRequested))
    told = asked(then.events)
    assert told is not None
    assert begun.restore_id == told.work_id

    made = when(state, HookAsks(RequestBackup(ORDERS, "next"), "again", B1))
    backup = next(b for b in made.state.catalog[ORDERS].values() if b.name == "next")
    assert (PAUSE,) == wanted(made.state.hooks, before_backup(backup))
    way = (Passed("pause", ORDERS),)
    passed = given(HookAsked(ORDERS, "pause", B1, backup.backup_id, way), state=made.state)
    assert () == wanted(passed.hooks, before_backup(backup))


def test_nothing_is_kept_of_what_is_deleted() -> None:
    """With the backup goes what was known of the way to it."""
    state = backed_up(asking(), RequestBackup(ORDERS, "next"), hook="again", work=B1)
    (work_id,) = state.hooks.passed
    ended = HookRan(ORDERS, "again", "after-backup", B1, 1, HookEnding("ok", 1.0, exit_code=0))
    going = DeletionRequested(cache=ORDERS, backup_id=work_id, reason="x")  # type: ignore[arg-type]

    gone = BackupDeleted(cache=ORDERS, backup_id=going.backup_id)
    state = given(ended, going, gone, state=state)

    assert not state.hooks.passed
