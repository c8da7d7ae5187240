"""The way of one snapshot into a vault: pipeline, RDB guard, and the engine's own checker.

Knows which taps sit on the plain bytes. Where there is no engine to check with, or it cannot
read this version, the backup is stored all the same and says so.
"""

from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Self

from msgspec import Struct

from daemon.actors.seams import Judged
from daemon.errors import Transient
from daemon.ports import Offload, Progress
from daemon.storage.manifest import ShardObject
from daemon.storage.pipeline import Packing, Storing
from daemon.storage.reader import Reading, read_plain
from daemon.storage.sealing import Sealing
from daemon.storage.spool import Spool
from daemon.storage.vault import ObjectName, Vault
from daemon.valkey.checker import Broken, Checker, Limits, Unread, rdb_checker
from daemon.valkey.engine import Engine
from daemon.valkey.rdb import RdbGuard
from daemon.valkey.source import Snapshot
from events.facts import RdbTotals

NO_ENGINE = Judged(None, "no engine is installed here that could read it")


class PipelinePacker(Struct, frozen=True):
    """The `Packer` of the real daemon; `engine` is the one whose checker reads the bytes.

    `along` has it read while they are stored. Where processors are few that slows the server's
    own child, so there it reads the stored object right after, when the child has ended. What is
    stored encrypted is always read along: to read it back would take an identity.
    """

    offload: Offload
    engine: Engine | None
    along: bool = True
    level: int = 1
    limits: Limits = Limits()
    spool: Spool | None = None

    def __call__(
        self,
        vault: Vault,
        name: ObjectName,
        progress: Progress,
        sealing: Sealing | None = None,
    ) -> "PipelinePack":
        """See `Packer`."""
        return PipelinePack(self, Place(vault, name, sealing), progress)


class Place(Struct, frozen=True):
    """Where a shard is to lie, and who will be able to open it."""

    vault: Vault
    name: ObjectName
    sealing: Sealing | None = None


class PipelinePack:
    """The `Pack` of the real daemon."""

    def __init__(self, packer: PipelinePacker, place: Place, progress: Progress) -> None:
        self.along = packer.along or place.sealing is not None
        self._packer = packer
        self._place = place
        self._progress = progress
        self._stack = AsyncExitStack()
        self._checker: Checker | None = None
        self._shard: ShardObject | None = None

    async def __aenter__(self) -> Self:
        """Set everything up; nothing is stored before there are bytes."""
        if self.along:
            await self._start_checker()
        storing = Storing(self._place.vault, self._place.name, self._packing())
        self._storing = await self._stack.enter_async_context(storing)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def _packing(self) -> Packing:
        return Packing(
            offload=self._packer.offload,
            guards=(RdbGuard(),),
            watcher=self._checker,
            progress=self._progress,
            level=self._packer.level,
            sealing=self._place.sealing,
            spool=self._packer.spool,
        )

    async def _start_checker(self) -> None:
        """Run the engine's checker, if there is an engine."""
        if self._packer.engine is not None:
            checking = rdb_checker(self._packer.engine, self._packer.limits)
            self._checker = await self._stack.enter_async_context(checking)

    async def read(self, snapshot: Snapshot) -> None:
        """See `Pack.read`."""
        async with aclosing(snapshot.chunks()) as chunks:
            await self._storing.read(
                chunks,
                expected_bytes=snapshot.expected_bytes,
                spooled=snapshot.holds_fork,
            )

    async def store(self) -> ShardObject:
        """See `Pack.store`."""
        self._shard = await self._storing.finish()
        return self._shard

    async def judge(self) -> Judged:
        """See `Pack.judge`."""
        if not self.along:
            await self._start_checker()
            await self._read_back()
        return NO_ENGINE if self._checker is None else _judged(await self._checker.verdict())

    async def _read_back(self) -> None:
        """Show the checker what the vault has, which also shows that it has it."""
        if self._checker is None or self._shard is None:
            return
        self._progress.phase("checking", self._shard.plain_bytes)
        reading = Reading(self._packer.offload)
        async with read_plain(self._place.vault, self._shard, reading) as chunks:
            async for chunk in chunks:
                await self._checker.feed(chunk)
                self._progress.advance(len(chunk))


def _judged(verdict: RdbTotals | Unread | Broken) -> Judged:
    match verdict:
        case RdbTotals():
            return Judged(verdict)
        case Unread():
            return Judged(None, verdict.reason)
        case Broken():
            raise Transient(
                "rdb-broken",
                f"The bytes came whole, and yet {verdict.reason}.",
                "Look at the server's log and memory; its own `valkey-check-rdb` says more.",
            )
