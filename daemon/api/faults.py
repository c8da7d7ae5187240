"""From errors to HTTP: the one table (DESIGN 8), and the one shape of every refusal."""

from collections.abc import Mapping

import msgspec
from aiohttp import web

from daemon.answers import ErrorAnswer, Problem
from daemon.errors import (
    Away,
    BadRequest,
    Failed,
    Forbidden,
    NotFound,
    Rejected,
    Unavailable,
    ValkeepError,
)
from events.log import LogError

STATUS: Mapping[type[ValkeepError], int] = {
    BadRequest: 400,
    Forbidden: 403,
    NotFound: 404,
    Rejected: 409,
    Failed: 500,
    Unavailable: 503,
}
"""The HTTP status of each kind of error; a kind below one of these has its status."""
RETRY_SECONDS = 5
"""``Retry-After`` of a daemon that stops or starts: a restart takes about so long."""

_HTTP_HINTS: Mapping[int, tuple[str, str]] = {
    404: ("unknown-route", "GET /openapi.json lists every route."),
    405: ("method", "GET /openapi.json lists the methods of every route."),
    413: ("too-large", "A request's body is at most 64 KiB."),
}


def refused(error: ValkeepError) -> web.Response:
    """The response to an error that has a meaning."""
    response = _response(status_of(error), Problem(error.code, error.message, error.hint))
    if isinstance(error, Away):
        response.headers["Retry-After"] = str(RETRY_SECONDS)
        response.force_close()
    return response


def unusable_log(error: LogError) -> web.Response:
    """The response when the log cannot be read."""
    return _response(500, Problem("log", error.message, error.hint))


def http_error(error: web.HTTPException) -> web.Response:
    """The response to what aiohttp refuses by itself, in our own shape."""
    code, hint = _HTTP_HINTS.get(error.status, ("http", "See GET /openapi.json."))
    return _response(error.status, Problem(code, f"{error.reason}.", hint))


def bug() -> web.Response:
    """The response when our own program failed: nothing of its inside is told."""
    return _response(
        500,
        Problem(
            "bug",
            "Valkeep itself failed on this request.",
            "Please report this with the daemon's log, which has the traceback.",
        ),
    )


class _InBand(ErrorAnswer, frozen=True):
    """An error as a line, with the status that it would have had."""

    status: int


def in_band(problem: Problem, status: int = 500) -> bytes:
    """The last line of a stream that cannot go on."""
    return msgspec.json.encode(_InBand(problem, status)) + b"\n"


def refusal(error: ValkeepError) -> bytes:
    """A whole HTTP response, for a connection that aiohttp never gets to see."""
    body = msgspec.json.encode(ErrorAnswer(Problem(error.code, error.message, error.hint)))
    later = f"Retry-After: {RETRY_SECONDS}\r\n" if isinstance(error, Away) else ""
    head = (
        f"HTTP/1.1 {status_of(error)} Refused\r\nContent-Type: application/json\r\n{later}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def status_of(error: ValkeepError) -> int:
    """The HTTP status of an error that has a meaning."""
    return next(status for kind, status in STATUS.items() if isinstance(error, kind))


def _response(status: int, problem: Problem) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(ErrorAnswer(problem)),
        content_type="application/json",
    )
