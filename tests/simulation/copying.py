"""What clients do with backups that are copied to a second vault. Knows commands only."""

from functools import partial

from msgspec import structs

from daemon.commands import DeleteBackup, RecordCache, RequestBackup, RequestCopy, SetCache
from daemon.errors import NotFound, Rejected
from events.copies import CopyRequested
from events.types import BackupDeleted
from tests.simulation.stories import ask
from tests.simulation.virtual import pass_time
from tests.simulation.world import Life, Script
from tests.support.given import ANNA
from tests.support.samples import SECOND, SETTINGS, add_cache


def add_copied(name: str = "orders") -> RecordCache:
    """The command that adds a cache with a second vault."""
    command = add_cache(name)
    return RecordCache(command.request, structs.replace(SETTINGS, copy_to=SECOND))


async def copied(life: Life) -> None:
    """A cache with a second vault is added and backed up."""
    await ask(life, add_copied())
    await ask(life, RequestBackup("orders", "one"))


async def copied_and_deleted(life: Life) -> None:
    """A backup is made, copied, and deleted again."""
    await copied(life)
    await life.settled()
    await ask(life, DeleteBackup("orders/one"))


async def copied_by_command(life: Life) -> None:
    """An old backup gets a copy by command."""
    await ask(life, add_cache("orders"))
    await ask(life, RequestBackup("orders", "one"))
    await life.settled()
    await ask(life, RequestCopy("orders/one", SECOND))


async def deleted_while_copied(life: Life, seconds: float = 0.05) -> None:
    """Somebody deletes a backup as soon as he may, while its copy is perhaps being made."""
    await copied(life)
    while life.view.of(CopyRequested).total() == 0 and not life.view.of(BackupDeleted):
        await life.ledger.changed(life.ledger.state)
    await pass_time(seconds)
    while True:
        try:
            await life.ledger.execute(DeleteBackup("orders/one"), ANNA)
        except Rejected:
            await pass_time(0.05)
        except NotFound:
            return
        else:
            return


async def let_go(life: Life, seconds: float = 0.3) -> None:
    """The cache's second vault is taken away, so long after a backup was asked for."""
    await copied(life)
    await pass_time(seconds)
    await ask(life, RecordCache(SetCache("orders", copy_to=""), SETTINGS))


COPIED: dict[str, Script] = {
    "copied": copied,
    "copied and deleted": copied_and_deleted,
    "copied by command": copied_by_command,
}
LET_GO = tuple(partial(let_go, seconds=tick / 20) for tick in range(2, 24))
