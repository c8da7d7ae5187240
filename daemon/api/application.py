"""The HTTP application: routes to handlers, roles before them, errors after them.

The one place of the API that catches everything: whatever a handler raises becomes an
answer, and what nobody expected is logged with its traceback.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing

import anyio
import msgspec
import structlog
from aiohttp import web

from daemon.answers import Problem
from daemon.api import faults
from daemon.api.asked import Asked, Lines, Question, Taking
from daemon.api.metrics import CONTENT_TYPE
from daemon.api.roles import demand
from daemon.api.route import Route
from daemon.api.routes import ROUTES
from daemon.api.seams import Outside
from daemon.api.sending import sent
from daemon.api.session import Session
from daemon.errors import BadRequest, ValkeepError
from events.log import LogError

log = structlog.get_logger()

MAX_BODY_BYTES = 64 * 1024
MAX_KEY_LENGTH = 200
WRITE_SECONDS = 30.0
"""A reader of a stream that takes nothing for so long is cut off."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(
    outside: Outside, sessions: Mapping[object, Session], *, body_seconds: float
) -> web.Application:
    """All routes; `sessions` tells of each connection who is at its other end."""

    @web.middleware
    async def boundary(request: web.Request, handler: _Handler) -> web.StreamResponse:
        sessions[request.protocol].begin()
        try:
            return await handler(request)
        except ValkeepError as error:
            return faults.refused(error)
        except LogError as error:
            return faults.unusable_log(error)
        except web.HTTPException as error:
            return faults.http_error(error)
        except ConnectionError as error:
            return _alone(request, error)
        except Exception:
            # A bug in one request must not end the daemon, nor tell the peer of its inside.
            log.exception("request crashed", method=request.method, path=request.path)
            return faults.bug()

    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[boundary])
    for route in ROUTES:
        place = _Place(route, outside, sessions, body_seconds)
        app.router.add_route(route.method, route.pattern, place.handle)
    return app


class _Place:
    """One route, with all that its handler needs."""

    def __init__(
        self,
        route: Route,
        outside: Outside,
        sessions: Mapping[object, Session],
        body_seconds: float,
    ) -> None:
        self._route = route
        self._outside = outside
        self._sessions = sessions
        self._body_seconds = body_seconds

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer; a command is given time to end when the daemon stops, a question is not."""
        session = self._sessions[request.protocol]
        if self._route.method != "GET":
            return await self._handle(request, session)
        with session.asking():
            return await self._handle(request, session)

    async def _handle(self, request: web.Request, session: Session) -> web.StreamResponse:
        """Check the role before anything is read, then answer."""
        demand(session.role, wanted=self._route.role)
        asked = Asked(
            outside=self._outside,
            peer=session.peer,
            role=session.role,
            parts=request.match_info,
            query=_query(request),
            body=b"" if self._route.takes is not None else await self._body(request),
            key=_key(request),
        )
        asked.queried(self._route.query)
        if self._route.body_of is not None:
            return await sent(request, self._route.body_of, asked)
        if self._route.text is not None:
            text = await self._route.text(asked)
            return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})
        if self._route.lines is not None:
            return await _streamed(request, self._route.lines, asked)
        if self._route.takes is not None:
            return await _taken(request, self._route.takes, asked)
        return await _answered(self._route.answer, asked)

    async def _body(self, request: web.Request) -> bytes:
        if not request.can_read_body:
            return b""
        try:
            with anyio.fail_after(self._body_seconds):
                return await request.read()
        except TimeoutError:
            raise BadRequest(
                "slow-body",
                f"The request's body did not arrive within {self._body_seconds:g} s.",
                "Send it at once.",
            ) from None


async def _answered(question: Question | None, asked: Asked) -> web.Response:
    if question is None:
        raise TypeError("a route has a question or lines")
    answer = await question(asked)
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


def _alone(request: web.Request, error: ConnectionError) -> web.Response:
    """Nobody listens any more, or too slowly: not our failure, and nothing to be said to him."""
    log.info("client gone", path=request.path, error=str(error))
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _streamed(request: web.Request, lines: Lines, asked: Asked) -> web.StreamResponse:
    """Write each line as it comes; the first is awaited before the status is sent."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    async with aclosing(lines(asked)) as source:
        first = await anext(source, b"")
        await response.prepare(request)
        await _write(response, first)
        try:
            async for line in source:
                await _write(response, line)
        except LogError as error:
            # The status is out: the error is the last line.
            problem = Problem("log", error.message, error.hint)
            await _write(response, faults.in_band(problem))
    await response.write_eof()
    return response


async def _taken(request: web.Request, taking: Taking, asked: Asked) -> web.Response:
    """Answer when all of the body has been taken, or when no more of it is wanted."""
    seconds = asked.outside.upload_seconds
    async with aclosing(_arriving(request, seconds)) as chunks:
        answer = await taking(asked, chunks)
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")


async def _arriving(request: web.Request, seconds: float) -> AsyncGenerator[bytes, None]:
    """The body as it comes; one that is cut short is an error of the connection."""
    while True:
        try:
            with anyio.fail_after(seconds):
                chunk = await request.content.readany()
        except TimeoutError:
            raise BadRequest(
                "upload-stalled",
                f"No byte has come for {seconds:g} s, so the import was given up.",
                "What is sent must keep coming; stall_seconds in [timeouts] is how long it may "
                "be silent. Write it to a file first, and import that.",
            ) from None
        except (web.RequestPayloadError, ConnectionError):
            told = "The connection ended before all of the body had come."
            raise BadRequest("upload-cut", told, "Send it again.") from None
        if not chunk:
            return
        yield chunk


async def _write(response: web.StreamResponse, line: bytes) -> None:
    if not line:
        return  # an empty chunk would end the stream
    try:
        with anyio.fail_after(WRITE_SECONDS):
            await response.write(line)
    except TimeoutError:
        raise ConnectionAbortedError("the reader of a stream has stalled") from None


def _query(request: web.Request) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in request.query.items():
        if name in query:
            raise BadRequest("query", f"{name} is given twice.", "Give each parameter once.")
        query[name] = value
    return query


def _key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= MAX_KEY_LENGTH and key.isprintable()):
        raise BadRequest(
            "idempotency-key",
            "The Idempotency-Key cannot be used.",
            f"Use 1 to {MAX_KEY_LENGTH} printable characters.",
        )
    return key
