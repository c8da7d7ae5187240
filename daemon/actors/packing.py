"""The way of one snapshot into a vault: pipeline, RDB guard, and the engine's own checker.

Knows which taps sit on the plain bytes. Where there is no engine to check with, or it cannot
read this version, the backup is stored all the same and says so.
"""

from contextlib import AsyncExitStack, aclosing

from msgspec import Struct

from daemon.actors.seams import Packed
from daemon.errors import Transient
from daemon.ports import Offload, Progress
from daemon.storage.manifest import ShardObject
from daemon.storage.pipeline import Packing, store
from daemon.storage.reader import Reading, read_plain
from daemon.storage.vault import ObjectName, Vault
from daemon.valkey.checker import Broken, Checker, Limits, Unread, rdb_checker
from daemon.valkey.engine import Engine
from daemon.valkey.rdb import RdbGuard
from daemon.valkey.source import Snapshot
from events.facts import RdbTotals


class PipelinePacker(Struct, frozen=True):
    """The `Packer` of the real daemon; `engine` is the one whose checker reads the bytes.

    `along` has it read while they are stored. Where processors are few that slows the server's
    own child (by a fifth on two, measured), so there it reads the stored object right after,
    when the child has ended.
    """

    offload: Offload
    engine: Engine | None
    along: bool = True
    level: int = 1
    limits: Limits = Limits()

    async def __call__(
        self, snapshot: Snapshot, vault: Vault, name: ObjectName, progress: Progress
    ) -> Packed:
        """See `Packer`."""
        async with AsyncExitStack() as stack:
            checker = await self._checker(stack)
            packing = Packing(
                offload=self.offload,
                guards=(RdbGuard(),),
                watcher=checker if self.along else None,
                progress=progress,
                level=self.level,
            )
            async with aclosing(snapshot.chunks()) as chunks:
                shard = await store(chunks, vault, name, packing)
            if checker is not None and not self.along:
                progress.phase("checking", shard.plain_bytes)
                await self._read_back(vault, shard, checker, progress)
            return await _judged(shard, checker)

    async def _checker(self, stack: AsyncExitStack) -> Checker | None:
        if self.engine is None:
            return None
        return await stack.enter_async_context(rdb_checker(self.engine, self.limits))

    async def _read_back(
        self, vault: Vault, shard: ShardObject, checker: Checker, progress: Progress
    ) -> None:
        """Read what the vault has, which also shows that it has it."""
        async with read_plain(vault, shard, Reading(self.offload)) as chunks:
            async for chunk in chunks:
                await checker.feed(chunk)
                progress.advance(len(chunk))


async def _judged(shard: ShardObject, checker: Checker | None) -> Packed:
    if checker is None:
        return Packed(shard, None, "no engine is installed here that could read it")
    match await checker.verdict():
        case RdbTotals() as totals:
            return Packed(shard, totals, None)
        case Unread(reason=reason):
            return Packed(shard, None, reason)
        case Broken(reason=reason):
            raise Transient(
                "rdb-broken",
                f"The bytes came whole, and yet {reason}.",
                "Look at the server's log and memory; its own `valkey-check-rdb` says more.",
            )
