"""The accept loop: who gets in, how many at once, and for how long they may be slow.

Each connection's peer is read once, before anything it sends. aiohttp speaks HTTP on the
connections that are let in; it never listens by itself.
"""

import asyncio
import errno
import socket
from collections import Counter

import anyio
import structlog
from aiohttp import web
from msgspec import Struct

from daemon.answers import Role
from daemon.api.application import application
from daemon.api.faults import refusal
from daemon.api.peer import Peer, peer_of
from daemon.api.roles import Access
from daemon.api.seams import Outside
from daemon.api.session import Session
from daemon.errors import Unavailable

log = structlog.get_logger()

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_SILENCE_SECONDS = 60.0
_GRACE_SECONDS = 2.0
"""What a request under way has to end when the daemon stops."""


class Limits(Struct, frozen=True):
    """How much the socket bears."""

    clients: int = 32
    clients_per_uid: int = 8
    first_request_seconds: float = 5.0
    idle_seconds: float = 30.0
    body_seconds: float = 10.0
    header_bytes: int = 8190
    headers: int = 64
    retry_seconds: float = 0.5
    """How long to leave accept alone when the process is out of descriptors."""


async def serve(
    door: socket.socket, outside: Outside, access: Access, limits: Limits | None = None
) -> None:
    """Answer on a listening, non-blocking Unix socket until cancelled."""
    limits = limits or Limits()
    for entry in access.unknown:
        log.warning("role names nobody on this host", entry=entry)
    sessions: dict[object, Session] = {}
    runner = web.AppRunner(
        application(outside, sessions, body_seconds=limits.body_seconds),
        access_log=None,
        handler_cancellation=True,
        keepalive_timeout=limits.idle_seconds,
        lingering_time=1.0,
        max_line_size=limits.header_bytes,
        max_field_size=limits.header_bytes,
        max_headers=limits.headers,
        shutdown_timeout=_GRACE_SECONDS,
    )
    await runner.setup()
    server = runner.server
    assert server is not None  # noqa: S101 - `setup` has made it
    try:
        await _Doorkeeper(server, sessions, access, limits).run(door)
    finally:
        for session in sessions.values():
            session.stop_asking()
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


class _Doorkeeper:
    """Lets peers in, as long as there is room."""

    def __init__(
        self,
        server: web.Server,
        sessions: dict[object, Session],
        access: Access,
        limits: Limits,
    ) -> None:
        self._server = server
        self._sessions = sessions
        self._access = access
        self._limits = limits
        self._strangers: dict[int, float] = {}

    async def run(self, door: socket.socket) -> None:
        """Accept for ever."""
        while True:
            await anyio.wait_readable(door)
            connection = await self._accepted(door)
            if connection is not None:
                await self._received(connection)

    async def _accepted(self, door: socket.socket) -> socket.socket | None:
        """The next connection; running out of descriptors is waited out, not died of."""
        try:
            return door.accept()[0]
        except BlockingIOError:
            return None
        except OSError as error:
            log.warning("connection not accepted", error=error.strerror)
            if error.errno in _EXHAUSTED:
                await anyio.sleep(self._limits.retry_seconds)
            return None

    async def _received(self, connection: socket.socket) -> None:
        """A stranger is closed at once and counts for nothing; a full house says so."""
        try:
            peer = peer_of(connection)
        except OSError as error:
            log.warning("peer refused: its credentials cannot be read", error=error.strerror)
            connection.close()
            return
        role = self._access.role_of(peer)
        if role is None:
            self._tell_of_stranger(peer)
            connection.close()
            return
        full = self._full(peer)
        if full is not None:
            _turn_away(connection, full)
            return
        await self._let_in(connection, peer, role)

    def _tell_of_stranger(self, peer: Peer) -> None:
        """One line a minute for each user: anybody may connect, and must not fill our log."""
        now = anyio.current_time()
        told = self._strangers.get(peer.uid)
        if told is not None and now - told < _SILENCE_SECONDS:
            return
        recent = {u: at for u, at in self._strangers.items() if now - at < _SILENCE_SECONDS}
        self._strangers = recent | {peer.uid: now}
        log.info("peer refused: it has no role", uid=peer.uid, pid=peer.pid)

    def _full(self, peer: Peer) -> Unavailable | None:
        for gone in self._sessions.keys() - set(self._server.connections):
            del self._sessions[gone]
        by_uid = Counter(session.peer.uid for session in self._sessions.values())
        if by_uid.total() >= self._limits.clients:
            return _too_many(f"{self._limits.clients} connections are open")
        if by_uid[peer.uid] >= self._limits.clients_per_uid:
            return _too_many(f"user {peer.uid} has {self._limits.clients_per_uid} open already")
        return None

    async def _let_in(self, connection: socket.socket, peer: Peer, role: Role) -> None:
        """Hand the connection to aiohttp; anyio has no way to do that for an accepted one."""
        loop = asyncio.get_running_loop()
        handler = self._server()
        session = self._sessions[handler] = Session(peer, role, self._access.holders)
        transport, _ = await loop.connect_accepted_socket(lambda: handler, connection)
        session.limit(loop.call_later(self._limits.first_request_seconds, transport.abort))


def _too_many(what: str) -> Unavailable:
    return Unavailable(
        "too-many-clients",
        f"The daemon takes no more connections at present: {what}.",
        "Close some, or try again in a moment.",
    )


def _turn_away(connection: socket.socket, error: Unavailable) -> None:
    """Say why in one write; the socket's buffer is empty, so it cannot block."""
    connection.settimeout(0)
    try:
        connection.send(refusal(error))
    except OSError as failed:
        log.info("turned away, and gone", error=failed.strerror)
    finally:
        connection.close()
