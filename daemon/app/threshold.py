"""The door before the daemon can answer, and when it does not any more.

Whoever knocks is told how it stands. A socket of the service manager's outlives us: who knocks
there when we stop is left to the next daemon, which is what the socket unit is for.
"""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from msgspec import Struct

from daemon.api import Access, too_early, too_late, turn_away_all, turning_away
from daemon.app.notify import notify
from daemon.errors import Away
from daemon.storage.one_error import one_error

UNNOTICED_SECONDS = 2.0
"""A start that takes no longer is only waited for: nobody need hear of it."""


class Threshold(Struct, frozen=True):
    """A listening socket, who may speak there, and whether it was handed over to us."""

    door: socket.socket
    access: Access
    handed: bool

    @asynccontextmanager
    async def starting(self, file: Path) -> AsyncGenerator[None, None]:
        """While the log in this file is read, which may take long."""
        log_bytes = _size(file)
        notify(STATUS="Reading the log; it answers when that is done.")
        with one_error():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tell_of_start, log_bytes)
                yield
                tasks.cancel_scope.cancel()

    async def _tell_of_start(self, log_bytes: int) -> None:
        began = anyio.current_time()
        await anyio.sleep(UNNOTICED_SECONDS)

        def standing() -> Away:
            return too_early(log_bytes, anyio.current_time() - began)

        await turning_away(self.door, self.access, standing)

    async def stopping(self) -> None:
        """Tell whoever knocks while the last things are done; until cancelled."""
        if not self.handed:
            await turning_away(self.door, self.access, too_late)

    def stopped(self) -> None:
        """Tell whoever has knocked since, before the socket is gone."""
        if not self.handed:
            turn_away_all(self.door, self.access, too_late())


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # there is none yet, or opening it will say what is wrong with it
