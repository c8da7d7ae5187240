"""When restored data is safe on the target's own disk, and what memory takes away again.

Knows rules R6 and R9 and no more. Asks the server and waits; the only things it ever orders
are a save and an AOF rewrite.
"""

import anyio
from msgspec import Struct

from daemon.errors import Failed, Transient
from daemon.valkey.connection import Node
from daemon.valkey.info import Saving, fields, number, saving
from daemon.valkey.target import Hold, Target

POLL_SECONDS = 0.1
SAVE_TRIES = 3
SETTLED_SECONDS = 2.0
"""Evictions go on by themselves for a while: keys fell for two seconds when it was tried."""
SETTLING_LIMIT_SECONDS = 30.0


class Before(Struct, frozen=True):
    """Counters of the target before it loaded anything."""

    aof_rewrites: int | None
    evicted_keys: int


async def before(node: Node) -> Before:
    """The counters now; ask before `replicate_from`."""
    info = fields(await node.text("INFO", "persistence")) | fields(await node.text("INFO", "stats"))
    rewrites = number(info, "aof_rewrites") if "aof_rewrites" in info else None
    return Before(rewrites, number(info, "evicted_keys"))


class Durability:
    """Makes one promoted target's data durable."""

    def __init__(self, target: Target, hold: Hold, within_seconds: float) -> None:
        self._target = target
        self._node = target.node
        self._hold = hold
        self._within_seconds = within_seconds

    async def wait(self, load_mode: str, earlier: Before) -> str:
        """Wait as R6 says, and tell in a sentence how durable the data is now.

        Raises `Transient("target-save")` when the target cannot write it down: it serves the
        data, but a crash would bring the old data back.
        """
        info = await self._persistence()
        settings = await self._node.items("CONFIG", "GET", "save")
        saves = bool(settings[1]) if len(settings) > 1 else False
        if info.get("aof_enabled") == "1":
            await self._rewritten(earlier)
            return "durable: the append-only file has been rewritten"
        if load_mode == "disabled":
            return await self._received(saves=saves)
        if saves:
            await self._saved()
            return "durable: the target has saved it (BGSAVE)"
        return "in memory only, and an old RDB file would return"

    async def _received(self, *, saves: bool) -> str:
        drops = await self._node.items("CONFIG", "GET", "rdb-del-sync-files")
        if not saves and drops[1:] == ["yes"]:
            return "in memory only: the target deletes the RDB files it receives"
        return "durable: the target loaded it from its own RDB file"

    async def _rewritten(self, earlier: Before) -> None:
        """The rewrite that follows the load has ended ok; ours, where none was begun.

        Newer engines may make the received RDB the base of their append-only file instead;
        a rewrite of ours then proves that the file is whole.
        """
        ordered = False
        with anyio.move_on_after(self._within_seconds):
            while True:
                info = await self._persistence()
                busy = "1" in (
                    info.get("aof_rewrite_in_progress"),
                    info.get("aof_rewrite_scheduled"),
                )
                begun = ordered or _counted(info, earlier)
                if not busy and not begun:
                    ordered = await self._order("BGREWRITEAOF")
                elif not busy and info.get("aof_last_bgrewrite_status") == "ok":
                    return
                # One that failed is tried again by the server itself.
                await anyio.sleep(POLL_SECONDS)
        raise self._unsaved("its append-only file was not rewritten")

    async def _saved(self) -> None:
        """A save that began after the promotion has ended ok."""
        with anyio.move_on_after(self._within_seconds):
            for _ in range(SAVE_TRIES):
                start = await self._idle()
                if not await self._order("BGSAVE"):
                    continue
                end = await self._idle()
                if end.ok and (end.saves is None or end.saves != start.saves):
                    return
        raise self._unsaved("its BGSAVE did not succeed")

    async def _idle(self) -> Saving:
        while True:
            state = saving(await self._persistence())
            if not state.running:
                return state
            await anyio.sleep(POLL_SECONDS)

    async def _order(self, command: str) -> bool:
        try:
            await self._node.call(command)
        except Failed as error:
            if error.code != "cache-refused":
                raise
            await anyio.sleep(POLL_SECONDS)  # Another child runs: it is asked again.
            return False
        return True

    async def _persistence(self) -> dict[str, str]:
        info = fields(await self._node.text("INFO", "persistence"))
        # In this order: what was said comes from the process that is looked at then.
        await self._target.check(self._hold)
        return info

    def _unsaved(self, what: str) -> Transient:
        return Transient(
            "target-save",
            f"{self._node.login.address} serves the restored data, but {what}: after a crash "
            "its old data would return",
            "see its log and its disk's free space, then order BGSAVE or BGREWRITEAOF there",
        )


async def evicted(node: Node, earlier: Before) -> int:
    """Keys that were evicted since the load, when that has come to rest (R9)."""
    info = await _memory(node)
    if not number(info, "maxmemory"):
        return max(0, number(info, "evicted_keys") - earlier.evicted_keys)
    count, quiet_since = number(info, "evicted_keys"), anyio.current_time()
    with anyio.move_on_after(SETTLING_LIMIT_SECONDS):
        while anyio.current_time() - quiet_since < SETTLED_SECONDS:
            await anyio.sleep(POLL_SECONDS)
            info = await _memory(node)
            if number(info, "evicted_keys") != count:
                count, quiet_since = number(info, "evicted_keys"), anyio.current_time()
    return max(0, count - earlier.evicted_keys)


async def _memory(node: Node) -> dict[str, str]:
    return fields(await node.text("INFO", "memory")) | fields(await node.text("INFO", "stats"))


def _counted(info: dict[str, str], earlier: Before) -> bool:
    """Whether the server has begun a rewrite since; unknown where it does not count them."""
    if earlier.aof_rewrites is None or "aof_rewrites" not in info:
        return False
    return number(info, "aof_rewrites") > earlier.aof_rewrites
