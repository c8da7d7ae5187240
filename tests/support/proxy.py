"""An HTTP proxy between a vault and a real S3 server that checks what is sent and breaks things.

Real test servers accept wrong checksums; this one recomputes them. Faults are asked for by
operation and number of times; each says afterwards whether it has fired.
"""

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Literal

import aiohttp
import anyio
from aiohttp import web
from msgspec import Struct, field
from yarl import URL

Operation = Literal[
    "create", "part", "complete", "abort", "uploads", "put", "get", "head", "delete", "list"
]
Kind = Literal[
    "refuse",  # an error answer, nothing reaches the server
    "reset",  # the connection dies while the request is being sent
    "lose",  # the server does it, the answer is lost
    "hang",  # no answer, ever
    "flip",  # one byte of the answer's body is another
    "cut",  # the answer's body ends early
    "garble",  # the server gets other bytes than were sent
    "etag",  # the answer has another ETag
    "swallow",  # the answer that success would have; nothing reaches the server
    "bad-200",  # success in the status line, an error in the body
]


class Fault(Struct):
    """Something that goes wrong with an operation, so many times, then no more."""

    operation: Operation
    kind: Kind
    times: int = 1
    status: int = 503
    code: str = "SlowDown"
    fired: int = 0


class Seen(Struct, frozen=True):
    """One request as it arrived."""

    operation: Operation
    path: str
    size_bytes: int
    headers: dict[str, str]


class Proxy(Struct):
    """What was seen and what was wrong with it; add `Fault`s at any time."""

    port: int = 0
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def count(self, operation: Operation) -> int:
        """How many requests of this kind have come."""
        return sum(seen.operation == operation for seen in self.seen)


@asynccontextmanager
async def proxy_before(port: int) -> AsyncIterator[Proxy]:
    """A proxy on a free port, before the server on the given one."""
    proxy = Proxy()
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        relay = _Relay(proxy, session, port)
        runner = web.ServerRunner(web.Server(relay.handle), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        proxy.port = int(runner.addresses[0][1])
        try:
            yield proxy
        finally:
            relay.closing.set()
            with anyio.CancelScope(shield=True):
                await runner.cleanup()


class _Relay:
    def __init__(self, proxy: Proxy, session: aiohttp.ClientSession, port: int) -> None:
        self.closing = anyio.Event()
        self._proxy = proxy
        self._session = session
        self._port = port

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request; what `web.Server` calls."""
        operation = _operation(request)
        fault = self._fault(operation)
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        if fault and fault.kind == "reset":
            await request.content.read(1 << 20)
            return self._abort(request)
        body = await request.content.read()
        self._look(request, operation, body)
        if fault and fault.kind == "refuse":
            return web.Response(status=fault.status, text=_error(fault), content_type="text/xml")
        if fault and fault.kind == "bad-200":
            return web.Response(text=_error(fault), content_type="text/xml")
        if fault and fault.kind == "swallow":
            etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
            status = 204 if request.method == "DELETE" else 200
            return web.Response(status=status, headers={"ETag": f'"{etag}"'})
        if fault and fault.kind == "hang":
            await self.closing.wait()
            return self._abort(request)
        if fault and fault.kind == "garble":
            body = bytes([body[0] ^ 1]) + body[1:]
        return await self._forward(request, body, fault)

    async def _forward(
        self, request: web.BaseRequest, body: bytes, fault: Fault | None
    ) -> web.StreamResponse:
        url = URL(f"http://127.0.0.1:{self._port}{request.raw_path}", encoded=True)
        headers = {name: text for name, text in request.headers.items() if name != "Expect"}
        async with self._session.request(
            request.method, url, headers=headers, data=BytesIO(body), allow_redirects=False
        ) as answer:
            data = await answer.read()
            kept = {n: t for n, t in answer.headers.items() if n not in _HOP}
        if fault and fault.kind == "lose":
            return self._abort(request)
        if fault and fault.kind == "etag":
            kept["ETag"] = f'"{"0" * 32}"'
        if fault and fault.kind == "flip":
            data = data[:-1] + bytes([data[-1] ^ 1])
        if fault and fault.kind == "cut":
            return await self._cut(request, data, kept)
        if request.method != "HEAD":
            kept.pop("Content-Length", None)
        return web.Response(status=answer.status, headers=kept, body=data or None)

    async def _cut(
        self, request: web.BaseRequest, data: bytes, headers: dict[str, str]
    ) -> web.StreamResponse:
        headers["Content-Length"] = str(len(data))
        response = web.StreamResponse(status=206, headers=headers)
        await response.prepare(request)
        await response.write(data[: len(data) // 2])
        return self._abort(request)

    def _abort(self, request: web.BaseRequest) -> web.StreamResponse:
        """The connection dies; what is returned goes nowhere."""
        if isinstance(request.transport, asyncio.Transport):
            request.transport.abort()
        return web.Response()

    def _fault(self, operation: Operation) -> Fault | None:
        for fault in self._proxy.faults:
            if fault.operation == operation and fault.fired < fault.times:
                fault.fired += 1
                return fault
        return None

    def _look(self, request: web.BaseRequest, operation: Operation, body: bytes) -> None:
        """Recompute every checksum that the request carries."""
        proxy, headers = self._proxy, request.headers
        proxy.seen.append(Seen(operation, request.path, len(body), dict(headers)))
        where = f"{operation} {request.path}"
        md5 = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        if operation in ("part", "put") and "Content-MD5" not in headers:
            proxy.wrong.append(f"{where}: no checksum")
        if headers.get("Content-MD5", md5) != md5:
            proxy.wrong.append(f"{where}: Content-MD5 is of other bytes")
        signed = headers.get("x-amz-content-sha256", "").lower()
        if signed != hashlib.sha256(body).hexdigest():
            proxy.wrong.append(f"{where}: x-amz-content-sha256 is {signed}")
        if headers.get("Content-Length", "0") != str(len(body)):
            proxy.wrong.append(f"{where}: Content-Length is of other bytes")


_HOP = ("Connection", "Transfer-Encoding", "Keep-Alive", "Server", "Date")


_SHAPES: tuple[tuple[str, str, Operation], ...] = (
    ("POST", "uploads", "create"),
    ("POST", "uploadId", "complete"),
    ("PUT", "partNumber", "part"),
    ("DELETE", "uploadId", "abort"),
    ("GET", "uploads", "uploads"),
    ("GET", "list-type", "list"),
)
_PLAIN: dict[str, Operation] = {"PUT": "put", "GET": "get", "HEAD": "head", "DELETE": "delete"}


def _operation(request: web.BaseRequest) -> Operation:
    """The operation of S3 that a request is, by its method and query."""
    for method, word, operation in _SHAPES:
        if request.method == method and word in request.query:
            return operation
    return _PLAIN[request.method]


def _error(fault: Fault) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{fault.code}</Code><Message>made up</Message></Error>"
    )
