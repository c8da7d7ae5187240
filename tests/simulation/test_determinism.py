"""The same world twice is the same to the last step, in any process."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.simulation.stories import deletion, one_backup, removal
from tests.simulation.trace import trace
from tests.simulation.world import Plan, Script, World

HERE = Path(__file__).parents[2]
first_trace = cache(trace)


def test_worlds_repeat_themselves() -> None:
    """The same story and the same kill give the same steps, times, calls and hashes."""
    assert trace() == first_trace()


@pytest.mark.parametrize("story", [one_backup, removal, deletion])
def test_a_death_is_a_kill(story: Script) -> None:
    """What is left of a life before one of its steps is what a kill there leaves, to the last."""
    whole = World()
    left = list(whole.deaths(story, every=9))
    for number, world in enumerate(left):
        killed = World()
        assert killed.live(story, Plan(kill_at=1 + 9 * number)) == "killed"
        for other in (world, killed):
            other.live(story)
        assert world.trace.digest() == killed.trace.digest()
        assert world.view.state == killed.view.state

    assert len(left) == len(range(1, whole.steps + 1, 9)) > 12


def test_trace_tells_worlds_apart() -> None:
    """A kill at another step, or none, leaves another trace."""
    traces = set()
    for step in (None, 80, 120):
        world = World()
        world.live(one_backup, Plan(kill_at=step))
        traces.add(world.trace.hexdigest())

    assert len(traces) == 3


@pytest.mark.parametrize("seed", ["1", "4711"])
def test_hash_seeds_change_nothing(seed: str) -> None:
    """Another process with other hashes of strings sees the very same worlds."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.simulation.trace"],
        cwd=HERE,
        env={"PYTHONHASHSEED": seed},
        capture_output=True,
        check=True,
        text=True,
    )

    assert told.stdout == first_trace()
