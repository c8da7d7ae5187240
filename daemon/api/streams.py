"""Answers that come line by line: the history, as it is and as it grows, and its proof.

Each generator yields whole lines of NDJSON, several at a time where they are at hand.
"""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated

import anyio
import msgspec
from msgspec import Meta, Struct

from daemon.answers import TipView, VerdictView
from daemon.api.asked import Asked
from daemon.api.sentences import sentence
from daemon.errors import Failed
from daemon.ports import Tell
from events import audit as proof
from events import codec
from events.audit import Line as ExportLine
from events.envelope import Record, Who
from events.facts import START, CacheName, Position, cache_stream

BEAT_SECONDS = 15.0
"""A quiet stream sends a blank line so often, so that both sides see that the other lives."""
GATHER_BYTES = 64 * 1024
TOLD_EACH = 1_000
"""So many records are followed between two words of it."""

__all__ = ["EventLine", "EventsQuery", "ExportLine", "events", "export", "verify"]

_encoder = msgspec.json.Encoder()


class EventsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which events, and whether to stay for those to come.

    `after`: only those after this position. `last`: of these only the last so many. `cache`:
    only those of this cache. `follow`: go on with each new event.
    """

    after: Annotated[int, Meta(ge=0)] = 0
    last: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    cache: str | None = None
    follow: bool = False


class EventLine(Struct, frozen=True, omit_defaults=True):
    """One event of the history; `event` is what is stored, `sentence` is for people."""

    position: int
    at: datetime
    stream: str
    who: Who
    commit_id: str
    hash: str
    sentence: str
    event: msgspec.Raw
    key: str | None = None
    cause: int | None = None


async def events(asked: Asked) -> AsyncGenerator[bytes, None]:
    """The history after a position, and then, when followed, all that is added to it."""
    query = asked.queried(EventsQuery)
    after = Position(query.after)
    if query.last is not None and query.cache is None:
        after = Position(max(after, asked.outside.ledger.state.position - query.last))
    if query.follow:
        yield b"\n"
    async with aclosing(_told(asked, query, after)) as history:
        async for lines, reached in history:
            after = reached
            yield lines
    while query.follow:
        lines, after = await _added(asked, query, after)
        yield lines or b"\n"


async def _added(asked: Asked, query: EventsQuery, after: Position) -> tuple[bytes, Position]:
    """The next lines, or none when there is none for a while."""
    ledger = asked.outside.ledger
    rest = EventsQuery(cache=query.cache)
    lines = b""
    with anyio.move_on_after(BEAT_SECONDS):
        while not lines:
            state = ledger.state
            if state.position <= after:
                await ledger.changed(state)
            else:
                lines, after = await _new(asked, rest, after)
    return lines, after


async def _new(asked: Asked, query: EventsQuery, after: Position) -> tuple[bytes, Position]:
    """All lines after a position, and the position that they reach."""
    found = []
    async with aclosing(_told(asked, query, after)) as history:
        async for lines, reached in history:
            found.append(lines)
            after = reached
    return b"".join(found), after


async def _told(
    asked: Asked, query: EventsQuery, after: Position
) -> AsyncGenerator[tuple[bytes, Position], None]:
    """Gathered lines, each with the position that has been looked at by then."""
    wanted = query.cache and cache_stream(CacheName(query.cache))
    lines: deque[bytes] = deque(maxlen=query.last if query.cache else None)
    size = 0
    async with aclosing(asked.outside.ledger.records(after)) as records:
        async for record in records:
            after = record.position
            if wanted and record.envelope.stream != wanted:
                continue
            line = _line(record)
            lines.append(line)
            size += len(line)
            if size >= GATHER_BYTES and lines.maxlen is None:
                yield b"".join(lines), after
                lines.clear()
                size = 0
    yield b"".join(lines), after


def _line(record: Record) -> bytes:
    envelope = record.envelope
    line = EventLine(
        position=record.position,
        at=envelope.at,
        stream=envelope.stream,
        who=envelope.who,
        commit_id=envelope.commit_id,
        hash=record.hash.hex(),
        sentence=sentence(codec.decode(record.data, record.position)),
        event=msgspec.Raw(record.data),
        key=envelope.key.key if envelope.key else None,
        cause=envelope.cause,
    )
    return _encoder.encode(line) + b"\n"


async def export(asked: Asked) -> AsyncGenerator[bytes, None]:
    """The whole log with its hashes, so that a stranger can check it (L8)."""
    gathered: list[bytes] = []
    size = 0
    async with (
        aclosing(asked.outside.ledger.records(START)) as records,
        aclosing(proof.export(records)) as lines,
    ):
        async for line in lines:
            gathered.append(line)
            size += len(line)
            if size >= GATHER_BYTES:
                yield b"".join(gathered)
                gathered, size = [], 0
    yield b"".join(gathered)


async def verify(asked: Asked) -> VerdictView:
    """Follow the chain to its end, and compare it with what the vaults remember of it.

    Raises `LogCorrupt` where the chain breaks, `Failed("log-set-back")` or
    `Failed("log-replaced")` where a vault remembers another one.
    """
    asked.tell("asking the vaults what they remember")
    tips = await asked.outside.tips()
    ahead = asked.outside.ledger.state.position
    found: dict[int, str] = {tip.position: "" for tip in tips if tip.position is not None}
    async with (
        aclosing(asked.outside.ledger.records(START)) as records,
        aclosing(_noting(_counted(records, asked.tell, ahead), found)) as noted,
    ):
        verdict = await proof.verify(noted)
    for tip in tips:
        if tip.position:
            _compare(tip, found[tip.position], verdict.head_position)
    return VerdictView(verdict.records, verdict.head_position, verdict.head_hash.hex(), tips)


async def _counted(
    records: AsyncGenerator[Record, None], tell: Tell, total: int
) -> AsyncGenerator[Record, None]:
    """The same records; it is told how many have come."""
    count = 0
    async for record in records:
        if not count % TOLD_EACH:
            tell("following the chain of events", count, max(total, count))
        count += 1
        yield record


async def _noting(
    records: AsyncGenerator[Record, None], found: dict[int, str]
) -> AsyncGenerator[Record, None]:
    """The same records, and the hashes at the wanted positions."""
    async for record in records:
        if record.position in found:
            found[record.position] = record.hash.hex()
        yield record


def _compare(tip: TipView, found: str, head: Position) -> None:
    """A log that was cut, or set back to an older copy, is a whole chain in itself."""
    if found == tip.hash:
        return
    what = f"Backup {tip.backup_id} in vault {tip.vault!r}"
    if not found:
        raise Failed(
            "log-set-back",
            f"The log went back from {tip.position} to {head}: {what} was written when it "
            f"had {tip.position} events.",
            "The log's file was cut or replaced by an older copy. Delete nothing until you know "
            "which; backups that the log has forgotten are still in the vault: `valkeep recover` "
            "shows them.",
        )
    raise Failed(
        "log-replaced",
        f"{what} remembers another event at position {tip.position} than the log has.",
        "Somebody wrote the log anew. Keep it, and look for a copy of the old one.",
    )
