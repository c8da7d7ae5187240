"""Copies of the log under kills and faults: what the vault had time to take, it has (L6).

The keeper runs beside the daemon's core, on virtual time. Once nothing has gone wrong for some
minutes, the copies in the vault are the whole log.
"""

from functools import partial

import anyio
import pytest

from daemon.actors.history import Keeper, Outside
from daemon.actors.history.chain import read_chain
from daemon.commands import RequestBackup
from daemon.storage.memory import MemoryStore, MemoryVault
from daemon.storage.sealing import NoKeys
from daemon.storage.shelf import Shelf
from daemon.storage.vault import ObjectName
from tests.simulation.line import FaultKind, Weather
from tests.simulation.ports import FarClock, FarVault, inline
from tests.simulation.stories import ask, length
from tests.simulation.virtual import CountedIds, pass_time
from tests.simulation.world import Life, Plan, World
from tests.support.offload import THREADS
from tests.support.samples import HERE, MAIN, add_cache

CALM_SECONDS = 400.0
"""For two rounds and the longest rest after the failures that these worlds have."""


@pytest.fixture(autouse=True)
def merging(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day of the keeper's has two minutes, so that its copies are merged, too."""
    monkeypatch.setattr("daemon.actors.history.keeper.MERGE_SECONDS", 120.0)


async def keeping(life: Life, backups: int = 2, calm: float = 70.0) -> None:
    """Backups are made while a keeper copies the log, and then nothing happens for a while."""
    shelf = Shelf({MAIN: partial(FarVault, life.line)}, HERE)
    ids = CountedIds(life.number + 2000)
    outside = Outside(shelf, NoKeys(), FarClock(life.line.far), ids, inline, HERE)
    keeper = Keeper(life.ledger, outside)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        await ask(life, add_cache("orders"))
        for number in range(backups):
            await ask(life, RequestBackup("orders", f"number-{number}"))
            await life.settled()
            await pass_time(70.0)
        await pass_time(calm)
        tasks.cancel_scope.cancel()


async def calm(life: Life) -> None:
    """Nothing goes wrong any more."""
    await keeping(life, calm=CALM_SECONDS)


def is_copied(world: World) -> None:
    """The copies in the vault are the log, to the last record that had the time to be copied."""
    objects = {ObjectName(name): data for name, data in world.far.objects.items()}
    chain = anyio.run(read_chain, MemoryVault(MemoryStore(objects)), THREADS, None)
    assert chain.whole, (chain.trouble, sorted(objects))
    # The end of the life itself is told after its last copy.
    assert chain.head.position >= len(world.far.records) - 1
    assert chain.head.hash == world.far.records[chain.head.position - 1].hash


def calls_of_the_keeper(world: World) -> list[int]:
    """The numbers of those calls that touch copies, or look whose the vault is."""
    found = [n for n, call in enumerate(world.calls, 1) if " log/" in call or "valkeep" in call]
    assert {"put", "delete", "list"} <= {world.calls[n - 1].partition(" ")[0] for n in found}
    return found


def test_a_quiet_life_is_copied() -> None:
    """Where nothing goes wrong the vault has the log, but for the last minute."""
    world = length(calm)

    is_copied(world)
    assert 1 <= sum(name.startswith("log/") for name in world.far.objects) <= 3


@pytest.mark.parametrize("kind", ["before", "after", "late", "hang"])
def test_fault_at_every_call_of_the_keeper(kind: FaultKind) -> None:
    """Whichever of its calls fails, loses its answer, lands late or hangs: all is copied."""
    for number in calls_of_the_keeper(length(keeping)):
        world = World()
        world.live(keeping, Plan(weather=Weather({number: kind}, late_by=100.0)))
        assert world.live(calm) == "done"
        is_copied(world)


def test_killed_while_copying() -> None:
    """Killed at any step, the next life copies what is missing; nothing is lost by a merge."""
    steps = length(keeping).steps
    for world in World().deaths(keeping, first=40, every=max(1, steps // 150)):
        assert world.live(calm) == "done"
        is_copied(world)
