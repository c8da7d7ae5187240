"""The way to a server that lets so much through, and nothing more until it is told to.

Slower than any limit of bandwidth, so that tests can say what has happened while it was.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio

STEP_BYTES = 64 << 10


class GatedLine:
    """What is between clients and a server; answers always pass."""

    def __init__(self, *, passes_bytes: int) -> None:
        self.port = 0
        self.passed_bytes = 0
        self._passes_bytes = passes_bytes
        self._gate = asyncio.Event()

    def open(self) -> None:
        """Hold nothing back from now on."""
        self._gate.set()

    async def there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """From the client to the server."""
        with suppress(OSError):
            while data := await reader.read(STEP_BYTES):
                if self.passed_bytes + len(data) > self._passes_bytes:
                    await self._gate.wait()
                self.passed_bytes += len(data)
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def gated_line(port: int, *, passes_bytes: int) -> AsyncIterator[GatedLine]:
    """A line before the server on that port; `line.port` is where clients come to."""
    line = GatedLine(passes_bytes=passes_bytes)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(line.there, reader, far_writer)
            tasks.start_soon(_back, far_reader, writer)

    # A server of asyncio's own: each connection needs a task that outlives who accepted it.
    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        line.open()
        server.close()


async def _back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(STEP_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()
