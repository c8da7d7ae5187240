"""The hash chain: each record's hash covers all that came before it (L3).

    hash = SHA-256(previous hash || length of envelope || envelope || data)

The hashes are their 32 raw bytes, GENESIS (32 zero bytes) before the first record; the length
is an unsigned 64-bit big-endian number of bytes; envelope and data are the bytes as stored.
Pure; knows nothing of where records lie.
"""

from hashlib import sha256

import msgspec
from msgspec import Struct

from events.envelope import Envelope, Head, Record
from events.facts import START, Position
from events.log import LogCorrupt, UnknownEvent

GENESIS = bytes(32)
EMPTY = Head(START, GENESIS)

HINT = (
    "keep the file as it is and start nothing on it; the copy of the log in the vault, or "
    "`valkeep recover`, brings the history back"
)
"""What to do about a damaged log."""

_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Envelope)


class Stored(Struct, frozen=True):
    """A record as a store holds it, not yet checked: position, and three times bytes."""

    position: Position
    envelope: bytes
    data: bytes
    hash: bytes


def envelope_bytes(envelope: Envelope) -> bytes:
    """The canonical bytes of an envelope: what is stored, and what is hashed.

    JSON without spaces, fields in the order of their definition, defaults left out. A field
    may be added at the end with a default, none may be renamed or moved: an old envelope must
    give its old bytes for ever.
    """
    return _encoder.encode(envelope)


def link(*, previous: bytes, envelope: bytes, data: bytes) -> bytes:
    """The hash of a record that follows `previous`; the formula is in the module's docstring."""
    return sha256(b"".join((previous, len(envelope).to_bytes(8), envelope, data))).digest()


def sealed(previous: Head, envelope: Envelope, data: bytes) -> Record:
    """A new record at the end of the chain."""
    stored = envelope_bytes(envelope)
    digest = link(previous=previous.hash, envelope=stored, data=data)
    return Record(envelope, data, digest)


def follow(previous: Head, record: Record) -> Head:
    """The chain's head after one more record; the verifier is this, folded from `EMPTY`.

    Raises `LogCorrupt` with the position where the chain breaks.
    """
    envelope = envelope_bytes(record.envelope)
    follow_stored(previous, Stored(record.position, envelope, record.data, record.hash))
    return Head(record.position, record.hash)


def follow_stored(previous: Head, stored: Stored) -> Record:
    """The record in a store's bytes, which must follow; raises `LogCorrupt` where it does not.

    The hash is checked before the envelope is parsed: nothing unchecked is interpreted.
    """
    expected = previous.position + 1
    if stored.position != expected:
        raise broken(expected, f"is missing (the next one found is {stored.position})")
    digest = link(previous=previous.hash, envelope=stored.envelope, data=stored.data)
    if stored.hash != digest:
        raise broken(expected, "does not follow from the one before it: its hash differs")
    return opened(stored)


def opened(stored: Stored) -> Record:
    """The record in a store's bytes, with its envelope parsed; the hash is not looked at."""
    envelope = parsed(stored.position, stored.envelope)
    if envelope.position != stored.position:
        raise broken(stored.position, f"says that it is at position {envelope.position}")
    return Record(envelope, stored.data, stored.hash)


def parsed(position: Position, envelope: bytes) -> Envelope:
    """The envelope in its stored bytes."""
    try:
        return _decoder.decode(envelope)
    except ValueError as error:
        raise UnknownEvent(
            f"the envelope at position {position} cannot be read: {error}",
            "this log was written by a newer Valkeep, or is damaged; install the newest version",
        ) from error


def broken(position: int, what: str) -> LogCorrupt:
    """The error for a record that is not what it should be; `what` completes the sentence."""
    return LogCorrupt(f"the log is damaged: the record at position {position} {what}", HINT)
