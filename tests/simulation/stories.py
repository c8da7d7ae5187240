"""What clients do in a life: each command with a key, repeated until there is an answer.

A story is told again in the next life by a client that has no answer for it; by L4 it then
has no second effect. Knows commands only.
"""

from collections.abc import Callable, Iterator

import anyio
from msgspec import Struct

from daemon.commands import Command, DeleteBackup, RemoveCache, RequestBackup
from daemon.errors import Unavailable, ValkeepError
from daemon.ledger import KeyedBy
from tests.simulation.virtual import pass_time
from tests.simulation.world import Life, Plan, Script, World
from tests.support.given import ANNA
from tests.support.samples import add_cache


async def ask(life: Life, command: Command) -> None:
    """Send a command until it is answered; a refusal is an answer."""
    key = str(command)
    while True:
        try:
            await life.ledger.execute(command, ANNA, KeyedBy(1000, key, key.encode()))
        except Unavailable:
            await pass_time(1.0)
        except ValkeepError:
            return
        else:
            return


async def one_backup(life: Life) -> None:
    """A cache is added and backed up."""
    await ask(life, add_cache("orders"))
    await ask(life, RequestBackup("orders", "one"))


async def two_backups(life: Life) -> None:
    """Two backups of one cache are asked for at the same time."""
    await ask(life, add_cache("orders"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, life, RequestBackup("orders", "one"))
        tasks.start_soon(ask, life, RequestBackup("orders", "two"))


async def deletion(life: Life) -> None:
    """A backup is made and deleted again."""
    await one_backup(life)
    await life.settled()
    await ask(life, DeleteBackup("orders/one"))


async def removal(life: Life, seconds: float = 0.05) -> None:
    """A cache is removed so long after its backup was asked for: in the middle of it."""
    await one_backup(life)
    await pass_time(seconds)
    await ask(life, RemoveCache("orders"))


STORIES: dict[str, Script] = {
    "one backup": one_backup,
    "two backups": two_backups,
    "deletion": deletion,
    "removal": removal,
}


class Swept(Struct):
    """A sweep's figures: how many worlds there were, and what became of the backups."""

    worlds: int = 0
    outcomes: dict[str, int] = {}

    def count(self, world: World) -> None:
        """One more world has come to its end."""
        self.worlds += 1
        outcome = " ".join(f"{name}:{phase}" for name, phase in sorted(world.backups().items()))
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


def length(story: Script) -> World:
    """A world in which nothing goes wrong: how many steps and calls the story takes."""
    world = World()
    assert world.live(story) == "done"
    return world


def every(story: Script, plan: Callable[[int], Plan]) -> Iterator[World]:
    """A world for each step of a story, in which something happens at that step, and only there."""
    for step in range(1, length(story).steps + 1):
        world = World()
        world.live(story, plan(step))
        yield world
