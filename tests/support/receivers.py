"""The other side of channels: HTTP and SMTP servers on loopback that do as they are told.

Real servers, small: each keeps what it was sent. They end with the block that opened them.
"""

import json
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

LONGEST = 1 << 20


class Web:
    """An HTTP server; `answers` are used up first to last, then every answer is 200.

    0 is a connection that is never answered.
    """

    def __init__(self) -> None:
        self.port = 0
        self.answers: deque[int] = deque()
        self.paths: list[str] = []
        self.bodies: list[dict[str, str]] = []
        self.came = anyio.Event()

    def url(self, path: str = "hook", *, scheme: str = "json") -> str:
        """The address of it."""
        return f"{scheme}://127.0.0.1:{self.port}/{path}"

    async def until(self, count: int) -> None:
        """Wait until so many requests have come."""
        with anyio.fail_after(30):
            while len(self.paths) < count:
                await self.came.wait()

    async def serve(self, stream: SocketStream) -> None:
        """One connection, one request."""
        async with stream:
            reader = BufferedByteReceiveStream(stream)
            head = (await reader.receive_until(b"\r\n\r\n", LONGEST)).decode()
            length = _length(head)
            body = await reader.receive_exactly(length) if length else b""
            answer = self.answers.popleft() if self.answers else 200
            self.paths.append(head.split(" ")[1])
            if body:
                self.bodies.append(json.loads(body))
            self.came.set()
            self.came = anyio.Event()
            if not answer:
                await anyio.sleep_forever()
            await stream.send(f"HTTP/1.1 {answer} X\r\nContent-Length: 0\r\n\r\n".encode())


def _length(head: str) -> int:
    lines = (line.partition(":") for line in head.split("\r\n"))
    return next((int(value) for name, _, value in lines if name.lower() == "content-length"), 0)


class Post:
    """An SMTP server that takes all mail; `mails` are their bytes."""

    def __init__(self) -> None:
        self.port = 0
        self.mails: list[bytes] = []

    async def serve(self, stream: SocketStream) -> None:
        """One conversation."""
        async with stream:
            reader = BufferedByteReceiveStream(stream)
            await stream.send(b"220 post\r\n")
            while True:
                try:
                    line = await reader.receive_until(b"\r\n", LONGEST)
                except (anyio.IncompleteRead, anyio.BrokenResourceError):
                    return
                if line[:4].upper() == b"DATA":
                    await stream.send(b"354 go on\r\n")
                    self.mails.append(await reader.receive_until(b"\r\n.\r\n", LONGEST))
                await stream.send(b"250 ok\r\n")


T = TypeVar("T", Web, Post)


@asynccontextmanager
async def web() -> AsyncGenerator[Web, None]:
    """A web server, until the end of the block."""
    async with _listening(Web()) as made:
        yield made


@asynccontextmanager
async def post() -> AsyncGenerator[Post, None]:
    """A mail server, until the end of the block."""
    async with _listening(Post()) as made:
        yield made


@asynccontextmanager
async def _listening(server: T) -> AsyncGenerator[T, None]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    server.port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django here
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.serve)
        yield server
        tasks.cancel_scope.cancel()
