"""A state that is kept beside the log (L5): whatever becomes of it, a start gives the fold of all.

`memory_is_the_log` compares the two after each start and at each end.
"""

from collections import Counter

import pytest

from daemon.frozen import Begun, Often
from daemon.frozen.freezer import SETTLE_SECONDS, SLICE_SECONDS
from daemon.ledger import Known, Ledger
from events.facts import START
from tests.simulation.breaking import Patch
from tests.simulation.checker import Violation
from tests.simulation.fleet import OFTEN, Fleet
from tests.simulation.freezing import EACH
from tests.simulation.setting import swarm
from tests.simulation.stories import STORIES, one_backup
from tests.simulation.virtual import pass_time
from tests.simulation.world import Life, Plan, Script, World

KEEPING = Plan(often=EACH)
NOT_KEEPING = Plan(often=Often())
"""It begins with a state that is there, and keeps none of its own: there is too little to keep."""


def begun(world: World, story: Script = one_backup, plan: Plan = NOT_KEEPING) -> Begun:
    """What one more life of a world began with."""
    found: list[Begun] = []

    async def script(life: Life) -> None:
        assert life.freezer is not None
        assert life.freezer.begun is not None
        found.append(life.freezer.begun)
        await story(life)

    assert world.live(script, plan) == "done"
    return found[0]


@pytest.fixture
def past() -> World:
    """A world with a backup, whose daemon has kept its state."""
    world = World()
    world.live(one_backup, KEEPING)
    return world


def test_kill_while_states_are_kept() -> None:
    """A daemon that is killed at any step goes on from what it has kept, and from the log."""
    seen: Counter[str] = Counter()
    for step in range(1, 500, 11):
        world = World()
        world.live(STORIES["deletion"], Plan(kill_at=step, often=EACH))
        start = begun(world, STORIES["deletion"], KEEPING)
        seen["from a state" if start.position else "from nothing"] += 1
        seen["with records after it"] += start.position > START and start.records > 0
        assert start.unused == ""

    assert all(seen[kind] > 1 for kind in ("from a state", "from nothing", "with records after it"))


def test_state_that_is_older_than_the_log(past: World) -> None:
    """A state that the log has left behind is gone on from."""
    before = len(past.far.records)
    past.live(STORIES["deletion"])
    there = len(past.far.records)
    start = begun(past)

    assert there > before >= start.position > START
    assert start.records == there - start.position


def test_state_of_another_history(past: World) -> None:
    """A state of a log that has gone another way, or further, is not used, and is replaced."""
    other, further = past.fork(), past.fork()
    past.live(STORIES["deletion"], KEEPING)
    other.live(STORIES["two backups"], KEEPING)
    assert past.far.frozen != other.far.frozen

    past.far.frozen = other.far.frozen
    start = begun(past, plan=KEEPING)
    again = begun(past)
    further.far.frozen = past.far.frozen
    beyond = begun(further)

    assert (START, "it is of another history than the log") == (start.position, start.unused)
    assert again.position > START
    assert (START, "it is of another history than the log") == (beyond.position, beyond.unused)


@pytest.mark.parametrize("at", [0, 70, 200, 5_000, -1])
def test_damaged_state(past: World, at: int) -> None:
    """A state with one changed byte, or cut off there, is not used."""
    whole = past.far.frozen
    assert whole is not None
    other = past.fork()
    past.far.frozen = whole[:at] + bytes([whole[at] ^ 1]) + (whole[at:][1:])
    other.far.frozen = whole[:at]

    assert "damaged" in begun(past).unused
    assert begun(other).position == START


def test_part_that_was_not_read_is_checked_afterwards(past: World) -> None:
    """The records before the state are checked some time after a start."""
    checked: list[int] = []

    async def waits(life: Life) -> None:
        assert life.freezer is not None
        checked.append(life.freezer.checked)
        await pass_time(SETTLE_SECONDS + len(past.far.records) * SLICE_SECONDS)
        checked.append(life.freezer.checked)

    start = begun(past, waits)

    assert [START, start.position] == checked


def test_fleet_that_keeps_states() -> None:
    """A fleet under trouble of every kind keeps states, is killed, and goes on from them."""
    fleet = Fleet(swarm(11, days=0.5, caches=3)).run()

    assert fleet.world.far.frozen is not None
    assert len(fleet.world.far.records) > 3 * OFTEN.records


def test_state_that_is_believed_too_easily(past: World, monkeypatch: Patch) -> None:
    """The proof that it bites: a state of another history that is believed is noticed."""
    other = past.fork()
    other.live(STORIES["two backups"], KEEPING)
    past.live(STORIES["deletion"], KEEPING)
    past.far.frozen = other.far.frozen

    async def believes(ledger: Ledger, known: Known | None = None) -> bool:
        assert known is not None
        ledger._durable = ledger._working = known.state
        return True

    monkeypatch.setattr(Ledger, "load", believes)
    with pytest.raises(Violation, match="memory_is_the_log"):
        begun(past)


def test_rest_that_is_not_folded(past: World, monkeypatch: Patch) -> None:
    """The proof that it bites: records after the state that are not folded are noticed."""
    past.live(STORIES["deletion"])
    load = Ledger.load

    async def halts(ledger: Ledger, known: Known | None = None) -> bool:
        fits = await load(ledger, known)
        if known is not None:
            ledger._durable = ledger._working = known.state
        return fits

    monkeypatch.setattr(Ledger, "load", halts)
    with pytest.raises(Violation, match="memory_is_the_log"):
        begun(past)
