"""Histories for the report: caches whose nights go well or not, told as events of a log.

Deterministic: what happens on a night follows from its number and the cache's. Folded by the real
projections, so that a page is made of what a daemon would answer.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

from msgspec import Struct
from msgspec.structs import replace

from daemon.answers import VaultView
from daemon.answers.report import Report
from daemon.api.report_view import Wanted, names_of, report_of
from daemon.api.views import Moment
from daemon.board import Board
from events.facts import (
    BackupId,
    BackupKind,
    BackupName,
    CacheName,
    Failure,
    Occurrence,
    Policy,
    Receipt,
    RestoreId,
    StoredFacts,
    VaultName,
    VerificationId,
    Window,
)
from events.proofs import BackupVerified, VerificationFailed, VerificationRequested
from events.suspicions import BackupSuspected, Suspicion
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCompleted,
    BackupDeleted,
    BackupFailed,
    BackupRequested,
    BackupSkipped,
    CacheRegistered,
    DeletionRequested,
    Event,
    LeftoversSwept,
    PolicySet,
    RestoreCompleted,
    RestoreFailed,
    RestorePlanned,
    RestoreRequested,
    RetentionExpired,
    RetryScheduled,
    SnapshotTaken,
    WindowMissed,
)
from projections import checks
from projections.catalog import listed
from projections.history import History
from projections.history import evolve as tell
from projections.state import State, evolve
from tests.support.given import At, envelopes
from tests.support.samples import MAIN, RESULT, SETTINGS, SNAPSHOT, STARTED, STORED, plan

NOW = datetime(2026, 3, 31, 9, 30, tzinfo=UTC)
MIB = 1024 * 1024
AWAY = Failure(
    "connection-refused",
    "orders at 10.0.0.7:6379 <refused> the connection & closed it.",
    "Start the server, or correct the address: `valkey-cli -h 10.0.0.7 ping`.",
)
FULL = Failure(
    "vault-full", "The vault main is full: no space left on device.", "Make room in the vault."
)
DAMAGED = Failure("block-hash", "Block 12 of 40 is not what was written.", "Make a new backup now.")
NAMES = (
    "orders",
    "sessions",
    "users-eu",
    "carts",
    "catalog",
    "pricing",
    "search-suggest",
    "feature-flags",
    "rate-limits",
    "recommendations",
    "inventory",
    "notifications",
    "payments-idempotency",
    "geo",
    "leaderboard",
    "chat-presence",
    "mail-queue",
    "thumbnails",
    "audit-cache",
    "a-cache-with-a-very-long-name-that-nobody-should-have-given-it",
)


class Fleet(Struct, frozen=True):
    """So many caches, backed up every night for so many days before `NOW`."""

    caches: int
    days: int
    retention_days: int = 14


class Night(Struct, frozen=True):
    """One cache's window of one day."""

    fleet: Fleet
    number: int
    day: int

    @property
    def cache(self) -> CacheName:
        """Whose night it is."""
        return CacheName(NAMES[self.number])

    @property
    def opens_at(self) -> datetime:
        """When the window opens."""
        date = (NOW - timedelta(days=self.fleet.days - 1 - self.day)).date()
        return datetime.combine(date, time(2, tzinfo=UTC))

    @property
    def backup_id(self) -> BackupId:
        """The id of the night's backup."""
        return BackupId(f"{self.opens_at:%Y%m%dT%H%M%SZ}-{self.number:08x}")

    @property
    def occurrence(self) -> Occurrence:
        """The window's instance."""
        closes = self.opens_at + timedelta(hours=2)
        return Occurrence(self.opens_at.date(), "02:00", self.opens_at, closes)

    @property
    def fate(self) -> str:
        """What becomes of it: the third cache has bad nights, the others few."""
        last = self.day == self.fleet.days - 1
        if self.number == 2 and last:
            return "fails"
        mark = (self.day * 7 + self.number * 5) % 31
        fates = {0: "retried", 4: "missed", 9: "fails", 13: "skipped", 17: "suspect", 22: "damaged"}
        lucky = self.number not in (0, 2) and mark not in (0, 9)
        return "good" if lucky or last else fates.get(mark, "good")


