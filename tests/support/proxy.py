"""An HTTP proxy between a vault and a real S3 server that checks what is sent and breaks things.

Real test servers accept wrong checksums; this one recomputes them. Faults are asked for by
operation and number of times; each says afterwards whether it has fired. No test server has
flexible checksums as Amazon's has: a `flexible` proxy answers them in its stead.
"""

import asyncio
import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Literal

import aiohttp
import anycrc
import anyio
from aiohttp import web
from msgspec import Struct, field
from yarl import URL

Operation = Literal[
    "create",
    "part",
    "complete",
    "abort",
    "uploads",
    "parts",
    "put",
    "get",
    "head",
    "delete",
    "list",
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
    "bad-200",  # success in the status line, an error in the body
    "swallow",  # success with the right ETag, and nothing reaches the server
    "pretend",  # an answer about an object, or one part, of `size_bytes`, whatever is there
]


class Fault(Struct):
    """Something that goes wrong with an operation, so many times, then no more.

    Only with paths that have `path` in them, after the first `spared` of those.
    """

    operation: Operation
    kind: Kind
    times: int = 1
    status: int = 503
    code: str = "SlowDown"
    fired: int = 0
    path: str = ""
    spared: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    said: str = "made up"
    detail: str = ""  # further elements of the error
    size_bytes: int = 0


class Seen(Struct, frozen=True):
    """One request as it arrived."""

    operation: Operation
    path: str
    size_bytes: int
    headers: dict[str, str]


class Proxy(Struct):
    """What was seen and what was wrong with it; add `Fault`s at any time.

    `behind` is the port of the server, and may be changed.
    """

    port: int = 0
    behind: int = 0
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    flexible: bool = False

    def count(self, operation: Operation) -> int:
        """How many requests of this kind have come."""
        return sum(seen.operation == operation for seen in self.seen)


