"""`kill -9` at every step, and again at the steps of the recovery (fault 1, P4, A6, M3).

Every world is checked after each event and each effect; see `invariants`.
"""

import pytest

from projections.catalog import Phase
from tests.simulation.stories import STORIES, Swept, every, length, one_backup
from tests.simulation.world import Plan, World

OUTCOMES: dict[str, set[str]] = {
    "one backup": {"one:complete"},
    "two backups": {"one:complete two:complete"},
    "deletion": {""},
    "removal": {"one:complete", "one:failed"},
}


@pytest.mark.parametrize("story", STORIES)
def test_kill_at_every_step(story: str) -> None:
    """A daemon that is killed at any step of a story brings it to its end in its next life."""
    swept = Swept()
    for world in every(STORIES[story], lambda step: Plan(kill_at=step)):
        assert world.live(STORIES[story]) == "done"
        swept.count(world)

    assert swept.worlds == length(STORIES[story]).steps
    assert OUTCOMES[story] == set(swept.outcomes)


def test_backup_lies_in_the_vault_whatever_is_killed() -> None:
    """After any kill and its recovery the vault holds one manifest and one object, no more."""
    for world in every(one_backup, lambda step: Plan(kill_at=step)):
        world.live(one_backup)
        names = sorted(name.rpartition("/")[2] for name in world.far.objects)
        assert ["0000.rdb.zst", "manifest.json", "valkeep.json"] == names


def test_kill_during_the_recovery() -> None:
    """A daemon that is killed again while it recovers recovers from that, too.

    Of all worlds that the first kill leaves behind one of each kind goes on, and is killed at
    every fourth step; the backup ends complete, or given up after its second attempt.
    """
    first = {
        world.fingerprint(): world for world in every(one_backup, lambda step: Plan(kill_at=step))
    }
    swept = Swept()
    for number, past in enumerate(first.values()):
        step = 1 + number % 4
        world = past.fork()
        while world.live(one_backup, Plan(kill_at=step)) == "killed":
            assert world.live(one_backup) == "done"
            swept.count(world)
            step += 4
            world = past.fork()

    assert len(first) > 20
    assert swept.worlds > 500
    assert {"one:complete", "one:failed"} == set(swept.outcomes)


def test_daemon_that_is_killed_for_ever_does_not_grow() -> None:
    """Killed a hundred times in a row, it makes two attempts, and the log stays short (fault 7)."""
    world = World()
    for life in range(100):
        world.live(one_backup, Plan(kill_at=40 + life % 90))
    grown = len(world.far.records)
    assert world.live(one_backup) == "done"

    phases: set[Phase] = {"complete", "failed"}
    assert world.backups()["one"] in phases
    minutes = world.far.now / 60
    assert grown <= 10 + minutes
    assert len(world.far.uploads) == 0