def events_of(fleet: Fleet) -> list[At]:
    """The whole log, in the order of time."""
    began = NOW - timedelta(days=fleet.days + 1)
    told = [At(began, STARTED)]
    policy = Policy(
        auto=True, retention_days=fleet.retention_days, windows=(Window("02:00", 120),), keep_last=1
    )
    for number in range(fleet.caches):
        name = CacheName(NAMES[number])
        told += [
            At(began, CacheRegistered(cache=name, settings=SETTINGS)),
            At(began, PolicySet(cache=name, policy=policy)),
        ]
        nights = [Night(fleet, number, day) for day in range(fleet.days)]
        told += [one for night in nights for one in (*_night(night), *_end(night))]
    if fleet.caches:
        told += _by_hand(Night(fleet, 0, fleet.days - 3))
    return sorted(told, key=lambda one: one.at)


def _by_hand(night: Night) -> Iterator[At]:
    """What people do: a manual backup, and restores of it, one of which fails."""
    at = night.opens_at + timedelta(hours=9)
    backup_id = BackupId(f"{at:%Y%m%dT%H%M%SZ}-0000beef")
    yield from _made(night, backup_id, at, kind="manual")
    for number, ended in enumerate((False, True)):
        restore = RestoreId(f"{at:%Y%m%dT%H%M%SZ}-0000cafe{number}")
        begins = at + timedelta(hours=1 + number)
        yield At(
            begins,
            RestoreRequested(
                cache=night.cache,
                restore_id=restore,
                backup_id=backup_id,
                backup_cache=night.cache,
                replace=True,
                safety_backup=False,
            ),
        )
        yield At(begins, RestorePlanned(cache=night.cache, restore_id=restore, plan=plan()))
        if ended:
            end: Event = RestoreCompleted(cache=night.cache, restore_id=restore, result=RESULT)
        else:
            end = RestoreFailed(
                cache=night.cache, restore_id=restore, failure=AWAY, undone=True, command="again"
            )
        yield At(begins + timedelta(minutes=4), end)


def _night(night: Night) -> Iterator[At]:
    at, cache, backup_id = night.opens_at + timedelta(minutes=9), night.cache, night.backup_id
    if night.fate == "missed":
        reason = "the daemon was not running"
        yield At(night.occurrence.closes_at, WindowMissed(cache, night.occurrence, reason))
        return
    if night.fate == "skipped":
        yield At(at, _asked(night, backup_id))
        reason = "the previous one was still running"
        closes = night.occurrence.closes_at
        yield At(closes, BackupSkipped(cache=cache, backup_id=backup_id, reason=reason))
        return
    attempts = {"retried": 1, "fails": 3}.get(night.fate, 0)
    if attempts:
        yield At(at, _asked(night, backup_id))
    for attempt in range(1, attempts + 1):
        yield from _failed(night, attempt, at + timedelta(minutes=10 * attempt))
    if night.fate == "fails":
        end = at + timedelta(minutes=31)
        gone = BackupAbandoned(cache=cache, backup_id=backup_id, reason="no attempt is left")
        yield At(end, gone)
        return
    begins = at + timedelta(minutes=25 * attempts)
    yield from _made(night, backup_id, begins, attempt=attempts + 1)
    yield from _judged(night, begins + timedelta(minutes=20))


def _failed(night: Night, attempt: int, at: datetime) -> Iterator[At]:
    cache, backup_id = night.cache, night.backup_id
    failure = FULL if night.number % 2 else AWAY
    begun = AttemptStarted(cache=cache, backup_id=backup_id, attempt=attempt, vault=MAIN)
    yield At(at, begun)
    at += timedelta(seconds=40)
    failed = BackupFailed(cache=cache, backup_id=backup_id, attempt=attempt, failure=failure)
    yield At(at, failed)
    yield At(at, LeftoversSwept(cache=cache, backup_id=backup_id))
    if attempt < 3:
        again = at + timedelta(minutes=9)
        yield At(at, RetryScheduled(cache=cache, backup_id=backup_id, retry_at=again))


def _asked(night: Night, backup_id: BackupId, kind: BackupKind = "auto") -> BackupRequested:
    return BackupRequested(
        cache=night.cache,
        backup_id=backup_id,
        kind=kind,
        name=BackupName(f"{kind}-{night.opens_at:%Y-%m-%d}"),
        vault=VaultName("main"),
        occurrence=night.occurrence if kind == "auto" else None,
    )


