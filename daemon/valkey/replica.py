"""Drives the replica's side over a socket: connects, reads as fast as the server can write.

Holds the only sockets of the replication source. It reads when it is asked and never ahead,
so that a slow reader slows the server; waiting has two limits, for the connection and for
silence.
"""

import errno
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime

import anyio

from daemon.errors import Failed, Transient
from daemon.valkey.address import Address
from daemon.valkey.connection import Login, timed_out, unreachable
from daemon.valkey.occasion import Occasion, Taken, copy_on_write, snapshot_facts
from daemon.valkey.rdb import HEADER_LIMIT, Header, read_header
from daemon.valkey.replication import (
    WANT_BYTES,
    Chunk,
    End,
    FullResync,
    Payload,
    ReplicaEvent,
    Send,
    Session,
    ended_early,
)
from events.facts import SnapshotFacts

# Fewer bytes than this are put together, so that whoever reads has few chunks to handle.
WORTHWHILE_BYTES = 256 << 10


class Link:
    """A socket and a session: what the server sent, as events, in order."""

    def __init__(self, sock: socket.socket, session: Session, login: Login, stall: float) -> None:
        self._sock = sock
        self._session = session
        self._login = login
        self._stall = stall
        self._waiting_for = 1

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
        self._expect(self._session.want_bytes)
        silent = False
        while not silent:
            with anyio.move_on_after(self._stall) as waiting:
                await anyio.wait_readable(self._sock)
            silent = waiting.cancelled_caught
            try:
                # Also after silence: less than was waited for may have come.
                return self._sock.recv(WANT_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._broken(error) from error
        raise stalled(self._login.address, self._session, self._stall)

    def _expect(self, want_bytes: int) -> None:
        """Ask the system to wake us when so much is there, not at each packet.

        The server sends 16 KiB at a time; woken by each, we would use seven times the
        processor time, and on a small host that is the server's. [tried: 0.74 s against
        0.10 s for 400 MB] Unix sockets ignore it.
        """
        if want_bytes != self._waiting_for:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, want_bytes)
            self._waiting_for = want_bytes

    async def _send_all(self, sends: list[Send]) -> None:
        for send in sends:
            data = memoryview(send.data)
            while data:
                try:
                    data = data[self._sock.send(data) :]
                except BlockingIOError:
                    await self._writable()
                except OSError as error:
                    raise self._broken(error) from error

    async def _writable(self) -> None:
        with anyio.move_on_after(self._stall) as waiting:
            await anyio.wait_writable(self._sock)
        if waiting.cancelled_caught:
            raise stalled(self._login.address, self._session, self._stall)

    def _broken(self, error: OSError) -> Failed:
        if error.errno in {errno.ECONNRESET, errno.EPIPE}:
            return ended_early(self._login.asked, self._session.phase)
        return unreachable(self._login.address, error)


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

    async def begin(self) -> None:
        """Shake hands and wait until the RDB begins."""
        await self._link.begin()
        while self._payload is None:
            self._early += self._understood(await self._link.receive())
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
        before we saw it; what is told then is a part of its child's life.
        """
        resync = self._resync
        taken = Taken(
            at=self._taken_at or self._occasion.clock.now(),
            header=read_header(self._beginning) or Header(0, {}),
            fork_seconds=self._ended - self._forked,
            copy_on_write_bytes=await copy_on_write(self._occasion),
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
                case FullResync():
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

    def _seen(self, chunk: bytes) -> bytes:
        if len(self._beginning) < HEADER_LIMIT:
            self._beginning += chunk[: HEADER_LIMIT - len(self._beginning)]
        return chunk


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
    sock = await open_socket(login.address, occasion.timeouts.connect)
    try:
        session = Session(login.asked, _auth(login), eof=eof)
        snapshot = Replication(Link(sock, session, login, occasion.timeouts.stall), occasion)
        await snapshot.begin()
        yield snapshot
    finally:
        sock.close()


async def open_socket(address: Address, seconds: float) -> socket.socket:
    """A connected, non-blocking socket; tries every address of a name in turn.

    Made by hand because the system may give a transport's socket to nobody else to wait for.
    """
    failure: OSError = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    with anyio.move_on_after(seconds):
        for family, where in await _endpoints(address):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.settimeout(0)  # Never blocks.
            try:
                await _connected(sock, where)
            except OSError as error:
                failure = error
            else:
                return sock
        raise unreachable(address, failure)
    raise timed_out(address, doing="our connection")


async def _endpoints(address: Address) -> list[tuple[socket.AddressFamily, str | tuple[str, int]]]:
    if address.socket is not None:
        return [(socket.AF_UNIX, address.socket)]
    try:
        found = await anyio.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise unreachable(address, error) from error
    return [(family, sockaddr[:2]) for family, _, _, _, sockaddr in found]


async def _connected(sock: socket.socket, where: str | tuple[str, int]) -> None:
    connected = False
    try:
        number = sock.connect_ex(where)
        if number in {errno.EINPROGRESS, errno.EAGAIN}:
            await anyio.wait_writable(sock)
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connected = True
    finally:
        if not connected:
            sock.close()


def _auth(login: Login) -> tuple[str, ...]:
    """AUTH's arguments: none, the password alone (servers before 6.0), or user and password."""
    username, password = login.credentials.username, login.credentials.password
    if username is not None:
        return username, password or ""
    return () if password is None else (password,)
