"""Seeding: one stored dump goes to one replica, whole and checked, or not at all.

Knows how bytes are sent and when to stop. The last bytes are held back until the source has
ended without complaint (rule R5): a target that lacks them keeps its old data. Where the
bytes come from, and what makes them right, is the source's business.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import anyio
from msgspec import Struct

from daemon.errors import Permanent, Transient
from daemon.ports import Progress
from daemon.valkey.listener import Listener, Replica
from daemon.valkey.primary import SYNC_OFFSET, Loaded
from daemon.valkey.wire import Lost

HELD_BACK_BYTES = 64 << 10

Chunks = Callable[[], AbstractAsyncContextManager[AsyncGenerator[bytes, None]]]
"""The plain bytes of the dump from their beginning, each time it is called.

A context, because whoever reads ahead has tasks that must end with it."""


class Patience(Struct, frozen=True):
    """How long to wait, in seconds, and how often a target may come back (fault 57).

    `stall` must be below the target's ``repl-timeout``, which is its own patience with us.
    `load` is how long a loading target may give no sign of life.
    """

    arrival: float = 60.0
    stall: float = 50.0
    load: float = 300.0
    tries: int = 3


class Seeder:
    """Sends one dump through a listener."""

    def __init__(self, listener: Listener, patience: Patience, progress: Progress) -> None:
        self._listener = listener
        self._patience = patience
        self._progress = progress
        self._replica: Replica | None = None

    async def serve(self, plain_bytes: int, chunks: Chunks) -> None:
        """Send the dump to the replica that comes; returns when it has loaded all of it.

        The connection stays open afterwards until `close`, so that the target does not look
        for us again before it is promoted. What `chunks` raises comes through, after the
        connection was cut before the tail. Raises `Transient("restore-connection")` when the
        target went away too often, `Transient("vault-stalled")`, `Transient("target-stalled")`.
        """
        lost = ""
        for _ in range(self._patience.tries):
            try:
                replica = await self._listener.replica(self._patience.arrival)
            except Transient as error:
                raise self._gone(f"{lost}, and it did not come back") if lost else error from None
            try:
                await self._give(replica, plain_bytes, chunks)
                await self._loaded(replica)
            except Lost as error:
                lost = str(error)
                continue
            finally:
                if self._replica is None:
                    replica.wire.abort()
            return
        raise self._gone(f"{lost}, {self._patience.tries} times")

    def close(self) -> None:
        """End the replica's connection, once it has been promoted."""
        if self._replica is not None:
            self._replica.wire.close()
            self._replica = None

    async def _give(self, replica: Replica, plain_bytes: int, chunks: Chunks) -> None:
        self._progress.phase("sending", plain_bytes)
        await replica.wire.send(replica.primary.header(plain_bytes))
        held: list[bytes] = []
        seen_bytes = held_bytes = 0
        async with chunks() as source, AsyncExitStack() as failing:
            # At once: leaving the chunks may have to wait for a vault that hangs.
            failing.callback(replica.wire.abort)
            while (chunk := await self._next(source)) is not None:
                seen_bytes += len(chunk)
                if seen_bytes > plain_bytes:
                    raise _wrong_length(expected=plain_bytes, found=seen_bytes)
                held.append(chunk)
                held_bytes += len(chunk)
                while held_bytes - len(held[0]) >= HELD_BACK_BYTES:
                    held_bytes -= len(held[0])
                    await self._send(replica, held.pop(0))
            failing.pop_all()
        if seen_bytes != plain_bytes:
            raise _wrong_length(expected=plain_bytes, found=seen_bytes)
        for chunk in held:
            await self._send(replica, chunk)
        await replica.wire.send(replica.primary.trailer())

    async def _next(self, source: AsyncIterator[bytes]) -> bytes | None:
        with anyio.move_on_after(self._patience.stall):
            return await anext(source, None)
        raise Transient(
            "vault-stalled",
            f"the vault gave nothing for {self._patience.stall:g} s, and the target does not "
            "wait longer",
            "the old data is in place; try again, or raise repl-timeout on the target",
        )

    async def _send(self, replica: Replica, chunk: bytes) -> None:
        with anyio.move_on_after(self._patience.load) as sending:
            await replica.wire.send(chunk)
        if sending.cancelled_caught:
            raise self._stalled("took no more bytes")
        self._progress.advance(len(chunk))

    async def _loaded(self, replica: Replica) -> None:
        """Wait for the acknowledgement; a replica that still loads sends newlines."""
        self._progress.phase("loading")
        while True:
            with anyio.move_on_after(self._patience.load) as waiting:
                data = await replica.wire.receive()
                self._progress.advance(0)
                if not data:
                    raise Lost("it closed the connection while loading")
                events = replica.primary.receive(data)
                if any(isinstance(e, Loaded) and e.offset >= SYNC_OFFSET for e in events):
                    self._replica = replica
                    return
            if waiting.cancelled_caught:
                raise self._stalled("gave no sign of life while loading")

    def _gone(self, how: str) -> Transient:
        return Transient(
            "restore-connection",
            f"the connection with the target broke: {how}",
            "the target's log says why: memory, disk, or a module it lacks",
        )

    def _stalled(self, what: str) -> Transient:
        return Transient(
            "target-stalled",
            f"the target {what} for {self._patience.load:g} s",
            "is it frozen or swapping? Its log may say more",
        )


def _wrong_length(*, expected: int, found: int) -> Permanent:
    return Permanent(
        "backup-length",
        f"the backup gave {found} bytes where its manifest says {expected}",
        "verify the backup; the target keeps its old data",
    )
