"""Calls that never return, or return when nobody waits for them any more (faults 30, 43, 47).

One at every call of a backup. Every world is checked after each event and each effect.
"""

from collections.abc import Iterable
from datetime import timedelta

import pytest

from daemon.commands import AddCache, CancelBackup, PolicyChange, RecordCache, RequestBackup
from events.types import (
    AttemptStarted,
    BackupCancelled,
    BackupCompleted,
    BackupFailed,
    LeftoversStuck,
)
from projections.work import BackupWork, outstanding
from tests.simulation.line import FaultKind, Weather
from tests.simulation.schedules import MINUTE, until
from tests.simulation.stories import ask, deletion, length, one_backup
from tests.simulation.virtual import START
from tests.simulation.world import Life, Plan, World
from tests.support.samples import ORDERS, SETTINGS, add_cache

LONG = PolicyChange(auto=True, retries=3, timezone="UTC", windows=("12:01+3h",), verify="never")
AUTO = "auto-20260301-1201"
HOUR = 60 * MINUTE
OF_THE_CACHE = ("snapshot", "piece", "facts")
OF_THE_VAULT = ("create", "write", "get", "put_new", "commit")


async def window(life: Life) -> None:
    """A window of three hours with three retries."""
    command = AddCache(name="orders", url=SETTINGS.url, policy=LONG)
    await ask(life, RecordCache(command, SETTINGS))
    await until(life, 4 * HOUR)


def calls(*kinds: str) -> list[int]:
    """The numbers of the window's calls of these kinds."""
    return [n for n, call in enumerate(length(window).calls, 1) if call.startswith(kinds)]


@pytest.mark.parametrize(
    ("kind", "kinds"),
    [("stuck", OF_THE_VAULT), ("frozen", (*OF_THE_CACHE, *OF_THE_VAULT[:-1]))],
)
def test_slot_is_served_whatever_call_hangs(kind: FaultKind, kinds: Iterable[str]) -> None:
    """Whatever call of an attempt never returns, it is given up and the slot is retried (30).

    What a cache is asked over a connection can always be interrupted, and a commit never.
    """
    for number in calls(*kinds):
        world = World()
        weather = Weather({number: kind}, stuck_seconds=2 * HOUR)
        assert world.live(window, Plan(weather=weather)) == "done"
        assert world.hit == [kind]
        assert {AUTO: "complete"} == world.backups()
        assert 2 == world.view.of(AttemptStarted).total()


def test_sweep_waits_for_what_is_stuck() -> None:
    """What a stuck call may still write to is swept when it has returned, and not before.

    The retry does not wait for that, and a call that outlives the daemon is forgotten by it.
    """
    for number in calls("write", "commit", "create"):
        world = World()
        weather = Weather({number: "stuck"}, stuck_seconds=10 * HOUR)
        assert world.live(stopped_later, Plan(weather=weather)) == "killed"
        assert {AUTO: "complete"} == world.backups()
        assert 1 == world.view.of(LeftoversStuck).total()
        assert list(outstanding(world.view.state))
        assert world.live(window) == "done"
        assert 1 == world.view.of(BackupFailed).total()


async def stopped_later(life: Life) -> None:
    """As `window`, and the daemon is stopped when that is over."""
    await window(life)
    life.stop()


def test_old_attempt_that_wakes_is_not_heard() -> None:
    """An attempt that was given up, and wakes while the next one runs, changes nothing (I10).

    The next one is frozen at its snapshot, so it is running when the first one wakes.
    """
    for number in calls("write", "commit"):
        world = World()
        world.live(window, Plan(weather=Weather({number: "stuck"}, stuck_seconds=2 * HOUR)))
        again = 1 + next(
            n for n, call in enumerate(world.calls) if n > number and call.startswith("snapshot")
        )
        world = World()
        weather = Weather({number: "stuck", again: "frozen"}, stuck_seconds=1500.0)
        assert world.live(window, Plan(weather=weather)) == "done"
        assert ["stuck", "frozen"] == world.hit
        assert {AUTO: "complete"} == world.backups()
        assert 1 == world.view.of(BackupCompleted).total()


def test_place_of_what_is_stuck_is_free() -> None:
    """A call that never returns holds up neither its cache nor a place longer than its deadline."""

    async def two(life: Life) -> None:
        await ask(life, add_cache("orders"))
        await ask(life, RequestBackup("orders", "one"))
        await until(life, 5 * MINUTE)
        await ask(life, RequestBackup("orders", "two"))
        await until(life, 30 * MINUTE)
        held = [work for work in outstanding(life.ledger.state) if isinstance(work, BackupWork)]
        assert [] == held

    (write, *_) = [n for n, call in enumerate(length(one_backup).calls, 1) if "write" in call]
    world = World()
    weather = Weather({write: "stuck"}, stuck_seconds=45 * MINUTE)
    assert world.live(two, Plan(weather=weather)) == "done"
    assert {"one": "failed", "two": "complete"} == world.backups()


def test_hanging_deletion_is_tried_again() -> None:
    """A deletion whose call hangs is told to end, and tried until it succeeds (fault 58)."""
    for number, call in enumerate(length(deletion).calls, 1):
        if call.startswith(("delete", "clear")):
            world = World()
            world.live(deletion, Plan(weather=Weather({number: "frozen"})))
            assert {} == world.backups()


@pytest.mark.parametrize("seconds", [0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5])
def test_cancel_in_the_middle(seconds: float) -> None:
    """Cancelled at any moment, a backup is over or complete, and nothing of it is left over."""

    async def cancelled(life: Life) -> None:
        await one_backup(life)
        await until(life, seconds)
        await ask(life, CancelBackup("orders/one"))

    world = World()
    assert world.live(cancelled) == "done"
    outcome = world.backups()["one"]
    assert outcome in ("cancelled", "complete")
    assert (outcome == "cancelled") == bool(world.view.of(BackupCancelled).total())


def test_cancelled_slot_is_not_served_again() -> None:
    """A scheduled backup that somebody cancels is not retried, and its window is not missed."""

    async def cancelled(life: Life) -> None:
        command = AddCache(name="orders", url=SETTINGS.url, policy=LONG)
        await ask(life, RecordCache(command, SETTINGS))
        state = life.ledger.state
        while not state.open_backups:
            state = await life.ledger.changed(state)
        (backup_id,) = state.open_backups
        await ask(life, CancelBackup(backup_id))
        await until(life, 4 * HOUR)

    world = World()
    assert world.live(cancelled) == "done"
    assert {AUTO: "cancelled"} == world.backups()
    (slot,) = world.view.state.slots[ORDERS]
    assert ("cancelled", "it was cancelled by anna") == (slot.outcome, slot.reason)
    assert slot.settled_at is not None
    assert slot.settled_at < START + timedelta(hours=3)
