"""Every pair: call i fails, and its effect lands right before call j (fault 29).

Between two calls that follow each other at once there is no time, so late effects are tried by
calls and not by seconds; the calls to come include those of the daemon's next life.
"""

import pytest

from tests.simulation.line import Weather
from tests.simulation.schedules import SCHEDULES
from tests.simulation.stories import STORIES, Swept, length
from tests.simulation.world import Plan, Script, World

WRITES = ("write", "commit", "abort", "put", "delete", "clear")
PLACES: dict[str, Script] = {
    "one backup": STORIES["one backup"],
    "deletion": STORIES["deletion"],
    "removal": STORIES["removal"],
    "scheduled": SCHEDULES["scheduled"],
    "removed": SCHEDULES["removed"],
}


@pytest.mark.parametrize("story", PLACES)
def test_every_pair(story: str) -> None:
    """Whenever the effect of a failed call lands, nothing is harmed and nothing stays behind."""
    script, swept = PLACES[story], Swept()
    calls = length(script).calls
    for number, call in enumerate(calls, 1):
        if not call.startswith(WRITES):
            continue
        for later in range(1, len(calls) + 12 - number):
            world = World()
            weather = Weather({number: "late"}, late_calls=later)
            world.live(script, Plan(weather=weather))
            if world.far.late:
                world.live(script)
            swept.count(world)

    assert swept.worlds > 40


@pytest.mark.parametrize("story", ["one backup", "scheduled"])
def test_every_pair_across_a_kill(story: str) -> None:
    """Nor when the daemon is killed in between, and the effect lands in its next life."""
    script, swept = PLACES[story], Swept()
    alive = length(script)
    for number, call in enumerate(alive.calls, 1):
        if not call.startswith(WRITES):
            continue
        for later in range(1, len(alive.calls) + 12 - number):
            world = World()
            weather = Weather({number: "late"}, late_calls=later)
            world.live(script, Plan(kill_at=alive.steps * 2 // 3, weather=weather))
            world.live(script)
            swept.count(world)

    assert swept.worlds > 20
