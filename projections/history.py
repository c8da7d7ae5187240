"""History: what became of each backup that was asked for lately, also of those that are gone.

The state forgets what is deleted and most of what has failed; this fold of the last days' records
does not. It begins in the middle of the log: what it was not told the beginning of, it leaves out.
"""

from datetime import datetime
from typing import Literal

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from events.envelope import Envelope
from events.facts import (
    BackupId,
    BackupKind,
    BackupName,
    CacheName,
    Occurrence,
    Position,
    ProofLevel,
    SnapshotFacts,
    StoredFacts,
    VaultName,
)
from events.proofs import BackupVerified, VerificationAbandoned, VerificationFailed
from events.recoveries import BackupRecovered
from events.suspicions import BackupSuspected, SuspicionAcknowledged
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCancelled,
    BackupCompleted,
    BackupDeleted,
    BackupFailed,
    BackupRequested,
    BackupSkipped,
    DeletionRequested,
    Event,
    SnapshotTaken,
    WindowMissed,
)
from projections.proofs import LEVELS
from projections.troubles import Trouble, trouble_of

Ending = Literal["open", "complete", "failed", "skipped", "cancelled"]


class Taken(Struct, frozen=True):
    """What is kept of a snapshot's facts: there may be very many."""

    taken_at: datetime
    fork_seconds: float | None = None
    copy_on_write_bytes: int | None = None


class Stored(Struct, frozen=True):
    """What is kept of a stored backup's facts."""

    plain_bytes: int
    stored_bytes: int


class Story(Struct, frozen=True):
    """One backup from its request on; `failures` are its failed attempts.

    `refuted` says that it was found damaged, at `refuted_level`, and that nothing has disproved
    that. `gone_at` is when its deletion was wanted: from then on it is no longer listed.
    """

    backup_id: BackupId
    cache: CacheName
    kind: BackupKind
    name: BackupName
    vault: VaultName
    requested_at: datetime
    occurrence: Occurrence | None = None
    ending: Ending = "open"
    attempts: int = 0
    failures: int = 0
    started_at: datetime | None = None
    snapshot: Taken | None = None
    stored: Stored | None = None
    completed_at: datetime | None = None
    level: ProofLevel | None = None
    refuted: bool = False
    refuted_level: ProofLevel = "hashes"
    suspect: bool = False
    reason: str = ""
    gone_at: datetime | None = None

    @property
    def good(self) -> bool:
        """Whether it was completed and nothing speaks against it."""
        return self.ending == "complete" and not (self.refuted or self.suspect)

    @property
    def at(self) -> datetime:
        """The instant that it stands for: its snapshot's, or when it was asked for."""
        return self.snapshot.taken_at if self.snapshot else self.requested_at


class Missed(Struct, frozen=True):
    """An occurrence that nobody served."""

    occurrence: Occurrence
    reason: str


class Verified(Struct, frozen=True):
    """How a cache's verifications have ended."""

    passed: int = 0
    refuted: int = 0
    unproven: int = 0


class OfCache(Struct, frozen=True):
    """One cache's history."""

    stories: Map[BackupId, Story] = Map()
    missed: Map[Position, Missed] = Map()
    verified: Verified = Verified()


class History(Struct, frozen=True):
    """What the records of the last days tell, by cache; `troubles` by their position."""

    caches: Map[CacheName, OfCache] = Map()
    troubles: Map[Position, Trouble] = Map()


def taken(facts: SnapshotFacts) -> Taken:
    """What is kept of a snapshot."""
    return Taken(facts.taken_at, facts.fork_seconds, facts.copy_on_write_bytes)


def stored(facts: StoredFacts) -> Stored:
    """What is kept of a stored backup."""
    return Stored(facts.plain_bytes, facts.stored_bytes)


