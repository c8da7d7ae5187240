"""Scheduled backups under one kill, stop, fault or departure, at every place there is (A5-A9).

Every world is checked after each event and each effect; see `invariants` and `rules`.
"""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from daemon.commands import (
    AddCache,
    PolicyChange,
    RecordCache,
    RequestAutoBackup,
    RequestBackup,
    SetPolicy,
)
from events.types import BackupFailed, WindowMissed
from tests.simulation.line import FaultKind, Weather
from tests.simulation.schedules import DAILY, MINUTE, SCHEDULES, add, scheduled, until
from tests.simulation.stories import Swept, ask, length
from tests.simulation.world import Life, Plan, World
from tests.support.samples import SETTINGS

DAY = timedelta(days=1)
AUTO = "auto-20260301-1201"
OUTCOMES: dict[str, set[str]] = {
    "scheduled": {f"{AUTO}:complete"},
    "by hand": {"auto-20260301-120100:complete mine:complete"},
    "changing": {f"{AUTO}:complete", "auto-20260301-1202:complete"},
    "removed": {""},
    "next day": {"auto-20260302-1201:complete"},
}
KINDS: tuple[FaultKind, ...] = ("before", "after", "late", "permanent", "short", "torn", "hang")


@pytest.mark.parametrize("story", SCHEDULES)
def test_kill_at_every_step(story: str) -> None:
    """Killed at any step of a window, the daemon still makes the window's one backup (P4)."""
    swept = Swept()
    for world in World().deaths(SCHEDULES[story]):
        assert world.live(SCHEDULES[story]) == "done"
        swept.count(world)

    assert swept.worlds == length(SCHEDULES[story]).steps
    assert set(swept.outcomes) <= OUTCOMES[story] | by_hand_later(story)


def by_hand_later(story: str) -> set[str]:
    """A client that has to ask again asks in another second, and the backup is named after it."""
    seconds = range(60, 90) if story == "by hand" else ()
    names = [f"auto-20260301-12{second // 60:02}{second % 60:02}" for second in seconds]
    return {f"{name}:complete mine:complete" for name in names}


@pytest.mark.parametrize("story", SCHEDULES)
def test_stop_at_every_other_step(story: str) -> None:
    """Told to stop at any moment, the daemon stops soon; its next life makes the backup (LV5)."""
    swept = Swept()
    steps = range(1, length(SCHEDULES[story]).steps, 2)
    for step in steps:
        world = World()
        world.live(SCHEDULES[story], Plan(stop_at=step))
        assert world.live(SCHEDULES[story]) == "done"
        swept.count(world)

    assert swept.worlds == len(steps)
    assert set(swept.outcomes) <= OUTCOMES[story] | by_hand_later(story)


@pytest.mark.parametrize("story", ["by hand", "changing", "removed"])
def test_client_leaves_at_every_other_step(story: str) -> None:
    """A client that goes away in the middle of a command leaves it whole or undone (fault 65).

    That holds for a change of policy and for the removal of a cache, too: told again, the story
    has one effect.
    """
    swept = Swept()
    steps = range(1, length(SCHEDULES[story]).steps, 2)
    for step in steps:
        world = World()
        world.live(SCHEDULES[story], Plan(leave_at=step))
        assert world.live(SCHEDULES[story]) == "done"
        swept.count(world)

    assert swept.worlds == len(steps)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("story", SCHEDULES)
def test_fault_at_every_call(story: str, kind: FaultKind) -> None:
    """Whatever call fails, the window gets its backup or says why it has none (27, 28, A6)."""
    made = length(SCHEDULES[story]).calls
    for number, call in enumerate(made, 1):
        if kind == "late" and call.startswith("create"):
            continue  # see test_faults: a bucket's lifecycle rule has to sweep those
        world = World()
        world.live(SCHEDULES[story], Plan(weather=Weather({number: kind})))
        assert world.hit == [kind]
        world.live(SCHEDULES[story])


def test_failed_attempt_is_made_again_in_its_window() -> None:
    """A6: an auto backup whose attempt failed in passing is made by a later attempt."""
    numbers = _calls("snapshot", "piece", "write", "commit", "create")
    assert numbers
    for number in numbers:
        world = World()
        world.live(scheduled, Plan(weather=Weather({number: "before"})))
        assert {AUTO: "complete"} == world.backups()
        assert 1 == world.view.of(BackupFailed).total()


def test_permanent_failure_is_not_tried_again() -> None:
    """A6: an auto backup that failed for good is given up in its window, and says so."""
    for number in _calls("snapshot", "write", "create"):
        world = World()
        world.live(scheduled, Plan(weather=Weather({number: "permanent"})))
        assert {AUTO: "failed"} == world.backups()


