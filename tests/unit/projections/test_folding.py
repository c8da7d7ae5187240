"""Folding many records at one go gives what folding them one by one does."""

import pytest

from benchmarks.history import fleet, years
from events import codec
from events.envelope import Envelope
from events.types import Event
from projections.folding import Folding
from projections.state import State, evolve, fold
from tests.simulation.stories import STORIES
from tests.simulation.world import Plan, World
from tests.support.given import At, envelopes
from tests.support.golden import SEQUELS, golden, leading_to

Records = list[tuple[Envelope, Event]]


def at_one_go(records: Records, state: State) -> State:
    """The state after these."""
    folding = Folding(state)
    for envelope, event in records:
        folding.add(envelope, event)
    return folding.state()


@pytest.mark.parametrize("story", STORIES)
def test_stories_fold_alike(story: str) -> None:
    """A history with kills and deletions gives the same state, wherever the two ways change."""
    world = World()
    world.live(STORIES[story], Plan(kill_at=70))
    world.live(STORIES[story])
    records = [(record.envelope, codec.decode(record.data)) for record in world.far.records]
    one_by_one = fold(records)

    assert at_one_go(records, State()) == one_by_one
    for cut in range(len(records)):
        assert at_one_go(records[cut:], fold(records[:cut])) == one_by_one


def test_long_histories_fold_alike() -> None:
    """Years of a fleet give the same state, and it can be gone on from after it was asked for."""
    told = [At(at, event) for at, event in [*fleet(20), *years(3_000, caches=30)]]
    records = list(envelopes(told, State()))
    folding, state = Folding(State()), State()
    for number, (envelope, event) in enumerate(records):
        folding.add(envelope, event)
        state = evolve(state, envelope, event)
        if number % 500 == 0:
            assert folding.state() == state

    assert folding.state() == state


@pytest.mark.parametrize("name", SEQUELS)
def test_golden_events_fold_alike(name: str) -> None:
    """An event of any kind changes the same in both ways."""
    event = golden(name)
    records = list(envelopes([*leading_to(event), event], State()))

    assert at_one_go(records, State()) == fold(records)


def test_what_was_asked_for_stays_as_it_was() -> None:
    """A state that a fold has given, or began with, does not change when the fold goes on."""
    records = list(envelopes([At(at, event) for at, event in fleet(5)], State()))
    before = fold(records[:10])
    folding = Folding(before)
    folding.add(*records[10])
    then = folding.state()
    for record in records[11:]:
        folding.add(*record)
    folding.state()

    assert before == fold(records[:10])
    assert then == fold(records[:11])
