"""A disk that fills up under the log while a target is kept from its clients (R7, fault 9).

The log takes nothing, so no end of the restore can be recorded, and yet the target has to take
writes again soon; what happened is in the log when there is room.
"""

from functools import partial

import anyio
import anyio.lowlevel
import pytest

from daemon.actors.restore import Relief, UndoActor
from daemon.actors.restore.relief import LOG_SECONDS
from daemon.commands import RequestBackup, RequestRestore
from tests.simulation.breaking import Patch
from tests.simulation.checker import Violation
from tests.simulation.far import Far
from tests.simulation.restoring import KINDS, ORDERS, USERS, adding
from tests.simulation.servers import NO_WRITES
from tests.simulation.stories import ask
from tests.simulation.virtual import pass_time
from tests.simulation.world import Life, World

SOON_SECONDS = LOG_SECONDS + 5.0


def takes_writes(far: Far) -> bool:
    """Whether the target takes its clients' writes."""
    server = far.servers[USERS]
    return not server.primary and server.settings["min-replicas-to-write"] != NO_WRITES


async def freed(life: Life) -> None:
    """The target is free soon, and stays so; then there is room."""
    with anyio.fail_after(SOON_SECONDS):
        while not takes_writes(life.line.far):
            await pass_time(0.5)
    for _ in range(10):
        await pass_time(LOG_SECONDS)
        assert takes_writes(life.line.far)
    life.line.far.full = False
    await life.settled()


async def fills_up(life: Life, *, after_seconds: float = 0.0) -> None:
    """The disk is full so long after the target has begun to refuse writes."""
    for name, url in (("orders", ORDERS), ("users", USERS)):
        await ask(life, adding(name, url=url))
    await ask(life, RequestBackup("orders", "one"))
    await life.settled()
    await ask(life, RequestRestore("orders/one", "users", replace=True))
    while takes_writes(life.line.far):
        await pass_time(0.01)
    await pass_time(after_seconds)
    life.line.far.full = True
    await freed(life)


def ends(world: World) -> list[str]:
    """How each restore ended, and with which data."""
    found = world.view.state.restores.values()
    return [f"{r.phase} {r.ended.serves}" if r.ended else r.phase for r in found]


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_does_not_wait_for_our_disk(kind: str) -> None:
    """Writes are taken again before there is room, and the restore is recorded as failed then."""
    world = World(KINDS[kind].far())
    world.live(fills_up)
    assert ["failed old"] == ends(world)


def test_whenever_the_disk_fills_up() -> None:
    """Before the safety backup, while it is made, while the data is sent, when all is done."""
    seen = set()
    for tenths in range(0, 16, 2):
        world = World(KINDS["disabled"].far())
        world.live(partial(fills_up, after_seconds=tenths / 10))
        seen.update(ends(world))
    assert {"failed old", "completed"} <= seen


def test_a_daemon_that_dies_on_a_full_disk_frees_the_target_in_its_next_life() -> None:
    """The next life can record nothing either, not even its start, and frees the target at once."""
    held = 0
    for world in World(KINDS["disabled"].far()).deaths(fills_up, first=300, every=7):
        held += world.far.full and not takes_writes(world.far)
        world.live(freed)
    assert held


@pytest.mark.parametrize("left_out", ["put_back", "_watch", "relieve_all"])
def test_each_part_of_the_relief_is_needed(left_out: str, monkeypatch: Patch) -> None:
    """Without any of them a target waits for as long as the disk is full."""

    async def nothing(*_: object) -> None:
        await anyio.lowlevel.checkpoint()

    of = UndoActor if left_out == "put_back" else Relief
    monkeypatch.setattr(of, left_out, nothing)
    with pytest.raises(Violation, match="TimeoutError"):
        _in_one_life_and_the_next()


def _in_one_life_and_the_next() -> None:
    test_a_target_does_not_wait_for_our_disk("disabled")
    test_a_daemon_that_dies_on_a_full_disk_frees_the_target_in_its_next_life()
