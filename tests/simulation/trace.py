"""One number for everything that happens in some worlds: equal wherever and whenever it runs.

Run as a program it prints the number, so that another process can be asked for it.
"""

import sys
from hashlib import sha256

from tests.simulation.fleet import Fleet
from tests.simulation.line import Weather
from tests.simulation.schedules import SCHEDULES
from tests.simulation.setting import swarm
from tests.simulation.stories import STORIES
from tests.simulation.world import Plan, World

SEEDS = (0, 8, 22)
PLANS = [
    Plan(),
    *(Plan(kill_at=step) for step in (30, 77, 115, 150, 222)),
    *(Plan(stop_at=step) for step in (60, 111, 160)),
    *(Plan(weather=Weather({number: "late"})) for number in (13, 14)),
    Plan(kill_at=100, weather=Weather({8: "after"}, stubborn=True)),
]


def trace() -> str:
    """Steps, times, calls and the log's hashes of several lives of several worlds."""
    seen = sha256()
    for script in (*STORIES.values(), SCHEDULES["by hand"], SCHEDULES["next day"]):
        for plan in PLANS:
            world = World()
            world.live(script, plan)
            world.live(script)
            seen.update(world.trace.digest())
    for seed in SEEDS:
        seen.update(Fleet(swarm(seed, days=2.0, caches=4)).run().world.trace.digest())
    return seen.hexdigest()


if __name__ == "__main__":
    sys.stdout.write(trace())
