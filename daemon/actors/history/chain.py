"""The copy of a log in a vault, read from its segments: one chain, as far as it goes.

Segments may overlap and may be damaged; only what follows by its hash from the very first
position is history. Beyond a hole the last words about caches are still worth knowing.
"""

from collections.abc import AsyncGenerator, Coroutine
from datetime import datetime

from anyio.lowlevel import checkpoint
from immutables import Map
from msgspec import Struct

from daemon.commands import FoundCache, FoundDeletion
from daemon.errors import Failed
from daemon.ports import Offload, Tell, untold
from daemon.storage.log_copies import list_segments, read_segment
from daemon.storage.sealing import Identities
from daemon.storage.segments import Segment, in_order
from daemon.storage.vault import Vault
from events import audit, codec
from events.chain import EMPTY
from events.envelope import Head, Record
from events.facts import START, CacheName, InstallationId, Position
from events.log import LogError
from events.types import (
    CacheReconfigured,
    CacheRegistered,
    CacheRemoved,
    CacheSuspended,
    DeletionRequested,
    Event,
    PolicySet,
)
from projections.state import State, evolve

READING = "reading the copy of the log"
BREATH = 200
"""Records that are folded before others get a turn on the event loop."""


class Chain(Struct, frozen=True):
    """What the copies tell. `whole` says that they are one chain from the first position on.

    `state` is what that chain led to; `caches` are the last words about each cache, also from
    behind a hole, and `deletions` what was to go. `last` is the highest position that any copy
    has, `last_at` the time of the last record that could be read.
    """

    whole: bool = False
    head: Head = EMPTY
    last: Position = START
    last_at: datetime | None = None
    installation: InstallationId | None = None
    state: State = State()
    caches: tuple[FoundCache, ...] = ()
    deletions: tuple[FoundDeletion, ...] = ()
    trouble: tuple[str, ...] = ()


class _Reading:
    """The chain as far as it was read."""

    def __init__(self) -> None:
        self.tip = EMPTY
        self.state = State()
        self.last_at: datetime | None = None
        self.seen = START
        self.caches: Map[CacheName, FoundCache] = Map()
        self.deletions: list[FoundDeletion] = []
        self.trouble: list[str] = []

    def take(self, before: Head, record: Record) -> bool:
        """One record that follows from `before`; whether it is the chain's next."""
        if record.position <= self.seen:
            return False
        event = codec.decode(record.data, record.position)
        self.seen, self.last_at = record.position, record.envelope.at
        self.caches = _last_words(self.caches, event)
        if isinstance(event, DeletionRequested):
            self.deletions.append(FoundDeletion(event.cache, event.backup_id, event.reason))
        if before != self.tip:
            if before.position == self.tip.position:
                self.trouble.append(f"the copies disagree from position {record.position} on")
            return False
        self.state = evolve(self.state, record.envelope, event)
        self.tip = Head(record.position, record.hash)
        return True


async def read_chain(
    vault: Vault, offload: Offload, identities: Identities | None, tell: Tell = untold
) -> Chain:
    """Read every copy of the log in a vault; raises what the vault raises, if that may pass."""
    segments = in_order(await list_segments(vault))
    reading = _Reading()
    for segment in segments:
        tell(READING, reading.seen, segments[-1].span.last)
        if segment.span.last > reading.tip.position:
            await _read(reading, read_segment(vault, segment, offload, identities), segment)
    last = max((one.span.last for one in segments), default=START)
    if reading.tip.position < last and not reading.trouble:
        reading.trouble.append(f"what follows position {reading.tip.position} is missing")
    return Chain(
        whole=START < last == reading.tip.position,
        head=reading.tip,
        last=last,
        last_at=reading.last_at,
        installation=reading.state.installation,
        state=reading.state,
        caches=tuple(found for _, found in sorted(reading.caches.items())),
        deletions=tuple(reading.deletions),
        trouble=tuple(reading.trouble),
    )


async def _read(
    reading: _Reading, lines: Coroutine[None, None, list[bytes]], segment: Segment
) -> None:
    """Take in one segment, or say what is wrong with it."""
    try:
        for number, line in enumerate(await lines):
            if number % BREATH == 0:
                await checkpoint()
            reading.take(*audit.told(line))
    except (Failed, LogError) as error:
        if isinstance(error, Failed) and not error.permanent:
            raise
        reading.trouble.append(f"{segment.name}: {error.message}")


async def records_of(
    vault: Vault, offload: Offload, identities: Identities | None
) -> AsyncGenerator[Record, None]:
    """The records of a whole chain once more, in order; ends where it does not go on."""
    tip = EMPTY
    for segment in in_order(await list_segments(vault)):
        if segment.span.last <= tip.position:
            continue
        for line in await read_segment(vault, segment, offload, identities):
            before, record = audit.told(line)
            if before == tip:
                tip = Head(record.position, record.hash)
                yield record


def _last_words(caches: Map[CacheName, FoundCache], event: Event) -> Map[CacheName, FoundCache]:
    match event:
        case CacheRegistered():
            return caches.set(event.cache, FoundCache(event.cache, event.settings))
        case CacheReconfigured():
            old = caches.get(event.cache)
            found = FoundCache(event.cache, event.settings, old.policy if old else None)
            return caches.set(event.cache, found)
        case PolicySet() if event.cache in caches:
            settings = caches[event.cache].settings
            return caches.set(event.cache, FoundCache(event.cache, settings, event.policy))
        case CacheRemoved() if event.cache in caches:
            return caches.delete(event.cache)
        case CacheSuspended():
            return caches
        case _:
            return caches
