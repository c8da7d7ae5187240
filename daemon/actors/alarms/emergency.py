"""When the log cannot be written: the one alarm that cannot go through the log.

Told directly to every channel that is for the log, and again when it is over. Remembered in
memory only: a restart in the middle tells it once more.
"""

import anyio
import structlog

from daemon.actors.alarms.seams import Messenger, Outgoing
from daemon.errors import Failed, Unavailable
from daemon.ledger import Ledger
from daemon.ports import Clock, Ids
from events.alarms import ChannelName
from projections.alarms import wants
from projections.local import one_line

log = structlog.get_logger()

LOOK_SECONDS = 15.0


class Emergency:
    """Watches whether the log can be written."""

    def __init__(self, ledger: Ledger, messenger: Messenger, clock: Clock, ids: Ids) -> None:
        self._ledger = ledger
        self._messenger = messenger
        self._clock = clock
        self._ids = ids
        self._since: float | None = None
        self._told: set[ChannelName] = set()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await anyio.sleep(LOOK_SECONDS)
            trouble = self._ledger.trouble
            if trouble is None:
                await self._over()
            else:
                await self._tell(trouble)

    async def _tell(self, trouble: Unavailable) -> None:
        book, now = self._ledger.state.alarms, anyio.current_time()
        self._since = now if self._since is None else self._since
        wait = book.manner.group_wait if book.manner else 0
        if now - self._since < wait:
            return
        where = self._where()
        text = (
            f"CRITICAL: Valkeep itself: {one_line(trouble.message)}.\n"
            f"  What to do: {one_line(trouble.hint)}.\n"
            "Until then no backup is begun, and nothing is recorded.\n"
            f"Valkeep{where}, {self._clock.now():%Y-%m-%d %H:%MZ}."
        )
        title = f"CRITICAL{where}: Valkeep: its log cannot be written"
        await self._send(Outgoing(self._ids.new(), "critical", title, text), fresh=True)

    async def _over(self) -> None:
        """What was told is taken back, once."""
        self._since = None
        if self._told:
            where = self._where()
            title = f"RECOVERED{where}: Valkeep: its log can be written again"
            await self._send(Outgoing(self._ids.new(), "ok", title, f"{title}."), fresh=False)

    async def _send(self, outgoing: Outgoing, *, fresh: bool) -> None:
        """To all who do not know it; who cannot be reached is tried again at the next look."""
        desks = self._ledger.state.alarms.channels
        names = [
            name
            for name, desk in sorted(desks.items())
            if (name in self._told) is not fresh and wants(desk.rules, "log", None)
        ]
        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(self._send_to, name, outgoing, fresh)
        self._told &= set(desks)

    async def _send_to(self, name: ChannelName, outgoing: Outgoing, fresh: bool) -> None:  # noqa: FBT001 - started as a task
        try:
            await self._messenger.send(name, outgoing)
        except Failed as error:
            log.warning("message not sent", channel=name, error=error.message)
            return
        if fresh:
            self._told.add(name)
        else:
            self._told.discard(name)

    def _where(self) -> str:
        manner = self._ledger.state.alarms.manner
        return f" [{manner.host}]" if manner and manner.host else ""
