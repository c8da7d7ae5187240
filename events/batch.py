"""What happens to a batch of commits on a log that stands where it stands (L2).

Pure: decides which commits are stored, as which records, and which conflict. Every log asks
here, so that they agree; storing is theirs. It knows no transactions and no disk.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from msgspec import Struct

from events.chain import sealed
from events.envelope import Commit, Envelope, Head, Record
from events.facts import START, CommitId, Position, Stream
from events.log import Appended, Conflict

_UTC = timedelta(0)


class Standing(Struct, frozen=True):
    """Where a log stands: its head, and the last position of every stream that has one."""

    head: Head
    streams: Mapping[Stream, Position]


class Admitted(Struct, frozen=True):
    """A decided batch: the answers, what is to be stored, and where the log then stands.

    `moved` holds only the streams that the new records are on.
    """

    answers: tuple[Appended | Conflict, ...]
    records: tuple[Record, ...]
    head: Head
    moved: Mapping[Stream, Position]


def check(commits: Sequence[Commit]) -> None:
    """Refuse, with `ValueError`, a batch that only a bug can make; see `EventLog.append`."""
    for commit in commits:
        if not commit.entries:
            raise ValueError(f"commit {commit.commit_id} has no entries")
        if commit.at.utcoffset() != _UTC:
            raise ValueError(f"commit {commit.commit_id} has a time that is not UTC")
        for entry in commit.entries:
            if entry.stream not in commit.relied:
                raise ValueError(
                    f"commit {commit.commit_id} writes to {entry.stream} without relying on it"
                )


def admit(
    commits: Sequence[Commit],
    standing: Standing,
    known: Mapping[CommitId, tuple[Record, ...]],
) -> Admitted:
    """Decide a checked batch, commit by commit; `known` holds those that are stored already."""
    admission = _Admission(standing, known)
    answers = tuple([admission.answer(commit) for commit in commits])
    return Admitted(answers, tuple(admission.records), admission.head, admission.moved)


class _Admission:
    """The log as the commits decided so far leave it."""

    def __init__(self, standing: Standing, known: Mapping[CommitId, tuple[Record, ...]]) -> None:
        self.head = standing.head
        self.records: list[Record] = []
        self.moved: dict[Stream, Position] = {}
        self._streams = standing.streams
        self._known = dict(known)
        self._lost: set[Stream] = set()

    def answer(self, commit: Commit) -> Appended | Conflict:
        """Take the commit in, or say why not."""
        if stored := self._known.get(commit.commit_id):
            return Appended(stored, repeated=True)
        if conflict := self._conflict(commit):
            # Whoever decided a later commit of this batch on top of this one did so on events
            # that will not exist; a foreign event may sit at the very position it expects.
            self._lost.update(entry.stream for entry in commit.entries)
            return conflict
        records = self._store(commit)
        self._known[commit.commit_id] = records
        return Appended(records)

    def _conflict(self, commit: Commit) -> Conflict | None:
        for stream, expected in commit.relied.items():
            actual = self.moved.get(stream) or self._streams.get(stream, START)
            if actual != expected or stream in self._lost:
                return Conflict(commit.commit_id, stream, expected, actual)
        return None

    def _store(self, commit: Commit) -> tuple[Record, ...]:
        first = len(self.records)
        for entry in commit.entries:
            position = Position(self.head.position + 1)
            envelope = Envelope(
                position=position,
                stream=entry.stream,
                at=commit.at,
                who=commit.who,
                commit_id=commit.commit_id,
                key=commit.key,
                cause=commit.cause,
            )
            record = sealed(self.head, envelope, entry.data)
            self.records.append(record)
            self.moved[entry.stream] = position
            self.head = Head(position, record.hash)
        return tuple(self.records[first:])
