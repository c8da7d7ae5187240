"""The port for Prometheus: GET /metrics on loopback, nothing else, and nobody is asked who he is.

Opened, moved and closed while the daemon runs. A port that cannot be had stops nothing: it is
told, and tried again. Each connection has one answer and a short life, so that slow and
half-open clients hurt nobody.
"""

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from urllib.parse import urlsplit

import anyio
import structlog
from aiohttp import web
from msgspec import Struct

from daemon.answers.standing import PortView
from daemon.api import faults
from daemon.api.metrics import CONTENT_TYPE, figures
from daemon.api.seams import Outside
from daemon.errors import Forbidden, NotFound, Transient, Unavailable, ValkeepError
from events.facts import Failure
from events.log import LogError

log = structlog.get_logger()

HEADER_BYTES = 8190
REST_SECONDS = 0.5
BACKLOG = 16


class Bounds(Struct, frozen=True):
    """How much the port bears.

    A connection whose request has not come whole after `first_seconds` is cut off, and any after
    `life_seconds`: a scrape is over long before. A port that is taken is tried again after
    `retry_seconds`, because whoever has it may go.
    """

    clients: int = 8
    first_seconds: float = 5.0
    life_seconds: float = 30.0
    retry_seconds: float = 30.0


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScrapePort:
    """Listens where it was told to last."""

    def __init__(self, listen: str = "", bounds: Bounds | None = None) -> None:
        """`listen` is the address to begin with, ``IP:PORT``; without one it listens nowhere."""
        self._bounds = bounds or Bounds()
        self._wanted = listen
        self._failure: Failure | None = None
        self._moved = anyio.Event()
        self.answering = False
        """Whether it listens now."""

    def listen(self, address: str) -> None:
        """Listen at ``IP:PORT`` from now on, or nowhere."""
        if address != self._wanted:
            self._wanted, self._failure = address, None
            self._moved.set()

    @property
    def standing(self) -> PortView | None:
        """Where it listens, or why it does not; None when it is not to listen."""
        return PortView(self._wanted, self._failure) if self._wanted else None

    async def run(self, outside: Outside) -> None:
        """Serve for ever."""
        while True:
            self._moved = anyio.Event()
            async with anyio.create_task_group() as tasks:
                if self._wanted:
                    tasks.start_soon(self._serve, outside, self._wanted)
                await self._moved.wait()
                tasks.cancel_scope.cancel()

    async def _serve(self, outside: Outside, address: str) -> None:
        """Listen as soon as it can be had."""
        while True:
            try:
                door = _listening(address)
            except OSError as error:
                if self._failure is None:
                    self._failure = _refused(address, error)
                    log.warning(
                        "metrics port not opened",
                        listen=address,
                        error=self._failure.message,
                        hint=self._failure.hint,
                    )
                await anyio.sleep(self._bounds.retry_seconds)
                continue
            self._failure = None
            log.info("metrics port opened", listen=address)
            with closing(door):
                self.answering = True
                try:
                    await _answer(door, _Turnstile(outside, self._bounds))
                finally:
                    self.answering = False


def _listening(address: str) -> socket.socket:
    place = _address(address)
    family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A daemon that starts again finds its port taken by its own dead connections otherwise.
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.settimeout(0)
        door.bind(place)
        door.listen(BACKLOG)
    except OSError:
        door.close()
        raise
    return door


def _refused(address: str, error: OSError) -> Failure:
    hint = "Change listen in [metrics] and reload (SIGHUP); until then it is tried again."
    if error.errno == errno.EADDRINUSE:
        hint = f"`ss -ltnp 'sport = :{_address(address)[1]}'` names whoever has it. {hint}"
    return Transient("metrics-port", f"{error.strerror or error}", hint).as_failure()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


