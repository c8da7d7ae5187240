"""Scheduled stories: a cache with a window a minute ahead, and what people do meanwhile.

Told again in the next life of a daemon that was killed; each command has a key, and clocks are
set once. Knows commands, and how long the world has to live.
"""

from datetime import timedelta

import anyio

from daemon.commands import (
    AddCache,
    PolicyChange,
    RecordCache,
    RemoveCache,
    RequestAutoBackup,
    RequestBackup,
    SetPolicy,
)
from tests.simulation.stories import ask
from tests.simulation.virtual import START
from tests.simulation.world import Life, Script
from tests.support.samples import SETTINGS

MINUTE = 60.0
DAILY = PolicyChange(
    auto=True,
    retention_days=1,
    retries=1,
    timezone="UTC",
    windows=("12:01+15m",),
    keep_last=1,
    verify="never",  # see `proofs`
)


async def until(life: Life, seconds: float) -> None:
    """Live on until the world is so old."""
    await anyio.sleep_until(max(seconds, life.loop.time()))


async def add(life: Life, policy: PolicyChange = DAILY) -> None:
    """The cache, with its policy."""
    command = AddCache(name="orders", url=SETTINGS.url, policy=policy)
    await ask(life, RecordCache(command, SETTINGS))


async def scheduled(life: Life) -> None:
    """A window opens, and its backup is made."""
    await add(life)
    await until(life, 17 * MINUTE)


async def by_hand(life: Life) -> None:
    """Somebody does not want to wait for the instant, and somebody else asks for one, too."""
    await add(life)
    await until(life, 1.01 * MINUTE)
    await ask(life, RequestAutoBackup("orders"))
    await ask(life, RequestBackup("orders", "mine"))
    await until(life, 17 * MINUTE)


async def changing(life: Life) -> None:
    """The policy changes in the open window, to a window that closes later."""
    await add(life)
    await until(life, 3 * MINUTE)
    await ask(life, SetPolicy("orders", PolicyChange(windows=("12:02+20m",), retries=2)))
    await until(life, 23 * MINUTE)


async def removed(life: Life) -> None:
    """The cache is removed after its backup, and added again under its name."""
    await scheduled(life)
    await ask(life, RemoveCache("orders"))
    await ask(life, RecordCache(AddCache(name="orders", url=SETTINGS.url), SETTINGS))


async def next_day(life: Life) -> None:
    """The next day's backup is made, and the first one's retention is over."""
    await scheduled(life)
    tomorrow = START + timedelta(days=1)
    if life.line.far.wall(life.loop.time()) < tomorrow:
        life.set_clock(timedelta(days=1) - timedelta(minutes=17))
    await until(life, 36 * MINUTE)


SCHEDULES: dict[str, Script] = {
    "scheduled": scheduled,
    "by hand": by_hand,
    "changing": changing,
    "removed": removed,
    "next day": next_day,
}
