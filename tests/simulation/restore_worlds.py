"""Worlds of a seed in which somebody restores and regrets it, and much goes wrong meanwhile.

The daemon dies in up to three lives, the target may die in each, and some calls fail. The last
life is quiet. `make soak` goes on with fresh seeds.
"""

from tests.simulation.dice import Dice, dice
from tests.simulation.line import FaultKind, Weather
from tests.simulation.restoring import KINDS, RESTORES, restarted, restored
from tests.simulation.world import Plan, Script, World

FAULTS: tuple[FaultKind, ...] = ("before", "after", "permanent", "odd", "late", "hang")
SECONDS, STEPS, CALLS = 6.0, 2_400, 200


def lived(seed: int) -> World:
    """The world of a seed at its end; raises the first `Violation`."""
    thrown = dice(seed, "restores")
    world = World(KINDS[thrown.choice(sorted(KINDS))].far())
    story = RESTORES[thrown.choice(sorted(RESTORES))]
    for _ in range(thrown.randrange(1, 4)):
        world.live(_troubled(story, thrown), _plan(thrown))
    world.live(story)
    return world


def swept(kind: str) -> int:
    """A restore whose daemon dies at every one of its steps in turn; how many worlds that were.

    Raises the first `Violation`, with the step in a note.
    """
    whole = World(KINDS[kind].far())
    whole.live(restored)
    for step in range(1, whole.steps + 1):
        world = World(KINDS[kind].far())
        try:
            world.live(restored, Plan(kill_at=step))
            world.live(restored)
        except AssertionError as error:
            error.add_note(f"killed at step {step} of a restore, {kind}")
            raise
    return whole.steps


def _troubled(story: Script, thrown: Dice) -> Script:
    at = thrown.uniform(0.0, SECONDS)
    return restarted(story, at) if thrown.random() < 0.5 else story


def _plan(thrown: Dice) -> Plan:
    faults = {thrown.randrange(1, CALLS): thrown.choice(FAULTS) for _ in range(thrown.randrange(4))}
    # An effect may be late by a few calls: what waits in a server's socket is carried out first.
    weather = Weather(faults, late_calls=thrown.randrange(1, 5))
    how = thrown.random()
    step = thrown.randrange(1, STEPS)
    if how < 0.6:
        return Plan(kill_at=step, weather=weather)
    return Plan(stop_at=step, weather=weather) if how < 0.8 else Plan(weather=weather)
