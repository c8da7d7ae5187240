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
from daemon.api.farewell import broken_off, cut_off
from daemon.api.metrics import CONTENT_TYPE
from daemon.api.rights import demand
from daemon.api.route import Route
from daemon.api.routes import ROUTES
from daemon.api.seams import Outside
from daemon.api.sending import sent
from daemon.api.session import Session
from daemon.api.telling import MEDIA, tell, wanted
from daemon.errors import Away, BadRequest, ValkeepError
from events.log import LogError

log = structlog.get_logger()

MAX_BODY_BYTES = 64 * 1024
MAX_KEY_LENGTH = 200
WRITE_SECONDS = 30.0
"""A reader of a stream that takes nothing for so long is cut off."""
PARTING_SECONDS = 1.0

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
        question = self._route.method == "GET"
        with session.asking(patient=not question):
            return await self._handle(request, session)
        error = broken_off() if self._route.lines else cut_off(question=question)
        return await _parted(request, session.stream, error)

    async def _handle(self, request: web.Request, session: Session) -> web.StreamResponse:
        """Check the role before anything is read, then answer."""
        route = self._route
        what = f"{route.method} {route.path}"
        demand(session.role, wanted=route.role, what=what, holders=session.holders)
        asked = Asked(
            outside=self._outside,
            peer=session.peer,
            role=session.role,
            parts=request.match_info,
            query=_query(request),
            body=b"" if self._route.takes is not None else await self._body(request),
            key=_key(request),
            holders=session.holders,
            cause=_cause(request),
        )
        telling, rest = wanted(asked.query) if route.tells else (False, asked.query)
        asked = msgspec.structs.replace(asked, query=rest)
        asked.queried(self._route.query)
        if telling and route.answer is not None:
            return await _told(request, session, route.answer, asked)
        if self._route.body_of is not None:
            return await sent(request, self._route.body_of, asked)
        if self._route.text is not None:
            text = await self._route.text(asked)
            return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})
        if self._route.lines is not None:
            return await _streamed(request, session, self._route.lines, asked)
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


async def _told(
    request: web.Request, session: Session, question: Question, asked: Asked
) -> web.StreamResponse:
    """How far a question is, line by line, and the answer as the last one."""
    response = web.StreamResponse(headers={"Content-Type": MEDIA})

    async def write(line: bytes) -> None:
        if session.stream is None:
            await response.prepare(request)
            session.stream = response
        await _write(response, line)

    await tell(question, asked, write)
    await response.write_eof()
    session.stream = None
    return response


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


async def _streamed(
    request: web.Request, session: Session, lines: Lines, asked: Asked
) -> web.StreamResponse:
    """Write each line as it comes; the first is awaited before the status is sent."""
    response = web.StreamResponse(headers={"Content-Type": MEDIA})
    async with aclosing(lines(asked)) as source:
        first = await anext(source, b"")
        await response.prepare(request)
        session.stream = response
        await _write(response, first)
        try:
            async for line in source:
                await _write(response, line)
        except LogError as error:
            # The status is out: the error is the last line.
            problem = Problem("log", error.message, error.hint)
            await _write(response, faults.in_band(problem))
    await response.write_eof()
    session.stream = None
    return response


async def _parted(
    request: web.Request, stream: web.StreamResponse | None, error: Away
) -> web.StreamResponse:
    """The end of an answer that the daemon's own end has cut off."""
    if stream is not None:
        stream.force_close()
        # The status is out: the error is the last line, if there is still a reader.
        with anyio.move_on_after(PARTING_SECONDS):
            await stream.write(faults.in_band(Problem(error.code, error.message, error.hint)))
            await stream.write_eof()
        return stream
    if request.writer.output_size:
        # What else was sent would be taken for a part of what it was to be.
        raise ConnectionAbortedError("the daemon is stopping")
    return faults.refused(error)


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


def _cause(request: web.Request) -> tuple[str, str] | None:
    """Which hook asks, and what it is run for: ``NAME ID``, as the command line says it."""
    said = request.headers.get("Valkeep-Hook", "").split()
    return (said[0], said[1]) if len(said) == 2 else None


def _key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= MAX_KEY_LENGTH and key.isprintable()):
        raise BadRequest(
            "idempotency-key",
            "The Idempotency-Key cannot be used.",
            f"Use 1 to {MAX_KEY_LENGTH} printable characters.",
        )
    return key
