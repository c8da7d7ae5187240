"""The seam to whatever keeps the log: protocol and errors, nothing else.

It fits one file on one host and a replicated log shared by several daemons (L7); nothing
outside `events/` may know which of them it is.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from msgspec import Struct

from events.envelope import Commit, Head, Record
from events.facts import START, CommitId, Position, Stream


class LogError(Exception):
    """The log cannot be used; `hint` says what to do. Base of every error of this file."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class LogInUse(LogError):
    """Another process has the log; the message names it where the system tells."""


class LogCorrupt(LogError):
    """A record does not follow from the one before it; the message names the position."""


class LogUnreadable(LogError):
    """What is at the path cannot be opened as a log: missing, no rights, not a log, too new."""


class LogUnwritable(LogError):
    """An append failed and nothing of it was stored (disk full, read-only); try again later."""


class LogFailed(LogUnwritable):
    """The disk failed under an append: only a restart can tell whether the batch was stored.

    This log takes no more appends. A commit that is repeated after the restart is found by
    its id if it was stored after all.
    """


class UnknownEvent(LogError):
    """A stored event has a tag that this version cannot read: refuse to start, never skip."""


class Appended(Struct, frozen=True):
    """A commit is durable, with these records in the order of its entries."""

    records: tuple[Record, ...]
    repeated: bool = False


class Conflict(Struct, frozen=True):
    """A commit was not stored: this stream had moved on from what the caller relied on."""

    commit_id: CommitId
    stream: Stream
    expected: Position
    actual: Position


class ReadableLog(Protocol):
    """A log that can be read: one that runs, or a stopped one that is audited."""

    def read(self, after: Position = START) -> AsyncGenerator[Record, None]:
        """All records after a position, in order, up to the head at the time of the call.

        Use under `aclosing`. Raises `LogCorrupt` at the first record that breaks the chain.
        """
        ...

    async def head(self) -> Head:
        """The last position and its hash."""
        ...


class EventLog(ReadableLog, Protocol):
    """An append-only, hash-chained, totally ordered log of commits."""

    async def append(self, commits: Sequence[Commit]) -> tuple[Appended | Conflict, ...]:
        """Store a batch in one transaction; one answer per commit, in order.

        When it returns, what is `Appended` survives a power cut. A `Conflict` fails its own
        commit and, by the streams they rely on, those of the batch that stood on it; the
        others are stored. A commit whose id is already stored is not stored again and answers
        its first records with `repeated`. Relied positions are compared with the log as the
        earlier commits of the same batch leave it. A commit that relies on a stream which a
        conflicting commit before it would have written to is a `Conflict` even where positions
        happen to agree: it may have been decided on events that are not there. Not cancellable:
        the caller may be cancelled, the append is not. Raises `LogUnwritable`, and then nothing
        of the batch is stored (`LogFailed`: perhaps it is); `ValueError` for a batch that no
        caller may make (no entries, an entry's stream not relied on, a time that is not UTC).
        """
        ...

    async def probe(self) -> None:
        """Write as an append does, but no record; raises what that raises.

        For a caller who was refused: whether the next append would be, too.
        """
        ...

    def subscribe(self, after: Position = START) -> AsyncGenerator[Record, None]:
        """As `read`, and then each record as it is committed, for ever. Use under `aclosing`."""
        ...
