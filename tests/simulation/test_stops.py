"""SIGTERM at every step, and clients that leave at every step (faults 3, 20 and 65)."""

import pytest

from tests.simulation.stories import STORIES, Swept, every, length
from tests.simulation.world import Plan

BUSY = 30.0


ENDS = {"one backup": {"one:complete"}, "two backups": {"one:complete two:complete"}}


@pytest.mark.parametrize("story", STORIES)
def test_stop_at_every_step(story: str) -> None:
    """A daemon that is told to stop at any step stops soon, with nothing left running (LV5).

    What it held in memory is what the log holds (fault 20). Its next life ends the story; an
    attempt that was cut off is made again, for the daemon was the cause (A6, M3).
    """
    swept = Swept()
    for world in every(STORIES[story], lambda step: Plan(stop_at=step)):
        assert world.far.now < BUSY
        assert world.live(STORIES[story]) == "done"
        swept.count(world)

    assert swept.worlds == length(STORIES[story]).steps
    if story in ENDS:
        assert set(swept.outcomes) == ENDS[story]


@pytest.mark.parametrize("story", STORIES)
def test_client_leaves_at_every_step(story: str) -> None:
    """A client that goes away in the middle of a command changes nothing of its fate (fault 65).

    The command is in the log whole or not at all; told again, the story has one effect (L4).
    """
    swept = Swept()
    for world in every(STORIES[story], lambda step: Plan(leave_at=step)):
        assert world.live(STORIES[story]) == "done"
        swept.count(world)

    assert swept.worlds == length(STORIES[story]).steps
    if story in ENDS:
        assert set(swept.outcomes) == ENDS[story]