@asynccontextmanager
async def proxy_before(port: int) -> AsyncIterator[Proxy]:
    """A proxy on a free port, before the server on the given one."""
    proxy = Proxy(behind=port)
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        relay = _Relay(proxy, session)
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
    def __init__(self, proxy: Proxy, session: aiohttp.ClientSession) -> None:
        self.closing = anyio.Event()
        self._proxy = proxy
        self._session = session
        self._flexible = _Flexible()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request; what `web.Server` calls."""
        operation = _operation(request)
        fault = self._fault(operation, request.path)
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        if fault and fault.kind == "reset":
            await request.content.read(1 << 20)
            return self._abort(request)
        body = await request.content.read()
        self._look(request, operation, body)
        if fault and fault.kind in _MADE_UP:
            return _made_up(fault, operation, body)
        if fault and fault.kind == "hang":
            await self.closing.wait()
            return self._abort(request)
        if fault and fault.kind == "garble":
            body = bytes([body[0] ^ 1]) + body[1:]
        return await self._forward(request, body, fault)

    async def _forward(
        self, request: web.BaseRequest, body: bytes, fault: Fault | None
    ) -> web.StreamResponse:
        url = URL(f"http://127.0.0.1:{self._proxy.behind}{request.raw_path}", encoded=True)
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
        if self._proxy.flexible and answer.ok:
            data = self._flexible.answer(request, sent=body, headers=kept, data=data)
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

    def _fault(self, operation: Operation, path: str) -> Fault | None:
        for fault in self._proxy.faults:
            meant = fault.operation == operation and fault.path in path
            if meant and fault.spared:
                fault.spared -= 1
            elif meant and fault.fired < fault.times:
                fault.fired += 1
                return fault
        return None

    def _look(self, request: web.BaseRequest, operation: Operation, body: bytes) -> None:
        """Recompute every checksum that the request carries."""
        proxy, headers = self._proxy, request.headers
        proxy.seen.append(Seen(operation, request.path, len(body), dict(headers)))
        where = f"{operation} {request.path}"
        md5 = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        flexible = [name for name in headers if name.lower() in _SUMS]
        if operation in ("part", "put") and not {*flexible, "Content-MD5"} & headers.keys():
            proxy.wrong.append(f"{where}: no checksum")
        for name in flexible:
            if operation in ("part", "put") and headers[name] != _SUMS[name.lower()](body):
                proxy.wrong.append(f"{where}: {name} is of other bytes")
        if headers.get("Content-MD5", md5) != md5:
            proxy.wrong.append(f"{where}: Content-MD5 is of other bytes")
        signed = headers.get("x-amz-content-sha256", "").lower()
        if signed != hashlib.sha256(body).hexdigest():
            proxy.wrong.append(f"{where}: x-amz-content-sha256 is {signed}")
        if headers.get("Content-Length", "0") != str(len(body)):
            proxy.wrong.append(f"{where}: Content-Length is of other bytes")


def _crc32c(data: bytes) -> str:
    return b64encode(int(_CRC32C.calc(data)).to_bytes(4, "big")).decode()


def _sha256(data: bytes) -> str:
    return b64encode(hashlib.sha256(data).digest()).decode()


_CRC32C = anycrc.Model("CRC32C")
_SUMS = {"x-amz-checksum-crc32c": _crc32c, "x-amz-checksum-sha256": _sha256}
_ELEMENTS = {"x-amz-checksum-crc32c": "ChecksumCRC32C", "x-amz-checksum-sha256": "ChecksumSHA256"}
_MADE_UP = ("refuse", "bad-200", "swallow", "pretend")


class _Flexible:
    """What a server with flexible checksums says of them: of parts, and of those together."""

    def __init__(self) -> None:
        self._of_objects: dict[str, tuple[str, str]] = {}

    def answer(
        self, request: web.BaseRequest, *, sent: bytes, headers: dict[str, str], data: bytes
    ) -> bytes:
        """Add what is to be said to the headers; the body with what is said there."""
        name = next((name for name in _SUMS if name in request.headers), None)
        if name and request.method == "PUT":
            headers[name] = _SUMS[name](sent)
            if "partNumber" not in request.query:
                self._of_objects[request.path] = name, headers[name]
        if request.method == "HEAD" and request.path in self._of_objects:
            name, told = self._of_objects[request.path]
            headers[name] = told
        for name, element in _ELEMENTS.items():
            sums = re.findall(f"<{element}>(.*?)</{element}>".encode(), sent)
            if request.method == "POST" and sums:
                told = f"{_SUMS[name](b''.join(map(b64decode, sums)))}-{len(sums)}"
                self._of_objects[request.path] = name, told
                end = b"</CompleteMultipartUploadResult>"
                data = data.replace(end, f"<{element}>{told}</{element}>".encode() + end)
        return data


def _made_up(fault: Fault, operation: Operation, body: bytes) -> web.Response:
    """An answer that no server has given."""
    if fault.kind == "refuse":
        text = _error(fault)
        return web.Response(
            status=fault.status, text=text, headers=fault.headers, content_type="text/xml"
        )
    if fault.kind == "bad-200":
        return web.Response(text=_error(fault), content_type="text/xml")
    if operation == "parts":
        part = f"<Part><PartNumber>1</PartNumber><Size>{fault.size_bytes}</Size></Part>"
        text = f"<ListPartsResult>{part}</ListPartsResult>"
        return web.Response(text=text, content_type="text/xml")
    if fault.kind == "pretend":
        headers = {"Content-Length": str(fault.size_bytes), "ETag": '"made-up"'}
        return web.Response(headers=headers)
    if operation == "complete":
        root = "CompleteMultipartUploadResult"
        return web.Response(
            text=f"<{root}><ETag>&quot;made-up&quot;</ETag></{root}>", content_type="text/xml"
        )
    etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
    return web.Response(status=204 if operation == "delete" else 200, headers={"ETag": f'"{etag}"'})


_HOP = ("Connection", "Transfer-Encoding", "Keep-Alive", "Server", "Date")


_SHAPES: tuple[tuple[str, str, Operation], ...] = (
    ("POST", "uploads", "create"),
    ("POST", "uploadId", "complete"),
    ("PUT", "partNumber", "part"),
    ("DELETE", "uploadId", "abort"),
    ("GET", "uploads", "uploads"),
    ("GET", "uploadId", "parts"),
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
        f"<Error><Code>{fault.code}</Code><Message>{fault.said}</Message>{fault.detail}</Error>"
    )
