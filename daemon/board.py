"""The progress board: how far running work is, in memory only.

Actors write through the `Progress` port, the API reads. What is here is lost with the
process, and nothing depends on it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from msgspec import Struct

from daemon.ports import Clock


class Standing(Struct):
    """How far one piece of work is; bytes of the present phase."""

    work_id: str
    phase: str
    started_at: datetime
    phase_started_at: datetime
    moved_bytes: int = 0
    total_bytes: int | None = None


class Entry:
    """One piece of work's line on the board: the `Progress` port."""

    def __init__(self, standing: Standing, clock: Clock) -> None:
        self._standing = standing
        self._clock = clock
        self.signs = 0
        """Signs of life so far: work that gives none for long is taken for stalled."""

    @property
    def doing(self) -> str:
        """The present phase."""
        return self._standing.phase

    def shows(self, standing: Standing) -> bool:
        """Whether this is its line."""
        return self._standing is standing

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        """A new phase begins, with nothing moved yet."""
        self.signs += 1
        self._standing.phase = name
        self._standing.phase_started_at = self._clock.now()
        self._standing.moved_bytes = 0
        self._standing.total_bytes = total_bytes

    def advance(self, moved_bytes: int) -> None:
        """So many more bytes of the phase are done; with 0, that the work still gets on."""
        self.signs += 1
        self._standing.moved_bytes += moved_bytes


class Board:
    """All running work by the id of its backup or restore."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: dict[str, Standing] = {}

    @contextmanager
    def line(self, work_id: str) -> Iterator[Entry]:
        """A line for as long as the work runs."""
        now = self._clock.now()
        standing = Standing(work_id, "starting", now, now)
        self._lines[work_id] = standing
        try:
            yield Entry(standing, self._clock)
        finally:
            if self._lines.get(work_id) is standing:
                del self._lines[work_id]

    def strike(self, entry: Entry) -> None:
        """Take a line off the board before its work has ended: nobody waits for it any more."""
        self._lines = {n: at for n, at in self._lines.items() if not entry.shows(at)}

    def standing(self, work_id: str) -> Standing | None:
        """How far a backup or restore is, if anybody works on it now."""
        return self._lines.get(work_id)
