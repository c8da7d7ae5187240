"""Proving a log: a verdict on records, and an export that a stranger can prove by himself.

It knows records and lines, not where they lie. What no chain shows is a missing end: compare
the verdict's head with one that is kept elsewhere, as each manifest does.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from datetime import datetime

import msgspec
from msgspec import Struct

from events.chain import EMPTY, HINT, Stored, broken, envelope_bytes, follow, follow_stored
from events.envelope import Head, Record, Who
from events.facts import CommitId, Position, Stream
from events.log import LogCorrupt


class Verdict(Struct, frozen=True):
    """A chain without a break: how many records, and where it ends."""

    records: int
    head_position: Position
    head_hash: bytes


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the export.

    `envelope` and `data` are the stored texts, `previous_hash` and `hash` hexadecimal. With
    SHA-256 alone anybody can check

        hash = SHA-256(previous_hash || length of envelope || envelope || data)

    over the UTF-8 bytes of the texts and the raw bytes of the hash, where the length is an
    unsigned 64-bit big-endian number of bytes, and that `previous_hash` is the `hash` of the
    line before (64 zeros in the first). The other fields repeat the same for people and for
    `jq`, `event` being the stored event itself; `verify_export` checks them as well.
    """

    position: Position
    stream: Stream
    at: datetime
    who: Who
    commit_id: CommitId
    event: msgspec.Raw
    envelope: str
    data: str
    previous_hash: str
    hash: str


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Line)


async def verify(records: AsyncIterable[Record], start: Head = EMPTY) -> Verdict:
    """Follow the chain from `start` to its end; raises `LogCorrupt` where it breaks."""
    tip, count = start, 0
    async for record in records:
        tip = follow(tip, record)
        count += 1
    return Verdict(count, tip.position, tip.hash)


async def export(
    records: AsyncIterable[Record], start: Head = EMPTY
) -> AsyncGenerator[bytes, None]:
    """One line of NDJSON per record, line feed included; `start` is the head before the first.

    Raises `LogCorrupt` where the chain breaks. Use under `aclosing`.
    """
    tip = start
    async for record in records:
        before, tip = tip, follow(tip, record)
        yield _line(before, record)


def verify_export(lines: Iterable[bytes], start: Head = EMPTY) -> Verdict:
    """Check an export to the last byte; raises `LogCorrupt` with the first position in doubt.

    Lines keep their line feed, as a file opened for bytes gives them.
    """
    tip, count = start, 0
    for line in lines:
        record = _record(tip, line)
        if line != _line(tip, record):
            raise broken(record.position, "is told differently beside its stored text")
        tip = Head(record.position, record.hash)
        count += 1
    return Verdict(count, tip.position, tip.hash)


def told(line: bytes) -> tuple[Head, Record]:
    """The record in one line of an export, and the head that the line says it follows.

    The record follows from that head by its hash; whether that head is right is for the caller
    to know, by the line before. Raises `LogCorrupt`.
    """
    try:
        found = _decoder.decode(line)
        before = Head(Position(found.position - 1), bytes.fromhex(found.previous_hash))
    except ValueError as error:
        raise LogCorrupt(f"a line of a copy of the log cannot be read: {error}", HINT) from error
    return before, _record(before, line)


def _line(before: Head, record: Record) -> bytes:
    envelope, text = record.envelope, _text(record)
    line = Line(
        position=record.position,
        stream=envelope.stream,
        at=envelope.at,
        who=envelope.who,
        commit_id=envelope.commit_id,
        event=msgspec.Raw(record.data),
        envelope=envelope_bytes(envelope).decode(),
        data=text,
        previous_hash=before.hash.hex(),
        hash=record.hash.hex(),
    )
    return _encoder.encode(line) + b"\n"


def _text(record: Record) -> str:
    """The stored event as text, which a line can hold only if it is JSON in one line."""
    try:
        text = record.data.decode()
        msgspec.json.decode(text, type=msgspec.Raw)
    except ValueError as error:
        raise broken(record.position, f"is not JSON: {error}") from error
    if "\n" in text:
        raise broken(record.position, "is not JSON in one line")
    return text


def _record(tip: Head, line: bytes) -> Record:
    """The record that a line tells of, which must follow."""
    try:
        told = _decoder.decode(line)
        digest = bytes.fromhex(told.hash)
    except ValueError as error:
        raise broken(Position(tip.position + 1), f"cannot be read: {error}") from error
    stored = Stored(told.position, told.envelope.encode(), told.data.encode(), digest)
    return follow_stored(tip, stored)
