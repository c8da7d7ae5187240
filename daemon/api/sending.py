"""Sending a body whose length is known, and cutting the connection where it cannot be whole."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
import structlog
from aiohttp import web

from daemon.api.asked import Asked
from daemon.api.downloads import STALL_SECONDS, Download, StalledError
from daemon.errors import ValkeepError

log = structlog.get_logger()

Body = Callable[[Asked], AbstractAsyncContextManager[Download]]


async def sent(request: web.Request, body: Body, asked: Asked) -> web.StreamResponse:
    """Send it all, or cut the connection.

    Once the status is out an error can only be told by a body that is too short: whatever else
    was sent would be taken for a part of it.
    """
    response = web.StreamResponse()
    try:
        async with body(asked) as download:
            response.headers.update(download.headers)
            await response.prepare(request)
            async for chunk in download.plain.chunks:
                await _write(response, chunk)
            await response.write_eof()
    except ValkeepError as error:
        if not response.prepared:
            raise
        log.warning("download cut off", path=request.path, error=error.message)
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionAbortedError(error.message) from error
    return response


async def _write(response: web.StreamResponse, chunk: bytes) -> None:
    try:
        with anyio.fail_after(STALL_SECONDS):
            await response.write(chunk)
    except TimeoutError:
        raise StalledError("the client takes nothing") from None
