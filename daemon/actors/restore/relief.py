"""A target is not kept from its clients because our own log takes no records (R7, fault 9).

What a restore changes there is in the log before the first change, and undoing may be repeated:
so it is undone at once, and told to the log when that can be written again.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import structlog
from msgspec import Struct

from daemon.commands import Command
from daemon.errors import Transient, ValkeepError
from daemon.ledger import Ledger
from daemon.storage.one_error import one_error
from events.facts import RestoreId

log = structlog.get_logger()

LOG_SECONDS = 10.0
"""A log that cannot be written for so long is not waited for while clients are refused."""
LOOK_SECONDS = 1.0

PutBack = Callable[[RestoreId], Awaitable[object]]
"""Undoes what a restore has changed on its target; raises while that cannot be done."""


class Relief(Struct, frozen=True):
    """Waits for the log, but not at the cost of a target's clients."""

    ledger: Ledger
    put_back: PutBack

    async def report(self, command: Command, restore_id: RestoreId) -> None:
        """As the ledger's; while the log cannot be written, the restore's target is put back."""
        if self.ledger.trouble is None:
            with anyio.move_on_after(LOG_SECONDS):
                await self.ledger.report(command)
                return
        with one_error():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.relieve, restore_id)
                await self.ledger.report(command)
                tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def watched(self) -> AsyncGenerator[None, None]:
        """Ends what needs the log, by `Transient`, when that could not be written for too long."""
        with one_error():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch)
                yield
                tasks.cancel_scope.cancel()

    async def _watch(self) -> None:
        since: float | None = None
        while True:
            await anyio.sleep(LOOK_SECONDS)
            trouble, now = self.ledger.trouble, anyio.current_time()
            since = None if trouble is None else now if since is None else since
            if trouble is not None and since is not None and now - since >= LOG_SECONDS:
                raise Transient(
                    trouble.code,
                    f"The target would have refused its clients' writes for as long as the event "
                    f"log cannot be written: {trouble.message}",
                    trouble.hint,
                )

    async def relieve(self, restore_id: RestoreId) -> None:
        """Put a restore's target back; returns when that is done."""
        while True:
            try:
                await self.put_back(restore_id)
            except ValkeepError as error:
                log.warning("target not put back", restore=restore_id, error=error.message)
                await anyio.sleep(LOG_SECONDS)
                continue
            log.warning("target put back before the log could be told", restore=restore_id)
            return

    async def relieve_all(self) -> None:
        """The same of all restores that a daemon before us has left, if the log takes too long."""
        await anyio.sleep(LOG_SECONDS)
        async with anyio.create_task_group() as tasks:
            for restore in self.ledger.state.restores.values():
                if restore.phase in ("started", "undoing"):
                    tasks.start_soon(self.relieve, restore.restore_id)
