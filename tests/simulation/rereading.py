"""Stories in which copies are read back, and in which somebody damages a vault.

Told again in the next life of a daemon that was killed; each command has a key, and damage is done
once. Copies are read back every twenty minutes.
"""

from datetime import timedelta
from functools import partial

import anyio

from daemon.commands import DeleteBackup, RequestBackup, RequestVerification
from projections import catalog
from tests.simulation.copying import copied, deleted_while_copied
from tests.simulation.far import Far
from tests.simulation.schedules import MINUTE, until
from tests.simulation.stories import ask
from tests.simulation.view import folder_of
from tests.simulation.virtual import pass_time
from tests.simulation.world import PATIENCE_SECONDS, Life, Script
from tests.support.samples import SECOND

PERIOD = timedelta(minutes=20)


def reread() -> Far:
    """A world in which copies are read back."""
    return Far(reread=PERIOD)


def spoil(life: Life, *, gone: str = "") -> None:
    """Somebody damages the oldest whole copy, or takes an object of it away, once."""
    view = life.view
    if view.spoilings:
        return
    for backup in catalog.listed(view.state.catalog):
        folder = folder_of(backup.cache, backup.backup_id, backup.attempts)
        objects = life.line.far.vault(SECOND).objects
        data = [name for name in objects if name.startswith(folder) and name.endswith(".zst")]
        if not data or not all(copy.good for copy in backup.copies):
            continue
        if gone:
            del objects[f"{folder}{gone}" if gone == "manifest.json" else data[0]]
        else:
            objects[data[0]] = objects[data[0]][:-1] + b"?"
        view.spoilings += 1
        view.spoilt[folder] = life.line.far.wall(life.loop.time())
        return


async def done(life: Life) -> None:
    """Wait until nothing is outstanding, but not for ever: a broken program never gets there."""
    with anyio.move_on_after(PATIENCE_SECONDS):
        await life.settled()


async def checked(life: Life) -> None:
    """A copy is made, and verified by command."""
    await copied(life)
    await done(life)
    await ask(life, RequestVerification("orders/one", quick=True, vault=SECOND))


async def verified(life: Life) -> None:
    """A copy is made, damaged, verified by command, and made anew."""
    await copied(life)
    await done(life)
    spoil(life)
    await ask(life, RequestVerification("orders/one", quick=True, vault=SECOND))


async def rotten(life: Life, gone: str = "") -> None:
    """A copy is damaged, and nobody asks; then some periods pass."""
    await copied(life)
    await done(life)
    spoil(life, gone=gone)
    await until(life, 45 * MINUTE)


async def older_gone(life: Life) -> None:
    """The copy of the older of two backups loses its data: its turn would come after hours."""
    await copied(life)
    await ask(life, RequestBackup("orders", "two"))
    await done(life)
    spoil(life, gone="0000.rdb.zst")
    await until(life, 45 * MINUTE)


async def both_rotten(life: Life) -> None:
    """A backup and its copy are damaged; somebody looks at the copy, and deletes both later."""
    await copied(life)
    await done(life)
    spoil(life)
    far = life.line.far
    for name in [name for name in far.objects if name.endswith(".zst")]:
        far.objects[name] = far.objects[name][:-1] + b"!"
    await ask(life, RequestVerification("orders/one", quick=True, vault=SECOND))
    await pass_time(5 * MINUTE)
    await ask(life, DeleteBackup("orders/one"))


async def deleted_meanwhile(life: Life, seconds: float) -> None:
    """Somebody deletes a backup while its copy is perhaps being verified, or made anew."""
    await verified(life)
    await pass_time(seconds)
    await deleted_while_copied(life, seconds=0)


REREADING: dict[str, Script] = {
    "verified": verified,
    "object gone": partial(rotten, gone="0000.rdb.zst"),
    "manifest gone": partial(rotten, gone="manifest.json"),
    "rotten": rotten,
    "older gone": older_gone,
    "both rotten": both_rotten,
}
