"""Exports under `kill -9`, SIGTERM and faults: whole under their names, or not there (S4, R5, R7).

What is asked for is done in the next life, and a backup that is exported is held until then.
"""

import pytest

from daemon.commands import DeleteBackup, RequestExport
from projections.exports import Export
from tests.simulation.line import FaultKind, Weather
from tests.simulation.outlets import OUTLET
from tests.simulation.stories import ask, one_backup
from tests.simulation.virtual import pass_time
from tests.simulation.world import Life, Plan, World

FILE = "orders-one-0000.rdb"


async def backed_up(life: Life) -> None:
    """There is a backup to export."""
    await one_backup(life)
    await life.settled()


async def exported(life: Life) -> None:
    """It is exported, and deleted when it is no longer held."""
    await ask(life, RequestExport("orders/one", "s3://team/rdb"))
    await life.settled()


@pytest.fixture(scope="module")
def past() -> World:
    """A world with a backup."""
    world = World()
    assert "done" == world.live(backed_up)
    return world


def length(past: World) -> World:
    """The undisturbed life of the story."""
    world = past.fork()
    assert "done" == world.live(exported)
    return world


def files(world: World) -> dict[str, bytes]:
    """What lies in the user's own place."""
    return world.far.vault(OUTLET).objects


def export_of(world: World) -> Export:
    """The only export."""
    (export,) = world.view.state.exports.values()
    return export


def is_whole(world: World) -> None:
    """The file is the snapshot's own bytes, the log says so, and nothing else is there or held."""
    (rdb,) = world.far.snapshots.values()
    assert {FILE: rdb} == files(world)
    assert {} == world.far.vault(OUTLET).uploads
    assert "completed" == export_of(world).phase
    assert {} == dict(world.view.state.held)


def test_kill_at_every_step(past: World) -> None:
    """A daemon that is killed at any step makes the export whole in its next life."""
    for world in past.fork().deaths(exported):
        assert "done" == world.live(exported)
        is_whole(world)


def test_stop_at_every_third_step(past: World) -> None:
    """SIGTERM anywhere leaves no file that is not whole, and the next life makes one."""
    for step in range(1, length(past).steps + 1, 3):
        world = past.fork()
        world.live(exported, Plan(stop_at=step))
        (rdb,) = world.far.snapshots.values()
        assert files(world) in ({}, {FILE: rdb})
        assert "done" == world.live(exported)
        is_whole(world)


@pytest.mark.parametrize("kind", ["before", "after", "permanent", "odd"])
def test_fault_at_every_call(past: World, kind: FaultKind) -> None:
    """One fault on the way costs a try, or ends the export for good; a file is whole or absent."""
    calls = length(past).calls
    for number, call in enumerate(calls, 1):
        if call.startswith("append") and kind != "before":
            continue
        world = past.fork()
        world.live(exported, Plan(weather=Weather({number: kind})))
        (rdb,) = world.far.snapshots.values()
        assert files(world) in ({}, {FILE: rdb})
        if "completed" == export_of(world).phase:
            is_whole(world)
        else:
            assert kind != "before"


@pytest.mark.parametrize("tick", range(0, 24, 3))
def test_deleted_while_it_is_exported(past: World, tick: int) -> None:
    """A backup cannot be deleted while it is exported; afterwards it can, and the file stays."""

    async def story(life: Life) -> None:
        await ask(life, RequestExport("orders/one", "s3://team/rdb"))
        await pass_time(tick / 100)
        await ask(life, DeleteBackup("orders/one"))
        await life.settled()

    world = past.fork()
    assert "done" == world.live(story)
    is_whole(world)
