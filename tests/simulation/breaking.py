"""Breaking the program on purpose: what a mutation is, and how it is tried.

Knows no mutation. The sound program has to pass the very worlds in which a broken one is caught.
"""

from collections.abc import Callable, Iterator, Sequence

import pytest
from msgspec import Struct

from daemon.commands import Command
from daemon.decide import Context, Decision, decide
from events.types import Event
from projections.state import State
from tests.simulation.checker import Violation
from tests.simulation.far import Far
from tests.simulation.world import Plan, Script, World

Patch = pytest.MonkeyPatch
ALL_IS_WELL = (Plan(),)


class Mutation(Struct, frozen=True):
    """A way to break the program, where that should show, and which invariant should notice.

    Each script is told twice, in two lives, in a world of its own for each plan; the world is
    as `far` makes it.
    """

    noticed_by: str
    apply: Callable[[Patch], None]
    plans: Sequence[Plan] = ALL_IS_WELL
    stories: tuple[Script, ...] = ()
    far: Callable[[], Far] = Far

    @property
    def name(self) -> str:
        """For the test's own name."""
        return f"{self.apply.__name__}: {self.noticed_by}"


def complaints(mutation: Mutation) -> Iterator[Violation]:
    """What is noticed in the worlds of a mutation, each with a second life."""
    for story in mutation.stories:
        for plan in mutation.plans:
            world = World(mutation.far())
            try:
                world.live(story, plan)
                world.live(story)
            except Violation as violation:
                yield violation


def prove(mutation: Mutation, patch: Patch) -> None:
    """The sound program passes, and the broken one is caught by the invariant meant for it."""
    assert next(complaints(mutation), None) is None, "the sound program must not be complained of"
    mutation.apply(patch)
    noticed: set[str] = set()
    for violation in complaints(mutation):
        noticed |= violation.names
        if mutation.noticed_by in noticed:
            return
    raise AssertionError(f"nobody noticed but {sorted(noticed)}")


def deciding(patch: Patch, change: Callable[[tuple[Event, ...]], tuple[Event, ...]]) -> None:
    """From now on these other events are decided."""

    def changed(state: State, command: Command, context: Context) -> Decision:
        decision = decide(state, command, context)
        return Decision(change(decision.events), decision.also_read)

    patch.setattr("daemon.ledger.decide", changed)
