"""The door of a restore: it listens, lets in whom it expects, and has them shake hands.

Lives only while the restore runs. Connections from other addresses are closed at once and
counted; whoever comes in must give the password soon. What a replica that got through is
sent is the business of `seeder`.
"""

import ipaddress
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

import anyio
import structlog
from anyio.abc import TaskGroup
from msgspec import Struct

from daemon.errors import Permanent, Transient
from daemon.valkey.primary import Access, Denied, Event, Primary, SyncWanted, Tried
from daemon.valkey.tls import Tls, server_context
from daemon.valkey.tunnel import Tunnel
from daemon.valkey.wire import Lost, TlsWire, Wire

log = structlog.get_logger()

PENDING = 8
"""Connections that may shake hands at once; more are closed at the door."""
HANDSHAKE_SECONDS = 10.0
SEND_BUFFER_BYTES = 4 << 20
_TLS_HELLO = b"\x16"


class Door(Struct, frozen=True):
    """Where to listen and whom to let in; `allowed` None is anybody (behind NAT).

    `advertise` is our address as the target sees it. With `tls` nothing else is spoken.
    """

    bind: str
    port: int
    advertise: str
    allowed: frozenset[str] | None
    tls: Tls | None = None


class Replica(Struct, frozen=True):
    """A replica that gave the password, was told FULLRESYNC, and waits for the dump."""

    wire: Wire
    primary: Primary


class Greeter(Struct, frozen=True):
    """What each connection gets: its side of the conversation, and the wire that it goes over."""

    primary: Callable[[], Primary]
    wire: Callable[[socket.socket], Wire]


class Listener:
    """An open door. `host` and `port` are what the target is to be told."""

    def __init__(self, door: Door, sock: socket.socket, greet: Greeter) -> None:
        self.host = door.advertise
        self.port: int = sock.getsockname()[1]
        self.strangers = 0
        self.denied: list[str] = []
        self._door = door
        self._socket = sock
        self._greet = greet.primary
        self._wire = greet.wire
        self._pending = 0
        self._given: list[Wire] = []
        self._tried = anyio.Event()
        self._offer, self._arrivals = anyio.create_memory_object_stream[Replica](1)

    @property
    def address(self) -> str:
        """For messages and the log: ``host:port``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def tls(self) -> bool:
        """Whether TLS is spoken here, and nothing else."""
        return self._door.tls is not None

    @property
    def tried(self) -> bool:
        """Whether a trial has come through and given the password."""
        return self._tried.is_set()

    async def replica(self, within_seconds: float) -> Replica:
        """The next replica that asks for the data; one waits its turn, others are turned away.

        Raises `Transient("listener")`, with what was seen instead, when none comes in time.
        """
        with anyio.move_on_after(within_seconds):
            return await self._arrivals.receive()
        seen = f"; {self.strangers} connections came from elsewhere" if self.strangers else ""
        seen += "".join(f"; {reason}" for reason in self.denied[-3:])
        raise Transient(
            "listener",
            f"the target did not come to {self.address} within {within_seconds:g} s{seen}",
            "set advertise, bind and port in [restore] so that the target reaches this host",
        )

    async def run(self, tasks: TaskGroup) -> None:
        """Let them in, for ever."""
        while True:
            await anyio.wait_readable(self._socket)
            try:
                connection, peer = self._socket.accept()
            except OSError:  # Gone again, or no descriptor left: others may still come.
                await anyio.sleep(0.05)
                continue
            if not self._admits(str(peer[0])):
                self.strangers += 1
                log.warning("connection refused", listener=self.address, peer=str(peer[0]))
                connection.close()
            elif self._pending >= PENDING:
                connection.close()
            else:
                self._pending += 1
                tasks.start_soon(self._shake_hands, self._wire(connection))

    def _admits(self, peer: str) -> bool:
        return self._door.allowed is None or plain_address(peer) in self._door.allowed

    async def _shake_hands(self, wire: Wire) -> None:
        kept = False
        primary = self._greet()
        try:
            with anyio.move_on_after(HANDSHAKE_SECONDS), suppress(Lost):
                if await self._secured(wire) and await self._converse(wire, primary):
                    kept = self._hand_over(Replica(wire, primary))
        finally:
            self._pending -= 1
            if not kept:
                wire.close()

    async def _secured(self, wire: Wire) -> bool:
        """Whether the peer may go on: it has come through the handshake of TLS, if we want one."""
        if not isinstance(wire, TlsWire):
            return True
        try:
            await wire.shake_hands()
        except Lost as lost:
            self._take_note([Denied(f"its TLS handshake failed: {lost}")])
            return False
        return True

    async def _converse(self, wire: Wire, primary: Primary) -> bool:
        """Whether the peer got as far as asking for the data."""
        while not primary.over:
            data = await wire.receive()
            if data.startswith(_TLS_HELLO) and not self.tls:
                self._take_note([Denied("it speaks TLS, and we do not")])
                return False
            events = primary.receive(data)
            await wire.send(primary.outgoing())
            self._take_note(events)
            if any(isinstance(event, SyncWanted) for event in events):
                return True
            if not data:
                return False
        return False

    def _take_note(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Denied():
                    self.denied.append(event.reason)
                    log.warning("handshake failed", listener=self.address, reason=event.reason)
                case Tried():
                    self._tried.set()
                case _:
                    pass

    def _hand_over(self, replica: Replica) -> bool:
        try:
            self._offer.send_nowait(replica)
        except anyio.WouldBlock:  # Another one waits already: this one may come again.
            return False
        self._given.append(replica.wire)
        return True

    def close(self) -> None:
        """Shut the door; every connection that came through it is ended."""
        self._socket.close()
        for wire in self._given:
            wire.abort()
        self._offer.close()
        self._arrivals.close()


@asynccontextmanager
async def listening(door: Door, access: Access, names: "Names") -> AsyncGenerator[Listener, None]:
    """An open door for as long as the context lasts; connections under way end with it.

    Raises `Permanent("listener")` when the address cannot be bound, and what `server_context`
    raises: the files of TLS are read now.
    """
    greet = _greeter(door, access, names)
    sock = _bound(door)
    listener = Listener(door, sock, greet)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.run, tasks)
            yield listener
            tasks.cancel_scope.cancel()
    except ExceptionGroup as group:
        # What our caller raised in here is to reach its handlers as it was.
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise
    finally:
        listener.close()


class Names(Struct, frozen=True):
    """Fresh random names of one restore: hexadecimal, the replication id 40 characters long."""

    replication_id: str
    marker: str


def _greeter(door: Door, access: Access, names: Names) -> Greeter:
    context = None if door.tls is None else server_context(door.tls)

    def primary() -> Primary:
        return Primary(access, replication_id=names.replication_id, marker=names.marker)

    def wire(connection: socket.socket) -> Wire:
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        return Wire(connection) if context is None else TlsWire(connection, Tunnel(context))

    return Greeter(primary, wire)


def plain_address(address: str) -> str:
    """An address as it is compared: an IPv4 one inside IPv6 as itself, no zone."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def _bound(door: Door) -> socket.socket:
    family = socket.AF_INET6 if ":" in door.bind else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(0.0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((door.bind, door.port))
        sock.listen(PENDING)
    except OSError as error:
        sock.close()
        raise Permanent(
            "listener",
            f"cannot listen on {door.bind}:{door.port}: {error.strerror or error}",
            "choose another bind or port in [restore]",
        ) from error
    return sock
