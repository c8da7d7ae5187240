"""Begins with the state that was kept, and keeps a newer one now and then.

A state is used only if this very code has folded it, and if the log's chain at its position is
the one that it was folded from. What goes wrong with it is told and costs time, nothing else. The
part of the log that a start did not read is checked afterwards, so damage there is found as soon.
"""

from collections.abc import Callable
from contextlib import aclosing, suppress

import anyio
import structlog
from msgspec import Struct

from daemon.frozen import sheet
from daemon.frozen.drawer import Drawer
from daemon.frozen.sheet import Stamp, Unfit
from daemon.ledger import Known, Ledger
from daemon.ports import Offload
from events.envelope import Head
from events.facts import START, Position
from events.log import LogError
from projections.state import State

log = structlog.get_logger()

FLUSH_SECONDS = 5.0
"""What the end of the daemon may wait for its last state."""
SETTLE_SECONDS = 20.0
"""Until the check of the older part begins: the start has better things to do."""
SLICE = 100
SLICE_SECONDS = 0.01
"""The older part is checked in slices of a millisecond or two, and others get most of the time."""


NO_SOURCE = "the source of this Valkeep cannot be read, so that no state can be known as its own"


class Often(Struct, frozen=True):
    """When a state is kept: after so many records, and not before so many seconds have passed.

    At the end of the daemon fewer records are enough; folding less than those takes no time.
    """

    records: int = 10_000
    at_end: int = 1_000
    rest_seconds: float = 60.0


OFTEN = Often()


class Begun(Struct, frozen=True):
    """What a start began with: a state at `position` (0: none) and so many `records` after it.

    `unused` is why there was a state and it was not used.
    """

    position: Position
    records: int
    seconds: float
    unused: str = ""


class Freezer:
    """Loads the ledger, and keeps its states; `code` tells which code folds (None: unknown)."""

    def __init__(
        self,
        ledger: Ledger,
        drawer: Drawer,
        offload: Offload,
        code: Callable[[], str | None],
        often: Often = OFTEN,
    ) -> None:
        self.begun: Begun | None = None
        self.checked = START
        """Up to here the part that the start did not read is known to be whole."""
        self.kept = START
        """The position of the newest state that is kept."""
        self.trouble = ""
        """Why no newer one could be kept."""
        self._ledger = ledger
        self._drawer = drawer
        self._offload = offload
        self._code = code
        self._often = often
        # Taken now: an upgrade changes the files under a daemon that still runs the old code.
        self._own = code()
        self._drawing = anyio.Lock()

    async def load(self) -> Begun:
        """Load the ledger from the state that is kept and the rest of the log, or from the log.

        First call; raises `LogError`.
        """
        began = anyio.current_time()
        known, unused = await self._offload(self._thawed)
        if known is not None and not await self._ledger.load(known):
            known, unused = None, "it is of another history than the log"
        if known is None:
            await self._ledger.load()
        self.kept = known.state.position if known else START
        records = self._ledger.state.position - self.kept
        seconds = anyio.current_time() - began
        self.begun = Begun(self.kept, records, seconds, unused)
        if unused:
            log.warning("state not used", reason=unused)
        log.info("state folded", kept=self.kept, records=records, seconds=round(seconds, 3))
        return self.begun

    def _thawed(self) -> tuple[Known | None, str]:
        """The state that is kept, or why it is not to be used; in a thread."""
        if self._own is None:
            return None, NO_SOURCE
        try:
            file = self._drawer.open()
            if file is None:
                return None, ""
            with file:
                stamp, state = sheet.read(file, self._own)
            return Known(state, bytes.fromhex(stamp.chain)), ""
        except (Unfit, OSError, ValueError) as error:
            return None, _told(error)

    async def run(self) -> None:
        """Keep a state whenever enough has happened; for ever."""
        while True:
            state = self._ledger.state
            while state.position - self.kept < self._often.records:
                state = await self._ledger.changed(state)
            await self._keep()
            await anyio.sleep(self._often.rest_seconds)

    async def flush(self) -> None:
        """Keep a last state, if that is soon done; call it when nothing more is to come."""
        if self._ledger.state.position - self.kept >= self._often.at_end:
            with anyio.move_on_after(FLUSH_SECONDS):
                await self._keep()

    async def look_behind(self) -> None:
        """Check the part of the log that the start did not read, slowly; raises `LogError`.

        Damage is met as a start that reads everything would meet it: the daemon ends, and the
        next start reads everything.
        """
        if self.begun is None or self.begun.position == START:
            return
        await anyio.sleep(SETTLE_SECONDS)
        try:
            await self._look_behind(self.begun.position)
        except LogError as error:
            log.error("log damaged", error=error.message, hint=error.hint)  # noqa: TRY400
            await self._forget()
            raise
        log.info("older part of the log checked", records=self.begun.position)

    async def _look_behind(self, last: Position) -> None:
        async with aclosing(self._ledger.records(START)) as records:
            async for record in records:
                self.checked = record.position
                if record.position == last:
                    return
                if record.position % SLICE == 0:
                    await anyio.sleep(SLICE_SECONDS)

    async def _forget(self) -> None:
        """The next start reads everything; nothing is kept any more."""
        self._own = None
        async with self._drawing:
            with suppress(OSError):
                await self._offload(self._drawer.clear)

    async def _keep(self) -> None:
        """Keep the state as it is now; what prevents it is told once, and tried again later."""
        state, head = await self._standing()
        try:
            async with self._drawing:
                await self._offload(self._put, state, head)
        except (Unfit, OSError, ValueError, TypeError, RecursionError) as error:
            if _told(error) != self.trouble:
                log.warning("state not kept", reason=_told(error))
            self.trouble = _told(error)
            return
        self.kept, self.trouble = state.position, ""
        log.info("state kept", position=state.position)

    async def _standing(self) -> tuple[State, Head]:
        """The durable state with the chain's head that it ends with."""
        while True:
            state, head = self._ledger.state, await self._ledger.head()
            if state is self._ledger.state and state.position == head.position:
                return state, head
            # A batch is stored and not folded yet.
            await self._ledger.changed(state)

    def _put(self, state: State, head: Head) -> None:
        """Write it, if this is still the code that folded it; in a thread."""
        if self._own is None:
            raise Unfit(NO_SOURCE)
        if self._code() != self._own:
            raise Unfit("Valkeep was upgraded since this daemon started: restart it")
        stamp = Stamp(self._own, state.installation, state.position, head.hash.hex())
        self._drawer.put(sheet.lines(stamp, state))


def _told(error: Exception) -> str:
    """Why, without numbers and paths: there is one such file, and `status` says where."""
    return (isinstance(error, OSError) and error.strerror) or str(error)
