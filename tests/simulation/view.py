"""What the checker knows: both sides of the line, and a book of its own on every backup.

The book is kept from the events alone, with none of the daemon's own reckoning; the state
beside it is the daemon's fold, for the comparison of the two.
"""

import re
from collections import Counter
from datetime import date, datetime

from msgspec import Struct, field
from msgspec.structs import replace

from events.copies import CopyCompleted
from events.envelope import Envelope, Record
from events.facts import BackupId, BackupKind, CacheName, Occurrence, Policy
from events.proofs import (
    BackupVerified,
    VerificationAbandoned,
    VerificationFailed,
    VerificationRequested,
)
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
    CacheReconfigured,
    CacheRegistered,
    CacheRemoved,
    CacheSuspended,
    DeletionRequested,
    Event,
    LeftoversStuck,
    LeftoversSwept,
    PolicySet,
    RetentionExpired,
    RetryScheduled,
    SnapshotTaken,
    WindowMissed,
)
from projections.state import State, evolve
from tests.simulation.far import Far
from tests.simulation.restore_book import RestoreBook
from tests.simulation.virtual import START

Key = tuple[int, date, str]
"""An occurrence of a cache: in which of its lives under this name, the day, and the start."""


class Entry(Struct):
    """What the events told of one backup."""

    backup_id: BackupId
    cache: CacheName
    kind: BackupKind
    asked_at: datetime
    term: int
    by_hand: bool
    occurrence: Occurrence | None
    start_before: datetime | None
    attempts: int = 0
    begun_at: datetime | None = None
    running: bool = False
    failed: BackupFailed | None = None
    failed_at: datetime | None = None
    retry_at: datetime | None = None
    taken_at: datetime | None = None
    outcome: str = ""
    stuck: frozenset[int] = frozenset()
    deletion: str = ""
    expired: bool = False
    keys: int = 0
    suspect: bool = False
    acknowledged: bool = False
    verifying: bool = False
    refuted: bool = False

    @property
    def key(self) -> Key | None:
        """The occurrence that it is for."""
        return None if self.occurrence is None else (self.term, *self.occurrence.key)


class Spell(Struct):
    """A stretch of time during which one policy made auto backups of a cache.

    It is `doubtful` when it began or ended while the clock was days ahead.
    """

    cache: CacheName
    term: int
    policy: Policy
    since: datetime
    until: datetime | None = None
    left_early: bool = False
    doubtful: bool = False


class Keeping(Struct):
    """What the events told of one cache; `before` is the policy that the last event replaced."""

    term: int = 0
    here: bool = False
    policy: Policy | None = None
    before: Policy | None = None
    suspended: bool = False
    configured_at: datetime | None = None
    spells: list[Spell] = field(default_factory=list)
    backups: dict[BackupId, Entry] = field(default_factory=dict)
    running: set[BackupId] = field(default_factory=set)
    successes: dict[Key, BackupId] = field(default_factory=dict)
    misses: Counter[Key] = field(default_factory=Counter)
    asked: set[Key] = field(default_factory=set)
    begun: list[datetime] = field(default_factory=list)

    @property
    def on(self) -> Policy | None:
        """The policy by which auto backups are made now, if any are."""
        works = self.here and not self.suspended and self.policy is not None and self.policy.auto
        return self.policy if works else None

    def copy(self) -> "Keeping":
        """The same, on its own from here on."""
        return replace(
            self,
            spells=[replace(spell) for spell in self.spells],
            backups={name: replace(entry) for name, entry in self.backups.items()},
            running=set(self.running),
            successes=dict(self.successes),
            misses=Counter(self.misses),
            asked=set(self.asked),
            begun=list(self.begun),
        )


