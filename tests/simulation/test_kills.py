"""`kill -9` at every step, and again at the steps of the recovery (fault 1, P4, A6, M3).

Every world is checked after each event and each effect; see `invariants`.
"""

import pytest

from events.facts import INSTALLATION
from tests.simulation.stories import STORIES, Swept, length, one_backup
from tests.simulation.world import Plan, World

OUTCOMES: dict[str, set[str]] = {
    "one backup": {"one:complete"},
    "two backups": {"one:complete two:complete"},
    "deletion": {""},
    "removal": {"one:failed"},
}


@pytest.mark.parametrize("story", STORIES)
def test_kill_at_every_step(story: str) -> None:
    """A daemon that is killed at any step of a story brings it to its end in its next life."""
    swept = Swept()
    for world in World().deaths(STORIES[story]):
        assert world.live(STORIES[story]) == "done"
        swept.count(world)

    assert swept.worlds == length(STORIES[story]).steps
    assert set(swept.outcomes) == OUTCOMES[story]


def test_kill_during_the_recovery() -> None:
    """A daemon that is killed again while it recovers recovers from that, too.

    Of all worlds that the first kill leaves behind one of each kind goes on, and is killed at
    every fourth step; the backup ends complete, or given up after its second attempt.
    """
    first = {world.fingerprint(): world for world in World().deaths(one_backup)}
    swept = Swept()
    for number, past in enumerate(first.values()):
        for world in past.deaths(one_backup, first=1 + number % 4, every=4):
            assert world.live(one_backup) == "done"
            swept.count(world)

    assert len(first) > 12
    assert swept.worlds > 500
    assert {"one:complete", "one:failed"} == set(swept.outcomes)


def test_daemon_that_is_killed_for_ever_does_not_grow() -> None:
    """Killed a hundred times in a row, it makes two attempts, and the log stays short (fault 7)."""
    world = World()
    for life in range(100):
        world.live(one_backup, Plan(kill_at=40 + life % 90))
    assert world.live(one_backup) == "done"

    starts_and_stops = [r for r in world.far.records if r.envelope.stream == INSTALLATION]
    assert len(starts_and_stops) <= 2 * (1 + world.far.now / 60)
    assert len(world.far.records) - len(starts_and_stops) <= 14
    assert "one" in world.backups()
