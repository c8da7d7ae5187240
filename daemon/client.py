"""The daemon's socket from the caller's side: one request, one connection, one answer.

Small, blocking, and quick to import: HTTP/1.1 as far as our own server speaks it. Knows no
command; turns every refusal back into the error it was.
"""

import os
import select
import socket
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from struct import pack
from urllib.parse import quote, urlencode

import msgspec

from daemon import client_refusal
from daemon.answers import ErrorAnswer, Problem
from daemon.client_refusal import cut_short, no_daemon, unknown_peer, unreachable
from daemon.errors import (
    Away,
    BadRequest,
    Failed,
    Forbidden,
    NotFound,
    Rejected,
    Unavailable,
    Unreachable,
    ValkeepError,
)
from daemon.full_house import CROWD_SECONDS, is_full, pauses

PATIENCE_SECONDS = 180.0
"""A look at a cache, or a plan, may wait for a server's time-outs; longer takes nothing."""
LINE_BYTES = 64 * 1024
STRANGER = client_refusal.STRANGER
AWAY = ("stopping", "starting")
"""The codes of a daemon that is going, or not there yet."""
PIECE_BYTES = 1 << 20
UPLOAD_BYTES = 256 * 1024

_KINDS: Mapping[int, type[ValkeepError]] = {
    400: BadRequest,
    403: Forbidden,
    404: NotFound,
    405: BadRequest,
    409: Rejected,
    413: BadRequest,
    500: Failed,
    503: Unavailable,
}
_error = msgspec.json.Decoder(ErrorAnswer)


class _Last(ErrorAnswer, frozen=True):
    """The error that ended a stream, and the status that it would have had."""

    status: int = 500


_last = msgspec.json.Decoder(_Last)

Query = Mapping[str, str | int | float | bool | None]


def _nothing(_: int) -> None:
    """Nobody wants to know."""


class _Request(msgspec.Struct, frozen=True):
    method: str
    target: str
    body: bytes = b""
    key: str | None = None
    hook: str | None = None

    def encoded(self) -> bytes:
        """The request as it goes over the wire; one request for each connection."""
        head = [f"{self.method} {self.target} HTTP/1.1", "Host: valkeep", "Connection: close"]
        if self.method == "POST":
            head += ["Content-Type: application/json", f"Content-Length: {len(self.body)}"]
        if self.key is not None:
            head.append(f"Idempotency-Key: {self.key}")
        if self.hook is not None:
            head.append(f"Valkeep-Hook: {self.hook}")
        return "\r\n".join([*head, "", ""]).encode() + self.body


