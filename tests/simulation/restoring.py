"""Stories of restores: a cache is backed up, another is overwritten, and somebody regrets it.

Clients write to the target all the while; it may be killed in the middle. Knows commands and the
model of the servers.
"""

from functools import partial

import anyio
from msgspec import Struct

from daemon.commands import (
    AddCache,
    DeleteBackup,
    RecordCache,
    RequestBackup,
    RequestRestore,
    UndoRestore,
)
from events.facts import CacheSettings
from tests.simulation.far import Far
from tests.simulation.servers import SETTINGS, FarServer
from tests.simulation.stories import ask
from tests.simulation.virtual import pass_time
from tests.simulation.world import Life, Script
from tests.support.samples import MAIN

ORDERS, USERS = "valkey://orders:6379", "valkey://users:6379"
WRITES_EVERY = 0.013


class Kind(Struct, frozen=True):
    """What sort of server the target is."""

    load_mode: str = "disabled"
    aof: bool = False
    save: str = ""

    def far(self) -> Far:
        """A far side with a server to take from, and one of this sort to restore into."""
        mine = {**SETTINGS, "repl-diskless-load": self.load_mode, "save": self.save}
        return Far(
            servers={
                ORDERS: FarServer(ORDERS, mark="orders 0", on_disk="orders 0"),
                USERS: FarServer(
                    USERS,
                    mark="users 0",
                    on_disk="users 0",
                    settings=dict(mine),
                    in_file=dict(mine),
                    aof=self.aof,
                ),
            }
        )


KINDS = {
    "disabled": Kind(),
    "swapdb, in memory": Kind("swapdb"),
    "swapdb, saved": Kind("swapdb", save="3600 1"),
    "swapdb, AOF": Kind("swapdb", aof=True),
}


def adding(name: str, *, url: str) -> RecordCache:
    """A cache that nobody looks at first."""
    return RecordCache(AddCache(name, url), CacheSettings(url=url, vault=MAIN))


async def _write(life: Life) -> None:
    while True:
        life.line.far.servers[USERS].write()
        await pass_time(WRITES_EVERY)


async def among_writes(story: Script, life: Life) -> None:
    """A story while clients write to the target."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_write, life)
        await story(life)
        tasks.cancel_scope.cancel()


async def _restored(life: Life) -> None:
    await ask(life, adding("orders", url=ORDERS))
    await ask(life, adding("users", url=USERS))
    await ask(life, RequestBackup("orders", "one"))
    await life.settled()
    await ask(life, RequestRestore("orders/one", "users", replace=True))
    await life.settled()


async def _undone(life: Life) -> None:
    await _restored(life)
    await ask(life, UndoRestore("users", replace=True))
    await life.settled()


async def _undone_twice(life: Life) -> None:
    await _undone(life)
    await ask(life, UndoRestore("users", replace=True, force=("memory",)))
    await life.settled()


async def _crowded(life: Life) -> None:
    """While a restore runs, the target is to be backed up and the backup that is read to go."""

    async def meddle() -> None:
        while not life.ledger.state.active:
            await life.ledger.changed(life.ledger.state)
        await ask(life, RequestBackup("users", "meanwhile"))
        await ask(life, DeleteBackup("orders/one"))
        await ask(life, RequestRestore("orders/one", "users", replace=True, force=("memory",)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(meddle)
        await _restored(life)
        tasks.cancel_scope.cancel()


restored: Script = partial(among_writes, _restored)
undone: Script = partial(among_writes, _undone)
undone_twice: Script = partial(among_writes, _undone_twice)
crowded: Script = partial(among_writes, _crowded)
RESTORES: dict[str, Script] = {
    "restored": restored,
    "undone": undone,
    "undone twice": undone_twice,
    "crowded": crowded,
}


async def with_a_restart(story: Script, at: float, life: Life) -> None:
    """The target is killed at an instant, and is there again at once."""

    async def restart() -> None:
        await pass_time(at)
        life.line.far.servers[USERS].restart()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(restart)
        await story(life)
        tasks.cancel_scope.cancel()


def restarted(story: Script, at: float) -> Script:
    """A story in which the target is killed."""
    return partial(with_a_restart, story, at)