def evolve(history: History, envelope: Envelope, event: Event) -> History:
    """The history after one more record."""
    trouble = trouble_of(envelope, event)
    if trouble is not None:
        troubles = history.troubles.set(envelope.position, trouble)
        history = replace(history, troubles=troubles)
    cache: CacheName | None = getattr(event, "cache", None)
    if cache is None:
        return history
    mine = history.caches.get(cache, OfCache())
    changed = _of_cache(mine, envelope, event)
    if changed is mine:
        return history
    return replace(history, caches=history.caches.set(cache, changed))


def _of_cache(mine: OfCache, envelope: Envelope, event: Event) -> OfCache:
    match event:
        case BackupRequested():
            return _told(mine, _requested(envelope, event))
        case BackupRecovered():
            return _told(mine, _recovered(event))
        case WindowMissed():
            missed = Missed(event.occurrence, event.reason)
            return replace(mine, missed=mine.missed.set(envelope.position, missed))
    verified = _verified(mine.verified, event)
    if verified is not mine.verified:
        mine = replace(mine, verified=verified)
    known = mine.stories.get(getattr(event, "backup_id", None) or BackupId(""))
    if known is None:
        return mine
    story = _proven(_step(known, envelope, event), event)
    return mine if story is known else _told(mine, story)


def _told(mine: OfCache, story: Story) -> OfCache:
    return replace(mine, stories=mine.stories.set(story.backup_id, story))


def _requested(envelope: Envelope, event: BackupRequested) -> Story:
    return Story(
        backup_id=event.backup_id,
        cache=event.cache,
        kind=event.kind,
        name=event.name,
        vault=event.vault,
        requested_at=envelope.at,
        occurrence=event.occurrence,
    )


def _recovered(event: BackupRecovered) -> Story:
    return Story(
        backup_id=event.backup_id,
        cache=event.cache,
        kind=event.kind,
        name=event.name,
        vault=event.vault,
        requested_at=event.created_at,
        ending="complete",
        attempts=event.attempt,
        snapshot=taken(event.snapshot),
        stored=stored(event.stored),
        completed_at=event.created_at,
    )


def _step(story: Story, envelope: Envelope, event: Event) -> Story:
    """What the making of a backup adds to its story, and its end."""
    match event:
        case AttemptStarted():
            return replace(story, attempts=event.attempt, started_at=envelope.at, vault=event.vault)
        case SnapshotTaken():
            return replace(story, snapshot=taken(event.snapshot))
        case BackupFailed():
            reason = event.failure.message
            return replace(story, failures=story.failures + 1, reason=reason, snapshot=None)
        case BackupCompleted():
            return replace(
                story,
                ending="complete",
                stored=stored(event.stored),
                completed_at=envelope.at,
                reason="",
            )
        case BackupAbandoned():
            return replace(story, ending="failed", reason=story.reason or event.reason)
        case BackupSkipped():
            return replace(story, ending="skipped", reason=event.reason)
        case BackupCancelled():
            return replace(story, ending="cancelled", reason="somebody cancelled it")
        case DeletionRequested() | BackupDeleted():
            return replace(story, gone_at=story.gone_at or envelope.at)
        case _:
            return story


def _proven(story: Story, event: Event) -> Story:
    """What is learnt of a backup when it is there; a lower level disproves no damage."""
    match event:
        case BackupSuspected():
            return replace(story, suspect=True)
        case SuspicionAcknowledged():
            return replace(story, suspect=False)
        case VerificationFailed():
            return replace(story, refuted=True, refuted_level=event.level)
        case BackupVerified():
            level = event.receipt.level
            still = story.refuted and LEVELS.index(level) < LEVELS.index(story.refuted_level)
            return replace(story, level=level, refuted=still)
        case _:
            return story


def _verified(known: Verified, event: Event) -> Verified:
    match event:
        case BackupVerified():
            return replace(known, passed=known.passed + 1)
        case VerificationFailed():
            return replace(known, refuted=known.refuted + 1)
        case VerificationAbandoned():
            return replace(known, unproven=known.unproven + 1)
        case _:
            return known
