"""Drives the replica's side over a socket: connects, reads as fast as the server can write.

It reads when it is asked and never ahead,
so that a slow reader slows the server; waiting has two limits, for the connection and for
silence.
"""

import errno
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime

import anyio
from msgspec import structs

from daemon.errors import Failed, Transient
from daemon.valkey.address import Address
from daemon.valkey.connection import Login, unreachable
from daemon.valkey.dial import open_wire
from daemon.valkey.history import difference, failed_over, unlike
from daemon.valkey.occasion import Occasion, Taken, after_child, copied, snapshot_facts
from daemon.valkey.rdb import HEADER_LIMIT, Header, read_header
from daemon.valkey.replication import (
    Chunk,
    End,
    FullResync,
    Payload,
    ReplicaEvent,
    Send,
    Session,
    ended_early,
)
from daemon.valkey.tls_refusal import tls_failed
from daemon.valkey.wire import Lost, Wire
from events.facts import SnapshotFacts

# Fewer bytes than this are put together, so that whoever reads has few chunks to handle.
WORTHWHILE_BYTES = 256 << 10


CLOSED = "the connection is closed, and the server ends its child if it was only for us"
"""The last phase of one that was ended: without a reader a diskless child is killed. [tried]"""


class Link:
    """A wire and a session: what the server sent, as events, in order."""

    def __init__(self, wire: Wire, session: Session, login: Login, stall: float) -> None:
        self._wire = wire
        self._session = session
        self._login = login
        self._stall = stall

    async def begin(self) -> None:
        """Write the session's first words."""
        await self._send_all(self._session.start())

    async def receive(self) -> list[ReplicaEvent]:
        """What came next; all that is to be sent has been sent when it returns.

        Raises `Transient`: "source-stalled" after silence, "source-ended-early", and what the
        session raises.
        """
        data = await self._read()
        if not data:
            self._session.closed()
            return []
        events = self._session.feed(data)
        await self._send_all([event for event in events if isinstance(event, Send)])
        return events

    async def _read(self) -> bytes:
        silent = False
        while not silent:
            with anyio.move_on_after(self._stall) as waiting:
                await self._wire.wait(self._session.want_bytes)
            silent = waiting.cancelled_caught
            try:
                # Also after silence: less than was waited for may have come.
                data = self._wire.read()
            except Lost as error:
                raise broken(self._login, error, self._session) from error
            if data is not None:
                return data
        raise stalled(self._login.address, self._session, self._stall)

    async def _send_all(self, sends: list[Send]) -> None:
        for send in sends:
            with anyio.move_on_after(self._stall) as sending:
                try:
                    await self._wire.send(send.data)
                except Lost as error:
                    raise broken(self._login, error, self._session) from error
            if sending.cancelled_caught:
                raise stalled(self._login.address, self._session, self._stall)


