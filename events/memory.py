"""A log in memory, for simulations and tests: nothing of it survives the process.

It passes the same contract as the log on disk and has no threads, so that a simulated
daemon can run on it.
"""

from collections.abc import AsyncGenerator, Sequence

import anyio
from anyio.lowlevel import checkpoint

from events.batch import Standing, admit, check
from events.bell import Bell, follow
from events.chain import EMPTY
from events.chain import follow as follow_chain
from events.envelope import Commit, Head, Record
from events.facts import START, CommitId, Position, Stream
from events.log import Appended, Conflict


class InMemoryLog:
    """An `EventLog` of a list."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._head = EMPTY
        self._streams: dict[Stream, Position] = {}
        self._commits: dict[CommitId, tuple[Record, ...]] = {}
        self._bell = Bell()

    async def append(self, commits: Sequence[Commit]) -> tuple[Appended | Conflict, ...]:
        """See `EventLog.append`."""
        check(commits)
        with anyio.CancelScope(shield=True):
            await checkpoint()  # others run here, as they do while a disk writes
        admitted = admit(commits, Standing(self._head, self._streams), self._commits)
        self._records.extend(admitted.records)
        self._streams.update(admitted.moved)
        self._head = admitted.head
        for answer in admitted.answers:
            if isinstance(answer, Appended):
                self._commits[answer.records[0].envelope.commit_id] = answer.records
        if admitted.records:
            self._bell.ring()
        return admitted.answers

    async def probe(self) -> None:
        """See `EventLog.probe`: memory takes everything."""
        await checkpoint()

    def read(self, after: Position = START) -> AsyncGenerator[Record, None]:
        """See `EventLog.read`."""
        return self._read(after=after, last=self._head.position)

    def subscribe(self, after: Position = START) -> AsyncGenerator[Record, None]:
        """See `EventLog.subscribe`."""
        return follow(self.read, self._bell, after)

    async def head(self) -> Head:
        """See `EventLog.head`."""
        return self._head

    async def _read(self, *, after: Position, last: Position) -> AsyncGenerator[Record, None]:
        await checkpoint()
        if after >= last:
            return
        tip = EMPTY if after == START else Head(after, self._records[after - 1].hash)
        for index in range(after, last):
            record = self._records[index]
            tip = follow_chain(tip, record)
            yield record