def _calls(*kinds: str) -> list[int]:
    return [n for n, call in enumerate(length(scheduled).calls, 1) if call.startswith(kinds)]


def test_daemon_that_was_away_says_what_it_missed() -> None:
    """A9: a window that passed while the daemon was down is missed, and made up for by nobody."""
    world = World()
    world.live(add, Plan(down_seconds=40 * MINUTE))
    world.live(_wait)

    assert {} == world.backups()
    assert 1 == world.view.of(WindowMissed).total()


async def _wait(life: Life) -> None:
    await until(life, life.loop.time() + 5 * MINUTE)


def test_clock_that_is_set_back_serves_nothing_twice() -> None:
    """Fault 21: a window that comes again, because the clock was set back, is not served again."""

    async def back(life: Life) -> None:
        await scheduled(life)
        life.set_clock(timedelta(minutes=-17))
        await until(life, 34 * MINUTE)

    world = World()
    world.live(back)
    assert {AUTO: "complete"} == world.backups()


@pytest.mark.parametrize("minutes", [2, 8, 20, 600])
def test_clock_that_is_set_forward_loses_nothing(minutes: int) -> None:
    """Fault 21: a window that the clock leapt into is served, one that it leapt over is missed."""

    async def forward(life: Life) -> None:
        await add(life)
        life.set_clock(timedelta(minutes=minutes))
        await until(life, 18 * MINUTE)

    world = World()
    world.live(forward)
    missed = world.view.of(WindowMissed).total()
    assert 1 == missed + len(world.backups())
    assert missed == (minutes > 15)


class SlowUsers(Weather, frozen=True):
    """A snapshot takes an hour on the way there, and one on the way back."""

    def seconds(self, what: str) -> float:
        """See `Sky.seconds`."""
        return 60 * MINUTE if what.startswith("snapshot") else 0.01


def test_window_that_a_waiting_backup_was_to_serve_is_skipped() -> None:
    """A4, A7: it waited for a place, not for the daemon, and the record says which backup it was.

    The policy was changed while it waited, to a window that is open now and closes sooner.
    """

    async def crowded(life: Life) -> None:
        users = AddCache(name="users", url=SETTINGS.url)
        await ask(life, RecordCache(users, SETTINGS))
        await ask(life, RequestBackup("users", "long"))
        await add(life, replace(DAILY, windows=("12:01+90m",)))
        await until(life, 50 * MINUTE)
        await ask(life, SetPolicy("orders", PolicyChange(windows=("11:30+90m",))))
        await until(life, 180 * MINUTE)

    world = World()
    world.live(crowded, Plan(weather=SlowUsers()))
    assert 0 == world.view.of(WindowMissed).total()
    assert {f"{AUTO}", "auto-20260301-1130"} <= world.backups().keys()


def test_policy_set_after_a_clock_was_ahead_loses_nothing() -> None:
    """A9, fault 21: what a clock that was ahead has settled hides no occurrence set up since."""

    async def misled(life: Life) -> None:
        await scheduled(life)
        life.set_clock(3 * DAY)
        await until(life, 20 * MINUTE)
        life.set_clock(-3 * DAY)
        await until(life, 25 * MINUTE)
        await ask(life, SetPolicy("orders", PolicyChange(windows=("18:00+30m",))))
        life.set_clock(3 * DAY)
        await until(life, 30 * MINUTE)

    world = World()
    world.live(misled)
    assert 3 + 3 == world.view.of(WindowMissed).total()


def test_served_windows_are_not_missed_after_a_clock_was_ahead() -> None:
    """A9, fault 21: a clock that shows next month for an hour makes nobody forget today."""

    async def next_month(life: Life) -> None:
        await scheduled(life)
        for days in (40, -40):
            life.set_clock(days * DAY)
            await until(life, life.loop.time() + 5 * MINUTE)

    world = World()
    world.live(next_month)
    assert 7 == world.view.of(WindowMissed).total()
    assert {AUTO: "complete"} == world.backups()


def test_backup_by_hand_is_the_windows_own() -> None:
    """A5b: one made by hand in an open window serves it, and the scheduler makes no other."""

    async def early(life: Life) -> None:
        await add(life)
        await until(life, 1.5 * MINUTE)
        await ask(life, RequestAutoBackup("orders"))
        await until(life, 18 * MINUTE)

    world = World()
    world.live(early)
    assert {"auto-20260301-120130": "complete"} == world.backups()