class Replication:
    """A snapshot that is coming in over the replication protocol; see `valkey.source`."""

    def __init__(self, link: Link, occasion: Occasion) -> None:
        self._link = link
        self._occasion = occasion
        self._resync: FullResync | None = None
        self._taken_at: datetime | None = None
        self._forked = self._ended = anyio.current_time()
        self._payload: Payload | None = None
        self._early: list[bytes] = []
        self._whole = False
        self._beginning = b""

    @property
    def expected_bytes(self) -> int | None:
        """The RDB's size, with ``$<length>`` framing."""
        return self._payload.length_bytes if self._payload is not None else None

    @property
    def holds_fork(self) -> bool:
        """Whether or not the server used its disk, what we leave unread it has to keep."""
        return True

    async def begin(self) -> None:
        """Shake hands and wait until the RDB begins."""
        await self._link.begin()
        while self._payload is None:
            self._early += self._understood(await self._link.receive())
            self._occasion.progress.advance(0)  # a newline is a sign of life, too
        self._occasion.progress.phase("reading", self.expected_bytes)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The RDB, in portions of about a quarter to one MiB."""
        parts, self._early = self._early, []
        while True:
            if parts and (self._whole or sum(map(len, parts)) >= WORTHWHILE_BYTES):
                yield self._seen(parts[0] if len(parts) == 1 else b"".join(parts))
                parts = []
            if self._whole:
                return
            parts += self._understood(await self._link.receive())

    async def facts(self) -> SnapshotFacts:
        """What is to be recorded; only after `chunks` has ended.

        A server that was making a file already for another replica when we came has forked
        before we saw it; what is told then is a part of its child's life. Raises
        `Transient("failed-over")` when the server no longer is who it was; one that is gone by
        now has proven it by its answer to ``PSYNC``.
        """
        resync = self._resync
        after = await after_child(self._occasion)
        if after is not None and (changed := self._changed(after)):
            raise failed_over(self._occasion.node.address, what=changed)
        taken = Taken(
            at=self._taken_at or self._occasion.clock.now(),
            header=read_header(self._beginning) or Header(0, {}),
            fork_seconds=self._ended - self._forked,
            copy_on_write_bytes=copied(after),
            replication=(resync.replication_id, resync.offset) if resync is not None else None,
        )
        return snapshot_facts(self._occasion, taken)

    def _understood(self, events: list[ReplicaEvent]) -> list[bytes]:
        """The RDB's bytes among the events; the rest is taken note of."""
        parts: list[bytes] = []
        for event in events:
            match event:
                case Chunk(data):
                    parts.append(data)
                case FullResync(replication_id):
                    if changed := unlike(self._occasion.history, replication_id):
                        raise failed_over(self._occasion.node.address, what=changed)
                    self._resync, self._taken_at = event, self._occasion.clock.now()
                    self._forked = anyio.current_time()
                case Payload():
                    self._payload, self._ended = event, anyio.current_time()
                case End():
                    self._whole = True
                    if self.expected_bytes is None:
                        self._ended = anyio.current_time()
                case Send(data):
                    if b"PSYNC" in data:
                        self._occasion.progress.phase("waiting for the fork")
        return parts

    def _changed(self, after: dict[str, str]) -> str | None:
        """What became of the server since it answered ``PSYNC``."""
        history = self._occasion.history
        if self._resync is not None:
            # The first to follow a primary is answered with a new id, which lasts from then on.
            answered = self._resync.replication_id
            history = structs.replace(history, replication_id=answered, backlog=True)
        return difference(history, after)

    def _seen(self, chunk: bytes) -> bytes:
        if len(self._beginning) < HEADER_LIMIT:
            self._beginning += chunk[: HEADER_LIMIT - len(self._beginning)]
        return chunk


def broken(login: Login, lost: Lost, session: Session) -> Failed:
    """What the error means that ended a synchronisation."""
    match lost.__cause__:
        case ssl.SSLError() as error:
            return tls_failed(login.address, login.tls, error)
        case OSError() as error if error.errno not in {errno.ECONNRESET, errno.EPIPE}:
            return unreachable(login.address, error)
        case _:
            return ended_early(login.asked, session.phase)


def stalled(address: Address, session: Session, seconds: float) -> Transient:
    """Nothing has come for too long."""
    return Transient(
        "source-stalled",
        f"{address} sent nothing for {seconds:g} s in {session.phase.value}",
        "is the server frozen or swapping, or its network gone?",
    )


@asynccontextmanager
async def replicate(occasion: Occasion, *, eof: bool = True) -> AsyncGenerator[Replication, None]:
    """A full synchronisation whose RDB has begun; leaving the context ends the connection.

    `eof` says whether ``$EOF:`` framing is offered, which spares the server its own disk.
    """
    login = occasion.login
    occasion.progress.phase("connecting")
    wire = await open_wire(login, occasion.timeouts.connect)
    try:
        session = Session(login.asked, _auth(login), eof=eof)
        snapshot = Replication(Link(wire, session, login, occasion.timeouts.stall), occasion)
        await snapshot.begin()
        yield snapshot
    except anyio.get_cancelled_exc_class():
        occasion.progress.phase(CLOSED)
        raise
    finally:
        wire.close()


def _auth(login: Login) -> tuple[str, ...]:
    """AUTH's arguments: none, the password alone (servers before 6.0), or user and password."""
    username, password = login.credentials.username, login.credentials.password
    if username is not None:
        return username, password or ""
    return () if password is None else (password,)
