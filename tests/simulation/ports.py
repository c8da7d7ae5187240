"""The daemon's ports in a simulated world: vault, caches, log and threads over one line.

Each does what the seam's contract says and nothing more; time and faults come from the line.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import ParamSpec, TypeVar

import anyio
from msgspec.structs import replace

from daemon.errors import Failed, Permanent
from daemon.ports import Progress
from daemon.storage.vault import ObjectInfo, ObjectName
from events.envelope import Commit, Head, Record
from events.facts import START as GENESIS
from events.facts import CacheSettings, Position, Probe, SnapshotFacts
from events.log import Appended, Conflict, LogFailed, LogUnwritable
from events.memory import InMemoryLog
from tests.simulation.far import Far
from tests.simulation.line import LATENCY, Line
from tests.simulation.virtual import pass_time
from tests.support.samples import PROBE, SERVER

P = ParamSpec("P")
T = TypeVar("T")
PIECE = 200
FSYNC = 0.08


async def inline(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The `Offload` port: takes its time, is not interrupted, and runs right here."""
    with anyio.CancelScope(shield=True):
        await pass_time(LATENCY / 10)
    return function(*args, **kwargs)


class FarClock:
    """The wall clock of the daemon's host; somebody may set it, and it stays set."""

    def __init__(self, far: Far) -> None:
        self._far = far

    def now(self) -> datetime:
        """See `Clock.now`."""
        return self._far.wall(asyncio.get_running_loop().time())


class FarVault:
    """A `Vault` at the other end of the line; calls of a further one begin with its name."""

    def __init__(self, line: Line, name: str = "") -> None:
        self._line = line
        self._name = name
        self._says = f"{name}: " if name else ""
        self.url = f"far:{name}"

    async def _call(
        self, what: str, effect: Callable[[Far], T], torn: Callable[[Far], object] | None = None
    ) -> T:
        """A call whose effect is on this vault's own far side."""
        name = self._name
        half = None if torn is None else lambda far: torn(far.vault(name))
        return await self._line.call(
            f"{self._says}{what}", lambda far: effect(far.vault(name)), half
        )

    @property
    def _writing(self) -> list[str]:
        return self._line.far.vault(self._name).writing

    @asynccontextmanager
    async def create(self, name: ObjectName) -> AsyncIterator["FarWriter"]:
        """See `Vault.create`."""
        number = await self._call(f"create {name}", lambda far: far.begin(name))
        writer = FarWriter(self, name, number)
        self._writing.append(name)
        try:
            yield writer
        finally:
            if not writer.committed:
                with anyio.CancelScope(shield=True), suppress(Failed):
                    await self._call(f"abort {name}", lambda far: far.abort(number))
            self._writing.remove(name)

    async def put(self, name: ObjectName, data: bytes) -> None:
        """See `Vault.put`."""
        await self._call(f"put {name}", lambda far: far.objects.update({name: data}))

    async def put_new(self, name: ObjectName, data: bytes) -> bool:
        """See `Vault.put_new`."""

        def effect(far: Far) -> bool:
            return far.objects.setdefault(name, data) is data

        return await self._call(f"put_new {name}", effect)

    async def get(self, name: ObjectName, limit_bytes: int) -> bytes | None:
        """See `Vault.get`."""
        data = await self._call(f"get {name}", lambda far: far.objects.get(name))
        if data is not None and len(data) > limit_bytes:
            raise Permanent("object-too-large", f"{name} is too large", "look at it")
        return data

    async def read(self, name: ObjectName, *, offset: int, length: int) -> bytes:
        """See `Vault.read`."""
        data = await self._call(f"read {name}", lambda far: far.objects.get(name))
        if data is None or len(data) < offset + length:
            raise Permanent("object-missing", f"no {name}", "look for it")
        return data[offset : offset + length]

    async def size(self, name: ObjectName) -> int | None:
        """See `Vault.size`."""
        data = await self._call(f"size {name}", lambda far: far.objects.get(name))
        return None if data is None else len(data)

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo, None]:
        """See `Vault.list`."""
        found = await self._call(f"list {prefix}", lambda far: sorted(far.objects.items()))
        for name, data in found:
            if name.startswith(prefix):
                yield ObjectInfo(ObjectName(name), len(data))

    async def delete(self, name: ObjectName) -> None:
        """See `Vault.delete`."""
        await self._call(f"delete {name}", lambda far: far.objects.pop(name, None))

    async def clear(self, prefix: str) -> None:
        """See `Vault.clear`."""
        await self._call(f"clear {prefix}", lambda far: far.clear(prefix))

    async def aclose(self) -> None:
        """Nothing to give back."""


