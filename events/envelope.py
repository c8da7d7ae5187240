"""The envelope: who did what when, and on what a decision stood.

Knows nothing of event types: `data` is the stored bytes, hashed as they are and never
re-encoded, so that upcasting cannot break the chain.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from events.facts import CommitId, Position, Stream


class Who(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who caused a commit: a person on the socket, or a part of the daemon."""

    kind: Literal["user", "scheduler", "retention", "daemon"]
    uid: int | None = None
    user: str | None = None
    pid: int | None = None


class IdempotencyKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A key that a caller chose (L4): unique per uid, bound to the body it first came with."""

    uid: int
    key: str
    body_sha256: str


class Entry(Struct, frozen=True):
    """One event of a commit as it will be stored: its stream and its encoded bytes."""

    stream: Stream
    data: bytes


class Commit(Struct, frozen=True):
    """The unit of appending (L2): all events of one command, or none of them.

    `relied` names every stream the decision read, with the position of that stream's last
    record as the caller saw it (0: it had none). A stream that entries go to must be in it.
    """

    commit_id: CommitId
    at: datetime
    who: Who
    relied: dict[Stream, Position]
    entries: tuple[Entry, ...]
    key: IdempotencyKey | None = None
    cause: Position | None = None


class Envelope(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is stored beside an event's bytes, itself part of the hash (L3, L4)."""

    position: Position
    stream: Stream
    at: datetime
    who: Who
    commit_id: CommitId
    key: IdempotencyKey | None = None
    cause: Position | None = None


class Record(Struct, frozen=True):
    """One stored event: the envelope, the event's bytes, and the chain's hash up to here."""

    envelope: Envelope
    data: bytes
    hash: bytes

    @property
    def position(self) -> Position:
        """Where the record stands in the log."""
        return self.envelope.position


class Head(Struct, frozen=True):
    """The chain's end: position 0 and the genesis hash when the log is empty."""

    position: Position
    hash: bytes