async def _answer(door: socket.socket, turnstile: "_Turnstile") -> None:
    """Answer on a listening socket until cancelled."""
    runner = web.AppRunner(
        turnstile.application(),
        access_log=None,
        handler_cancellation=True,
        max_line_size=HEADER_BYTES,
        max_field_size=HEADER_BYTES,
        max_headers=64,
        lingering_time=1.0,
        shutdown_timeout=1.0,
    )
    await runner.setup()
    server = runner.server
    assert server is not None  # noqa: S101 - `setup` has made it
    try:
        while True:
            await anyio.wait_readable(door)
            await turnstile.accept(door, server)
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


class _Turnstile:
    """Lets connections in, as long as there is room, and each of them for a short while."""

    def __init__(self, outside: Outside, bounds: Bounds) -> None:
        self._outside = outside
        self._bounds = bounds
        self._patience: dict[object, asyncio.TimerHandle] = {}
        self._lives: dict[object, asyncio.TimerHandle] = {}

    def application(self) -> web.Application:
        """The one thing that can be asked."""

        @web.middleware
        async def boundary(request: web.Request, handler: _Handler) -> web.StreamResponse:
            return await self._bounded(request, handler)

        app = web.Application(client_max_size=1024, middlewares=[boundary])
        app.router.add_route("GET", "/metrics", self._metrics)
        return app

    async def accept(self, door: socket.socket, server: web.Server) -> None:
        """One connection; too many are told so, and kept for nothing."""
        try:
            connection, _ = door.accept()
        except BlockingIOError:
            return
        except OSError as error:
            log.warning("connection to the metrics port not accepted", error=error.strerror)
            await anyio.sleep(REST_SECONDS)
            return
        bounds = self._bounds
        self._forget_gone(server)
        if len(server.connections) >= bounds.clients:
            _turn_away(connection, bounds.clients)
            return
        loop, handler = asyncio.get_running_loop(), server()
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: handler, connection)
        except OSError as error:
            log.info("connection to the metrics port has gone", error=error.strerror)
            return
        self._patience[handler] = loop.call_later(bounds.first_seconds, transport.abort)
        self._lives[handler] = loop.call_later(bounds.life_seconds, transport.abort)

    def _forget_gone(self, server: web.Server) -> None:
        """Connections that have ended need no timers."""
        for handler in self._lives.keys() - set(server.connections):
            self._lives.pop(handler).cancel()
            if (patience := self._patience.pop(handler, None)) is not None:
                patience.cancel()

    async def _bounded(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """One answer for each connection, in the form that the socket's errors have."""
        if (patience := self._patience.pop(request.protocol, None)) is not None:
            patience.cancel()
        try:
            _check_host(request.headers.get("Host", "localhost"))
            response = await handler(request)
        except ValkeepError as error:
            response = faults.refused(error)
        except LogError as error:
            response = faults.unusable_log(error)
        except web.HTTPException:
            told = "This port answers GET /metrics and nothing else."
            hint = "Everything else is asked on the daemon's Unix socket."
            response = faults.refused(NotFound("metrics-only", told, hint))
        response.force_close()
        return response

    async def _metrics(self, _: web.Request) -> web.Response:
        text = await figures(self._outside)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})


def _check_host(host: str) -> None:
    """Refuse a name: a page in a browser on this host could have one that leads here."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name != "localhost":
            ipaddress.ip_address(name)
    except ValueError:
        raise Forbidden(
            "metrics-host",
            "The request names a host other than localhost or an IP address.",
            "Ask by the address that [metrics] listen says, or have the proxy in front do so.",
        ) from None


def _turn_away(connection: socket.socket, clients: int) -> None:
    """Say why in one write; the socket's buffer is empty, so it cannot block."""
    full = Unavailable(
        "too-many-clients",
        f"{clients} connections to the metrics port are open.",
        "Scrape less often, or from fewer places.",
    )
    with closing(connection), suppress(OSError):
        connection.settimeout(0)
        connection.send(faults.refusal(full))