class Client:
    """Asks the daemon on a Unix socket. Every method raises what the daemon answers with."""

    def __init__(
        self,
        path: str,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        crowd_seconds: float = CROWD_SECONDS,
        hook: str | None = None,
    ) -> None:
        """A full house is asked again for `crowd_seconds`; other refusals hold at once.

        `hook` is the hook in which we run, and what it is run for: ``NAME ID``.
        """
        self.path = path
        self._hook = hook
        self._patience = patience_seconds
        self._crowd_seconds = min(crowd_seconds, patience_seconds)

    def get(self, route: str, query: Query | None = None) -> bytes:
        """One answer, as JSON."""
        with self._asked(_Request("GET", route + _query(query))) as (status, _, answer):
            body = b"".join(answer)
        return _checked(status, body)

    def post(self, route: str, body: bytes, *, key: str | None = None) -> bytes:
        """One answer to what was said, as JSON; `key` makes it safe to repeat (L4)."""
        with self._asked(_Request("POST", route, body, key, self._hook)) as (status, _, answer):
            said = b"".join(answer)
        return _checked(status, said)

    def send(
        self, route: str, query: Query, source: int, told: Callable[[int], None] = _nothing
    ) -> bytes:
        """One answer, as JSON, to all that can be read from a descriptor, sent as it comes.

        Sending stops where the daemon has heard enough, and answers before the end. `told` hears
        how many bytes were sent, after each piece.
        """
        with _connected(self.path, self._patience) as line:
            taken = _send(line, _upload_head(route + _query(query)))
            try:
                taken = taken and _send_all(line, source, told)
                with line.makefile("rb") as reader:
                    status, headers = _head(reader, self.path, taken=taken)
                    answer = b"".join(_body(reader, headers, self.path))
            except ConnectionError:
                raise cut_short(self.path) from None
        return _checked(status, answer)

    def lines(
        self,
        route: str,
        query: Query | None = None,
        *,
        body: bytes | None = None,
        endless: bool = False,
    ) -> Generator[bytes, None, None]:
        """Lines of NDJSON with their line feeds, as they come; blank ones are left out.

        With a `body` that is said, and the lines are the answer to it.
        """
        method = "GET" if body is None else "POST"
        request = _Request(method, route + _query(query), body or b"")
        with self._asked(request, endless=endless) as (status, _, answer):
            if status != 200:
                _checked(status, b"".join(answer))
            yield from _whole_lines(answer, self.path)

    @contextmanager
    def plain(
        self, route: str, query: Query | None = None
    ) -> Generator[tuple[Mapping[str, str], Iterator[bytes]], None, None]:
        """The headers of an answer that is no JSON, and its body piece by piece.

        A body that is cut short raises ``cut-short`` at its end, and is not whole.
        """
        with self._asked(_Request("GET", route + _query(query))) as (status, headers, answer):
            if status != 200:
                _checked(status, b"".join(answer))
            yield headers, answer

    @contextmanager
    def _asked(
        self, request: _Request, *, endless: bool = False
    ) -> Generator[tuple[int, Mapping[str, str], Iterator[bytes]], None, None]:
        """The answer; a house that is full is asked again until there is room."""
        for pause in pauses(self._crowd_seconds):
            with ExitStack() as stack:
                status, headers, answer = self._let_in(stack, request, endless=endless)
                if status != 503:
                    yield status, headers, answer
                    return
                said = b"".join(answer)
            if not is_full(status, said):
                yield status, headers, iter((said,))
                return
            select.select([], [], [], pause)
        with ExitStack() as stack:
            yield self._let_in(stack, request, endless=endless)

    def _let_in(
        self, stack: ExitStack, request: _Request, *, endless: bool
    ) -> tuple[int, Mapping[str, str], Iterator[bytes]]:
        """The answer; whose request was closed unread knocks once more.

        A daemon that is told to end closes the door on those whom it has just let in, and says
        so to the next ones.
        """
        try:
            return stack.enter_context(self._asked_once(request, endless=endless))
        except Forbidden as error:
            if error.code != STRANGER:
                raise
        return stack.enter_context(self._asked_once(request, endless=endless))

    @contextmanager
    def _asked_once(
        self, request: _Request, *, endless: bool
    ) -> Generator[tuple[int, Mapping[str, str], Iterator[bytes]], None, None]:
        with _connected(self.path, self._patience) as line:
            line.settimeout(None if endless else self._patience)
            try:
                taken = _send(line, request.encoded())
                with line.makefile("rb") as reader:
                    status, headers = _head(reader, self.path, taken=taken)
                    yield status, headers, _body(reader, headers, self.path)
            except TimeoutError:
                raise Unreachable(
                    "no-answer",
                    f"The daemon on {self.path} has not answered for {self._patience:g} s.",
                    "Its own log says what it is doing: `journalctl -u valkeep`.",
                ) from None
            except ConnectionError:
                raise cut_short(self.path) from None


def path_of(*parts: str) -> str:
    """A route's path from its parts, each quoted; a slash in a part stays one.

    Raises `BadRequest` for a part that is empty or would lead elsewhere.
    """
    for part in parts:
        if part.strip("/") in ("", ".", ".."):
            raise BadRequest("name", f"{part!r} is no name.", "Look at the words of the command.")
    return "/".join(["", "v1", *(quote(part) for part in parts)])


def _query(query: Query | None) -> str:
    given = {name: _word(value) for name, value in (query or {}).items() if value is not None}
    return f"?{urlencode(given)}" if given else ""


def _word(value: str | float | bool) -> str:  # noqa: FBT001 - JSON's own words for them
    return str(value).lower() if isinstance(value, bool) else str(value)


@contextmanager
def _connected(path: str, patience_seconds: float) -> Generator[socket.socket, None, None]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        # A daemon that hangs takes no connections, and once its queue is full a connect waits.
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(patience_seconds))
        try:
            line.connect(path)
        except OSError as error:
            raise unreachable(path, error) from None
        yield line


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return pack("ll", whole, max(1, int((seconds - whole) * 1_000_000)))


