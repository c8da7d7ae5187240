"""Logs that do what a disk does: take their time, refuse a batch, or lose the answer.

Wrappers of any `EventLog`; what they let through is as good as what they wrap.
"""

from collections.abc import AsyncGenerator, Sequence

from events.envelope import Commit, Head, Record
from events.facts import START, Position
from events.log import Appended, Conflict, EventLog, LogUnwritable
from tests.simulation.virtual import pass_time


class SlowLog:
    """A log whose appends are counted, take a second, and fail when they are told to."""

    def __init__(self, inner: EventLog, *, seconds: float = 1.0) -> None:
        self._inner = inner
        self._seconds = seconds
        self.batches: list[int] = []
        self.failures: list[LogUnwritable] = []
        self.stored = 0
        self.probes = 0

    async def append(self, commits: Sequence[Commit]) -> tuple[Appended | Conflict, ...]:
        """See `EventLog.append`."""
        self.batches.append(len(commits))
        await pass_time(self._seconds / 2)
        if self.failures:
            raise self.failures.pop(0)
        answers = await self._inner.append(commits)
        self.stored += len(commits)
        await pass_time(self._seconds / 2)
        return answers

    async def probe(self) -> None:
        """See `EventLog.probe`: what the next append would come to, which still comes to it."""
        self.probes += 1
        if self.failures:
            raise self.failures[0]
        await self._inner.probe()

    def read(self, after: Position = START) -> AsyncGenerator[Record, None]:
        """See `EventLog.read`."""
        return self._inner.read(after)

    def subscribe(self, after: Position = START) -> AsyncGenerator[Record, None]:
        """See `EventLog.subscribe`."""
        return self._inner.subscribe(after)

    async def head(self) -> Head:
        """See `EventLog.head`."""
        return await self._inner.head()


def full_disk() -> LogUnwritable:
    """What a log says when there is no room."""
    return LogUnwritable("the disk is full", "make room")
