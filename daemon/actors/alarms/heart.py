"""Heartbeats for a dead man's switch: a sign that goes out while all is well, and only then.

Whoever expects it tells people when it stays away: when the daemon, its host or its network is
dead. Beats are not recorded; that they do not arrive is told like any other problem.
"""

from collections.abc import Callable, Iterator

import anyio
import structlog
from msgspec import Struct

from daemon.actors.alarms.seams import Pulse
from daemon.errors import Failed
from projections.checks import LEVELS, Level, Line
from projections.local import one_line

log = structlog.get_logger()

TRIES = 2
"""So many beats in a row have to fail before it is told."""
FIRST_LOOK_SECONDS = 5.0
"""Until there is a first verdict."""


class Beating(Struct, frozen=True):
    """Where beats go, how often, up to which level all counts as well, and whether ill is told."""

    pulse: Pulse
    every_seconds: float
    well: Level = "ok"
    tells_ill: bool = False


class Heart:
    """Beats while all is well."""

    def __init__(self, level: Callable[[], Level | None]) -> None:
        """`level` is how the whole stood at the last look."""
        self._level = level
        self._beating: Beating | None = None
        self._changed = anyio.Event()
        self._failed: Failed | None = None
        self._failures = 0

    @property
    def beating(self) -> Beating | None:
        """How it beats, if it does."""
        return self._beating

    def replace(self, beating: Beating | None) -> None:
        """Beat like this from now on."""
        self._beating, self._failures = beating, 0
        self._changed.set()

    def lines(self) -> Iterator[Line]:
        """What is to be said of beats that do not arrive."""
        if self._failed is not None and self._failures >= TRIES:
            told = f"heartbeats do not arrive: {one_line(self._failed.message)}"
            yield Line("warning", "heartbeat", told, self._failed.hint, None, self._failed.code)

    async def run(self, alive: Callable[[], bool]) -> None:
        """Beat for ever; `alive` tells whether the worker still looks for work."""
        while True:
            self._changed = anyio.Event()
            beating = self._beating
            if beating is None:
                await self._changed.wait()
                continue
            wait = FIRST_LOOK_SECONDS
            if (level := self._level()) is not None:
                await self._beat(beating, well=alive() and _is_well(beating, level))
                wait = beating.every_seconds
            with anyio.move_on_after(wait):
                await self._changed.wait()

    async def _beat(self, beating: Beating, *, well: bool) -> None:
        if not well and not beating.tells_ill:
            return
        try:
            await beating.pulse.beat(well=well)
        except Failed as error:
            if self._failures == 0:
                log.warning("heartbeat failed", error=error.message, hint=error.hint)
            self._failed, self._failures = error, self._failures + 1
        else:
            self._failures = 0


def _is_well(beating: Beating, level: Level) -> bool:
    return LEVELS.index(level) <= LEVELS.index(beating.well)
