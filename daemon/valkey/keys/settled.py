"""When keys that were written are safe on the target's own disk (R6), and what memory takes away.

Asks every primary and waits; the only thing that it ever orders is a save.
"""

import anyio

from daemon.errors import Failed
from daemon.valkey.connection import Node, open_node
from daemon.valkey.durable import Before, Durability, before, evicted
from daemon.valkey.info import fields
from daemon.valkey.keys.mover import Way
from daemon.valkey.target import Hold, Target
from daemon.valkey.target_facts import keys_now

FSYNC_SECONDS = 1.1
"""``everysec`` forces the file to disk once a second."""
DURABLE_SECONDS = 3600.0
POLL_SECONDS = 0.1
_WITHHELD = frozenset({"cache-rights", "command-unknown", "cache-refused"})


async def earlier(way: Way) -> tuple[Before, ...]:
    """Counters of each primary, before anything is written."""
    found: list[Before] = []
    for where in way.logins:
        async with open_node(where, way.timeouts) as node:
            found.append(await before(node))
    return tuple(found)


async def settled(way: Way) -> str:
    """Wait until each primary has the keys on its disk, and tell in a sentence how durable."""
    told: list[str] = []
    for where in way.logins:
        async with open_node(where, way.timeouts) as node:
            told.append(await _settled(node))
    return "; ".join(dict.fromkeys(told))


async def lost_and_left(way: Way, counters: tuple[Before, ...]) -> tuple[int, dict[int, int]]:
    """Keys that were evicted meanwhile (R9), and what there is now by database."""
    gone = 0
    left: dict[int, int] = {}
    for where, counter in zip(way.logins, counters, strict=False):
        async with open_node(where, way.timeouts) as node:
            gone += await evicted(node, counter)
            for database, keys in (await keys_now(node)).items():
                left[database] = left.get(database, 0) + keys
    return gone, left


async def _settled(node: Node) -> str:
    if fields(await node.text("INFO", "persistence")).get("aof_enabled") == "1":
        return await _appended(node)
    target = Target(node)
    try:
        hold = Hold(await target.run_id(), {}, {}, "", "")
        return await Durability(target, hold, DURABLE_SECONDS).wait("swapdb", await before(node))
    except Failed as error:
        if error.code not in _WITHHELD:
            raise
        return f"when the target saves next: we may not ask it to ({error.message})"


async def _appended(node: Node) -> str:
    policy = await _policy(node)
    if policy == "no":
        return "in the append-only file, when the target's system writes it (appendfsync no)"
    await anyio.sleep(FSYNC_SECONDS if policy != "always" else 0)
    with anyio.move_on_after(DURABLE_SECONDS):
        while True:
            if not await _pending(node):
                break
            await anyio.sleep(POLL_SECONDS)
    return f"durable: in the append-only file (appendfsync {policy})"


async def _pending(node: Node) -> bool:
    info = fields(await node.text("INFO", "persistence"))
    return info.get("aof_pending_bio_fsync", "0") != "0"


async def _policy(node: Node) -> str:
    try:
        found = await node.items("CONFIG", "GET", "appendfsync")
    except Failed as error:
        if error.code not in _WITHHELD:
            raise
        return "everysec"
    return str(found[1]) if len(found) > 1 else "everysec"
