"""A TCP way to a real server on which a test changes what passes."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio
from anyio.abc import SocketStream

from tests.support.servers import free_port

Change = Callable[[bytes], bytes]


def untouched(data: bytes) -> bytes:
    """Hand on what came."""
    return data


class FlipAt:
    """Flips one bit of a replication answer, that many bytes after its beginning."""

    def __init__(self, at: int) -> None:
        self._left = at
        self._begun = False

    def __call__(self, data: bytes) -> bytes:
        """The data, with a bit flipped if it is the time for it."""
        self._begun |= b"+FULLRESYNC" in data
        if not self._begun:
            return data
        at, self._left = self._left, self._left - len(data)
        if not 0 <= at < len(data):
            return data
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@asynccontextmanager
async def tampered(
    port: int, *, to_server: Change = untouched, to_client: Change = untouched
) -> AsyncGenerator[int, None]:
    """A port on 127.0.0.1 that leads to that one; it is closed with the context."""

    async def handle(client: SocketStream) -> None:
        async with (
            client,
            await anyio.connect_tcp("127.0.0.1", port) as server,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(partial(_pump, client, sink=server, change=to_server))
            tasks.start_soon(partial(_pump, server, sink=client, change=to_client))

    own = free_port()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=own)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield own
        tasks.cancel_scope.cancel()


async def _pump(source: SocketStream, *, sink: SocketStream, change: Change) -> None:
    try:
        async for data in source:
            await sink.send(change(data))
        await sink.send_eof()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        await sink.aclose()