class View(Struct):
    """The world as the checker sees it; `last` is the event or the effect just seen.

    `commit` holds all events of the commit that the last one is of; `calm_since` is the wall
    clock's time since which nothing has kept the daemon from acting, `wall` its time at the end.
    `spoilt` are the folders of copies that somebody has damaged, since when, until made anew.
    """

    far: Far
    state: State = State()
    last: Event | str = ""
    envelope: Envelope | None = None
    commit: tuple[Event, ...] = ()
    late_effects: bool = False
    calm_since: datetime | None = None
    wall: datetime = START
    clock_set: bool = False
    ahead: bool = False
    records: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    caches: dict[CacheName, Keeping] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    spoilt: dict[str, datetime] = field(default_factory=dict)
    spoilings: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    restores: RestoreBook = field(default_factory=RestoreBook)

    def copy(self, far: Far) -> "View":
        """The same knowledge, of a world that goes its own way from here on."""
        return replace(
            self,
            far=far,
            counts={kind: Counter(counts) for kind, counts in self.counts.items()},
            caches={name: keeping.copy() for name, keeping in self.caches.items()},
            folders=set(self.folders),
            spoilt=dict(self.spoilt),
            seen=Counter(self.seen),
            restores=self.restores.copy(),
        )

    def of(self, kind: type[Event]) -> Counter[str]:
        """How many events of a kind each backup has had."""
        return self.counts.setdefault(kind.__name__, Counter())

    @property
    def at(self) -> datetime:
        """When the last event was decided, by the daemon's own clock."""
        assert self.envelope is not None
        return self.envelope.at

    def keeping(self, cache: CacheName) -> Keeping:
        """The book of one cache."""
        return self.caches.setdefault(cache, Keeping())

    def entry(self, event: object) -> Entry:
        """The book's entry on the backup that an event is about."""
        cache: CacheName = getattr(event, "cache", CacheName(""))
        backup_id: BackupId = getattr(event, "backup_id", BackupId(""))
        return self.caches[cache].backups[backup_id]

    def record(self, record: Record, event: Event) -> None:
        """One more record is durable."""
        self.last, self.envelope = event, record.envelope
        self.state = evolve(self.state, record.envelope, event)
        self.records += 1
        self.of(type(event))[str(getattr(event, "backup_id", ""))] += 1
        _note(self, event)
        self.restores.event(self.far, self.state, event)

    def folder(self) -> str:
        """The attempt's folder in the vault that the last effect touched, or nothing."""
        found = _FOLDER.search(self.last) if isinstance(self.last, str) else None
        return found[0] if found else ""


_FOLDER = re.compile(r"caches/[^/]+/[^/]+/")


def folder_of(cache: CacheName, backup_id: BackupId, attempt: int) -> str:
    """Where an attempt stores: the first under the id, further ones beside it."""
    return f"caches/{cache}/{backup_id}" + ("/" if attempt == 1 else f".{attempt}/")


def _note(view: View, event: Event) -> None:
    """Enter an event into the book."""
    match event:
        case CacheRegistered() | CacheReconfigured() | PolicySet() | CacheSuspended():
            _of_cache(view, event)
        case CacheRemoved():
            _of_cache(view, event)
        case WindowMissed():
            keeping = view.keeping(event.cache)
            keeping.misses[(keeping.term, *event.occurrence.key)] += 1
        case BackupRequested():
            _asked(view, event)
        case (
            AttemptStarted()
            | SnapshotTaken()
            | BackupCompleted()
            | BackupFailed()
            | RetryScheduled()
            | BackupAbandoned()
            | BackupCancelled()
            | BackupSkipped()
        ):
            _of_attempt(view, event)
        case BackupDeleted():
            del view.caches[event.cache].backups[event.backup_id]
        case _:
            _of_entry(view, event)


def _of_entry(view: View, event: Event) -> None:
    """What becomes of a backup beside its attempts."""
    match event:
        case LeftoversStuck() | LeftoversSwept():
            entry, they = view.entry(event), frozenset(event.attempts)
            is_stuck = isinstance(event, LeftoversStuck)
            entry.stuck = entry.stuck | they if is_stuck else entry.stuck - they
        case BackupSuspected() | SuspicionAcknowledged():
            view.entry(event).suspect = isinstance(event, BackupSuspected)
            view.entry(event).acknowledged = isinstance(event, SuspicionAcknowledged)
        case RetentionExpired():
            view.entry(event).expired = True
        case CopyCompleted():
            entry = view.entry(event)
            view.spoilt.pop(folder_of(entry.cache, entry.backup_id, entry.attempts), None)
        case DeletionRequested():
            view.entry(event).deletion = event.reason
        case (
            VerificationRequested()
            | BackupVerified()
            | VerificationFailed()
            | VerificationAbandoned()
        ):
            _verified(view.entry(event), event)