def stored_of(night: Night) -> StoredFacts:
    """Sizes that grow, with a wave in them."""
    wave = 1 + 0.08 * ((night.day * 3 + night.number) % 7) / 7
    plain = int((180 + 260 * night.number + 3 * night.day) * MIB * wave)
    if night.fate == "suspect":
        plain //= 10
    return replace(STORED, plain_bytes=plain, stored_bytes=int(plain * 0.34))


def _made(
    night: Night, backup_id: BackupId, at: datetime, *, attempt: int = 1, kind: BackupKind = "auto"
) -> Iterator[At]:
    cache, stored = night.cache, stored_of(night)
    if attempt == 1:
        yield At(at, _asked(night, backup_id, kind))
    begun = AttemptStarted(cache=cache, backup_id=backup_id, attempt=attempt, vault=MAIN)
    yield At(at, begun)
    seconds = stored.plain_bytes / MIB / 210
    snapshot = replace(
        SNAPSHOT,
        taken_at=at + timedelta(seconds=1),
        fork_seconds=round(seconds * 0.7, 2),
        copy_on_write_bytes=int((4 + night.day % 5) * MIB),
    )
    yield At(at, SnapshotTaken(cache=cache, backup_id=backup_id, snapshot=snapshot))
    done = BackupCompleted(cache=cache, backup_id=backup_id, stored=stored)
    yield At(at + timedelta(seconds=seconds), done)


def _judged(night: Night, at: datetime) -> Iterator[At]:
    cache, backup_id = night.cache, night.backup_id
    proof = VerificationId(f"{backup_id}-v")
    if night.fate == "suspect":
        reason = "its keys fell by 90 % from the median of the last 5"
        found = Suspicion(100, 1_000, 10, 100, 5, 50, reason)
        yield At(at, BackupSuspected(cache=cache, backup_id=backup_id, suspicion=found))
        return
    if night.fate != "damaged" and night.day % 2:
        return
    wanted = VerificationRequested(cache, backup_id, proof, cause="policy")
    yield At(at, wanted)
    if night.fate == "damaged":
        yield At(at, VerificationFailed(cache, backup_id, proof, level="hashes", failure=DAMAGED))
        return
    stored = stored_of(night)
    receipt = Receipt(
        "loaded", stored.stored_bytes, stored.plain_bytes, 2.0, load_seconds=4.5, keys=1_000
    )
    yield At(at, BackupVerified(cache, backup_id, proof, receipt=receipt))


def _end(night: Night) -> Iterator[At]:
    """Retention, when the backup's age is over; the newest ones are too young for it."""
    days = night.fleet.retention_days
    at = night.opens_at + timedelta(days=days, hours=3)
    if at > NOW or night.fate in ("missed", "skipped", "fails", "suspect"):
        return
    cache, backup_id = night.cache, night.backup_id
    over = RetentionExpired(cache, backup_id, night.opens_at, days, f"it is kept for {days} days")
    yield At(at, over)
    yield At(at, DeletionRequested(cache=cache, backup_id=backup_id, reason="retention"))
    yield At(at, BackupDeleted(cache=cache, backup_id=backup_id))


def answer(fleet: Fleet, *, days: int | None = None, only: str | None = None) -> Report:
    """What a daemon would answer about such a fleet at `NOW`."""
    state, history = State(), History()
    for envelope, event in envelopes(events_of(fleet), state):
        state = evolve(state, envelope, event)
        history = tell(history, envelope, event)
    name = None if only is None else CacheName(only)
    found = [line for portion in checks.judge(state, NOW, None, name) for line in portion]
    moment, lines = Moment(state, NOW, Board(_Still())), checks.ordered(found)
    held = [b.stored.stored_bytes for b in listed(state.catalog) if b.stored]
    vaults = (VaultView(MAIN, "file:///var/backups/valkeep", len(held), sum(held)),)
    names, _ = names_of(moment, name, lines)
    wanted = Wanted(days or fleet.days, name, "0.1.0", vaults, lines, names)
    return report_of(moment, history, wanted)


class _Still:
    """A clock that stands."""

    def now(self) -> datetime:
        """See `daemon.ports.Clock`."""
        return NOW