def _send(line: socket.socket, request: bytes) -> bool:
    """Send all; a daemon that has turned us away may have said why before it closed."""
    try:
        line.sendall(request)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def _upload_head(target: str) -> bytes:
    head = [f"POST {target} HTTP/1.1", "Host: valkeep", "Connection: close"]
    head += ["Content-Type: application/octet-stream", "Transfer-Encoding: chunked"]
    return "\r\n".join([*head, "", ""]).encode()


def _send_all(line: socket.socket, source: int, told: Callable[[int], None]) -> bool:
    """Send all of the source in chunks, unless an answer comes before its end.

    A source that fails is not ended: the connection breaks, and the daemon drops what it has.
    """
    sent_bytes = 0
    while True:
        either: list[int] = [source, line.fileno()]
        ready, _, _ = select.select(either, [], [])
        if line.fileno() in ready:
            return True
        piece = os.read(source, UPLOAD_BYTES)
        if not _send(line, b"%x\r\n%b\r\n" % (len(piece), piece)):
            return False
        if not piece:
            return True
        sent_bytes += len(piece)
        told(sent_bytes)


def _head(reader: BufferedReader, path: str, *, taken: bool) -> tuple[int, dict[str, str]]:
    try:
        first = reader.readline(LINE_BYTES)
    except ConnectionResetError:
        first, taken = b"", False
    if not first:
        # Who has read the request and says nothing has died: a Unix socket tells that from one
        # who closed before.
        raise cut_short(path) if taken else _turned_away(path)
    try:
        status = int(first.split(b" ", 2)[1])
    except (IndexError, ValueError):
        raise no_daemon(path) from None
    headers: dict[str, str] = {}
    while (line := reader.readline(LINE_BYTES)) not in (b"\r\n", b"\n"):
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise no_daemon(path)
        headers[name.strip().lower()] = value.strip()
    return status, headers


def _body(
    reader: BufferedReader, headers: Mapping[str, str], path: str
) -> Generator[bytes, None, None]:
    """The body's pieces; one that ends before its end is an error, not an answer."""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int(reader.readline(LINE_BYTES) or b"0", 16):
            yield _exactly(reader, size, path)
            _exactly(reader, 2, path)
        if reader.readline(LINE_BYTES) != b"\r\n":
            raise cut_short(path)
    else:
        left = int(headers.get("content-length", "0"))
        while left:
            yield _exactly(reader, min(left, PIECE_BYTES), path)
            left -= min(left, PIECE_BYTES)


def _exactly(reader: BufferedReader, size: int, path: str) -> bytes:
    piece = reader.read(size)
    if len(piece) < size:
        raise cut_short(path)
    return piece


def _whole_lines(answer: Iterable[bytes], path: str) -> Generator[bytes, None, None]:
    rest = b""
    for piece in answer:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (_line(line) for line in whole if line)
    if rest:
        raise cut_short(path)


def _checked(status: int, body: bytes) -> bytes:
    """The body of a success; what it was refused with, otherwise."""
    if status == 200:
        return body
    try:
        problem = _error.decode(body).error
    except msgspec.MsgspecError:
        if status == 500:
            # All that our own server refuses has a reason, but for what its end cuts off.
            raise Unreachable(
                "no-reason",
                "The daemon answered with HTTP 500 and without a reason: it may be ending.",
                "Ask again when it runs: `systemctl status valkeep`, or its log, tells more.",
            ) from None
        problem = Problem("http", f"The daemon answered with HTTP {status}.", "See its log.")
    raise _raised(status, problem)


def _line(line: bytes) -> bytes:
    """One line of a stream, or the error that ended it."""
    if line.startswith(b'{"error":'):
        last = _last.decode(line)
        raise _raised(last.status, last.error)
    return line + b"\n"


def _raised(status: int, problem: Problem) -> ValkeepError:
    kind = Away if problem.code in AWAY else _KINDS.get(status, Failed)
    return kind(problem.code, problem.message, problem.hint)


def _turned_away(path: str) -> ValkeepError:
    """Strangers are closed with their request unread, and so is whoever knocked at one that died.

    The one of them who knocks again is let in and closed again; the other finds nobody.
    """
    try:
        with _connected(path, 1.0):
            return unknown_peer(path)
    except Unreachable as error:
        return error