def _verified(
    entry: Entry,
    event: VerificationRequested | BackupVerified | VerificationFailed | VerificationAbandoned,
) -> None:
    """In these worlds there is no engine: every proof is of the same level."""
    entry.verifying = isinstance(event, VerificationRequested)
    if isinstance(event, BackupVerified | VerificationFailed):
        entry.refuted = isinstance(event, VerificationFailed)


def _of_cache(
    view: View,
    event: CacheRegistered | CacheReconfigured | PolicySet | CacheSuspended | CacheRemoved,
) -> None:
    keeping, before = view.keeping(event.cache), view.keeping(event.cache).on
    keeping.before = before
    keeping.configured_at = view.at
    match event:
        case CacheRegistered():
            keeping.term, keeping.here, keeping.suspended = keeping.term + 1, True, False
            keeping.policy = None
        case CacheReconfigured():
            keeping.suspended = False
        case PolicySet():
            keeping.policy = event.policy
        case CacheSuspended():
            keeping.suspended = True
        case CacheRemoved():
            keeping.here = False
    if keeping.on != before:
        _turn(view, keeping, event.cache)


def _turn(view: View, keeping: Keeping, cache: CacheName) -> None:
    """One spell ends and another begins."""
    if keeping.spells and keeping.spells[-1].until is None:
        keeping.spells[-1].until = view.at
        keeping.spells[-1].left_early = not keeping.here
        keeping.spells[-1].doubtful |= view.ahead
    if keeping.on is not None:
        spell = Spell(cache, keeping.term, keeping.on, since=view.at, doubtful=view.ahead)
        keeping.spells.append(spell)


def _asked(view: View, event: BackupRequested) -> None:
    keeping = view.keeping(event.cache)
    assert view.envelope is not None
    entry = keeping.backups[event.backup_id] = Entry(
        backup_id=event.backup_id,
        cache=event.cache,
        kind=event.kind,
        asked_at=view.at,
        term=keeping.term,
        by_hand=view.envelope.who.kind == "user"
        and not any(isinstance(other, PolicySet | BackupSkipped) for other in view.commit),
        occurrence=event.occurrence,
        start_before=event.start_before,
    )
    if entry.key is not None:
        keeping.asked.add(entry.key)


def _of_attempt(
    view: View,
    event: AttemptStarted
    | SnapshotTaken
    | BackupCompleted
    | BackupFailed
    | RetryScheduled
    | BackupAbandoned
    | BackupCancelled
    | BackupSkipped,
) -> None:
    entry, keeping = view.entry(event), view.caches[event.cache]
    match event:
        case AttemptStarted():
            entry.attempts, entry.running = event.attempt, True
            if entry.begun_at is None and entry.kind == "auto":
                keeping.begun.append(view.at)
            entry.begun_at = entry.begun_at or view.at
            view.folders.add(folder_of(event.cache, event.backup_id, event.attempt))
        case SnapshotTaken():
            entry.taken_at = event.snapshot.taken_at
            entry.keys = sum(event.snapshot.server.keys.values())
        case RetryScheduled():
            entry.retry_at = event.retry_at
        case BackupFailed():
            entry.failed, entry.failed_at, entry.running = event, view.at, False
        case BackupCompleted():
            entry.outcome, entry.running = "complete", False
            _succeeded(keeping, entry)
        case BackupAbandoned() | BackupSkipped() | BackupCancelled():
            entry.running = False
            entry.outcome = _OUTCOMES[type(event)]
    keeping.running.discard(event.backup_id)
    if entry.running:
        keeping.running.add(event.backup_id)


_OUTCOMES: dict[type[Event], str] = {
    BackupAbandoned: "abandoned",
    BackupSkipped: "skipped",
    BackupCancelled: "cancelled",
}


def _succeeded(keeping: Keeping, entry: Entry) -> None:
    if entry.kind == "auto" and entry.key is not None:
        keeping.successes.setdefault(entry.key, entry.backup_id)