class FarWriter:
    """An `ObjectWriter` over one upload; its commit runs in a thread and cannot be stopped."""

    def __init__(self, vault: FarVault, name: ObjectName, number: int) -> None:
        self._vault = vault
        self._name = name
        self._number = number
        self.committed = False

    async def write(self, data: bytes) -> None:
        """See `ObjectWriter.write`."""
        number, half = self._number, data[: len(data) // 2]
        await self._vault._call(
            f"write {self._name}",
            lambda far: far.append(number, data),
            lambda far: far.append(number, half),
        )

    async def commit(self) -> None:
        """See `ObjectWriter.commit`."""
        number = self._number
        with anyio.CancelScope(shield=True):
            await pass_time(FSYNC)
            await self._vault._call(f"commit {self._name}", lambda far: far.commit(number))
        self.committed = True


class FarCaches:
    """The `Caches` seam: every snapshot is another small, valid RDB, sent in pieces."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def probe(self, settings: CacheSettings) -> Probe:
        """See `Caches.probe`."""
        return await self._line.call(f"probe {settings.url}", lambda _: PROBE)

    @asynccontextmanager
    async def snapshot(
        self,
        settings: CacheSettings,
        progress: Progress,
        *,
        safety: bool = False,  # noqa: ARG002 - every host here has room
    ) -> AsyncIterator["FarSnapshot"]:
        """See `Caches.snapshot`."""
        progress.phase("waiting for the fork")
        is_open, url = self._line.far.open_snapshots, settings.url
        is_open[url] = is_open.get(url, 0) + 1
        try:
            rdb = await self._line.call(
                f"snapshot {url}",
                lambda far: far.snapshot_of(url),
                sign=lambda: progress.advance(0),
            )
            yield FarSnapshot(self._line, rdb)
        finally:
            is_open[url] -= 1


class FarSnapshot:
    """One snapshot under way."""

    def __init__(self, line: Line, rdb: bytes) -> None:
        self._line = line
        self._rdb = rdb
        self._taken_at = FarClock(line.far).now()

    @property
    def expected_bytes(self) -> int | None:
        """See `Snapshot.expected_bytes`."""
        return len(self._rdb)

    @property
    def holds_fork(self) -> bool:
        """See `Snapshot.holds_fork`."""
        return True

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """See `Snapshot.chunks`; a faulty source may end early or tell other bytes."""
        for at in range(0, len(self._rdb), PIECE):
            piece = self._rdb[at : at + PIECE]
            done = len(self._line.hit)
            await self._line.call("piece", lambda _: None)
            match self._line.hit[done:]:
                case ["short"]:
                    return
                case ["flipped"]:
                    piece = bytes([piece[0] ^ 1]) + piece[1:]
            yield piece

    async def facts(self) -> SnapshotFacts:
        """See `Snapshot.facts`."""
        await self._line.call("facts", lambda _: None)
        return SnapshotFacts(
            server=replace(SERVER, keys={0: self._line.far.keys}),
            source="replication",
            reason="",
            rdb_version=11,
            taken_at=self._taken_at,
        )


class FarLog:
    """An `EventLog` whose records outlive the daemon; appending takes its time, there and back."""

    def __init__(self, line: Line, seen: Callable[[tuple[Record, ...]], None]) -> None:
        self._line = line
        self._seen = seen
        self._inner = InMemoryLog()

    def reopen(self) -> None:
        """Bring back what is on the disk; whether its hashes are right is the checker's to see."""
        inner, records = self._inner, self._line.far.records
        inner._records = list(records)
        if records:
            inner._head = Head(records[-1].position, records[-1].hash)
        for record in records:
            envelope = record.envelope
            inner._streams[envelope.stream] = record.position
            before = inner._commits.get(envelope.commit_id, ())
            inner._commits[envelope.commit_id] = (*before, record)

    async def append(self, commits: Sequence[Commit]) -> tuple[Appended | Conflict, ...]:
        """See `EventLog.append`."""
        fault = self._line.fault("append")
        with self._line.doing("append"):
            with anyio.CancelScope(shield=True):
                await pass_time(self._line.seconds("append"))
                if self._line.far.full or fault not in (None, "after"):
                    raise LogUnwritable("the disk is full", "make room")
                answers = await self._inner.append(commits)
                self._stored(answers)
                if fault == "after":
                    raise LogFailed("the disk failed while it wrote", "start again")
            await pass_time(self._line.seconds("append"))
        return answers

    async def probe(self) -> None:
        """See `EventLog.probe`."""
        await pass_time(self._line.seconds("append"))
        if self._line.far.full:
            raise LogUnwritable("the disk is full", "make room")

    def _stored(self, answers: Sequence[Appended | Conflict]) -> None:
        """They are on the disk, from where the next life reads them."""
        for answer in answers:
            if isinstance(answer, Appended) and not answer.repeated:
                self._line.far.records.extend(answer.records)
                self._seen(answer.records)

    def read(self, after: Position = GENESIS) -> AsyncGenerator[Record, None]:
        """See `EventLog.read`."""
        return self._inner.read(after)

    def subscribe(self, after: Position = GENESIS) -> AsyncGenerator[Record, None]:
        """See `EventLog.subscribe`."""
        return self._inner.subscribe(after)

    async def head(self) -> Head:
        """See `EventLog.head`."""
        return await self._inner.head()
