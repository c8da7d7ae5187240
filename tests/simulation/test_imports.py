"""Imports under `kill -9` and faults: nothing half done, no orphan, and no doubt about the end."""

import pytest

from events.imports import ImportCompleted, ImportFailed, ImportRequested
from events.types import BackupAbandoned, BackupCompleted
from tests.simulation.importing import IMPORTED
from tests.simulation.line import FaultKind, Weather
from tests.simulation.stories import length
from tests.simulation.world import Plan, World

STRIDE = 5
"""Most steps are those of every backup, which others kill at one by one."""


def ended_once(world: World) -> None:
    """Every import that was asked for has been told to have ended, as its backup has."""
    view = world.view
    told = view.of(ImportCompleted).total() + view.of(ImportFailed).total()
    assert view.of(ImportRequested).total() == told
    assert view.of(ImportCompleted).total() == view.of(BackupCompleted).total()
    assert view.of(ImportFailed).total() == view.of(BackupAbandoned).total()


@pytest.mark.parametrize("name", IMPORTED)
def test_kill_at_steps_all_along(name: str) -> None:
    """A daemon that is killed at a step of an import ends it in its next life, well or not."""
    story = IMPORTED[name]
    for world in World().deaths(story, every=STRIDE):
        assert world.live(story) == "done"
        ended_once(world)
        if name != "sent":
            assert 1 == world.view.of(ImportCompleted).total()


@pytest.mark.parametrize("kind", ["after", "flipped"])
def test_fault_at_every_call(kind: FaultKind) -> None:
    """Whatever call fails, an import is kept whole or has failed, and is swept."""
    story = IMPORTED["imported"]
    made = length(story).calls
    for number, call in enumerate(made, 1):
        if call.startswith("append") and kind != "before":
            continue
        world = World()
        world.live(story, Plan(weather=Weather({number: kind})))
        assert world.live(story) == "done"
        ended_once(world)
