"""Stories in which backups are proven, and in which somebody damages the vault.

Told again in the next life of a daemon that was killed; each command has a key, and damage is
done once.
"""

from datetime import timedelta

import anyio
from msgspec.structs import replace

from daemon.commands import DeleteBackup, PolicyChange, RemoveCache, RequestVerification, SetPolicy
from tests.simulation.schedules import DAILY, MINUTE, add, until
from tests.simulation.stories import ask, one_backup
from tests.simulation.virtual import START
from tests.simulation.world import PATIENCE_SECONDS, Life, Script

TWICE = replace(DAILY, windows=("12:01+15m", "12:20+15m"), verify="daily")


def damage(life: Life, number: int) -> None:
    """Somebody overwrites the data of the backup that is the number-th by name."""
    found = sorted(name for name in life.line.far.objects if name.endswith(".zst"))
    if number < len(found):
        life.line.far.objects[found[number]] = b"rubbish"


async def settled(life: Life) -> None:
    """Wait until nothing is outstanding, but not for ever: a broken program never gets there."""
    with anyio.move_on_after(PATIENCE_SECONDS):
        await life.settled()


async def verify(life: Life, name: str) -> None:
    """Somebody wants a proof, and gets it."""
    await ask(life, RequestVerification(f"orders/{name}"))
    await settled(life)


async def proven(life: Life) -> None:
    """A manual backup is made and proven, and then goes."""
    await one_backup(life)
    await settled(life)
    await verify(life, "one")
    await ask(life, DeleteBackup("orders/one"))


async def damaged(life: Life) -> None:
    """The newer of two auto backups is damaged and found out, and retention of both passes."""
    await add(life, TWICE)
    await until(life, 36 * MINUTE)
    await settled(life)
    damage(life, 1)
    await verify(life, "auto-20260301-1220")
    await ask(life, SetPolicy("orders", PolicyChange(auto=False)))
    if life.line.far.wall(life.loop.time()) < START + timedelta(days=1):
        life.set_clock(timedelta(days=1, minutes=-1))
    await until(life, 60 * MINUTE)


async def removed_meanwhile(life: Life) -> None:
    """A cache is removed as soon as its auto backup is to be proven."""
    await add(life, replace(DAILY, verify="daily"))
    while not life.ledger.state.verifications:
        await life.ledger.changed(life.ledger.state)
        if life.loop.time() > 20 * MINUTE or not life.ledger.state.caches:
            break
    await ask(life, RemoveCache("orders"))


PROOFS: dict[str, Script] = {
    "proven": proven,
    "damaged": damaged,
    "removed meanwhile": removed_meanwhile,
}
