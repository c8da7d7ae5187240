"""The catalog: every backup that was asked for and is not deleted, and how far it got.

A backup is listed once `BackupCompleted` is in the log and no deletion has been requested;
everything before and after is work, not a backup (S1).
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Literal

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from events.copies import (
    BackupCleared,
    CopyCompleted,
    CopyDeleted,
    CopyEvent,
    CopyFailed,
    CopyRequested,
    CopyStarted,
)
from events.copy_proofs import CopyProofEvent
from events.envelope import Envelope
from events.facts import (
    BackupId,
    BackupKind,
    BackupName,
    CacheName,
    Failure,
    Occurrence,
    RestoreId,
    SnapshotFacts,
    StoredFacts,
    VaultName,
)
from events.proofs import BackupVerified, VerificationAbandoned, VerificationFailed
from events.recoveries import BackupRecovered
from events.suspicions import BackupSuspected, Suspicion, SuspicionAcknowledged, SuspicionEvent
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCancelled,
    BackupCompleted,
    BackupDeferred,
    BackupDeleted,
    BackupFailed,
    BackupRequested,
    BackupSkipped,
    DeletionRequested,
    LeftoversStuck,
    LeftoversSwept,
    RetryScheduled,
    SnapshotTaken,
)
from projections import copies, copy_proofs, imports
from projections.copies import Copies
from projections.imports import Origin
from projections.proofs import UNPROVEN, Proof, judged

Phase = Literal["waiting", "running", "complete", "failed", "skipped", "cancelled", "deleting"]

KEPT_FAILURES = 20
"""How many given-up and swept backups of a cache are remembered; older ones are in the log."""


class Backup(Struct, frozen=True):
    """One backup. `unswept` says that an attempt's leftovers may lie in the vault.

    No attempt starts at or after `start_before` (A6). `abandoned` is why it was given up, skipped
    or cancelled, and `deferred` why it could not start when its instant came. A call of the
    attempts that are `stuck` has not returned: what they left is swept apart from the rest.
    `cleared` says that its own vault has confirmed the deletion, while a copy elsewhere is still
    to go. `recovered` says that the log knows it from its manifest alone (L6). One with an
    `origin` is an import: no server is asked for it (S4).
    """

    backup_id: BackupId
    cache: CacheName
    kind: BackupKind
    name: BackupName
    vault: VaultName
    requested_at: datetime
    requested_by: str
    restore_id: RestoreId | None = None
    occurrence: Occurrence | None = None
    start_before: datetime | None = None
    phase: Phase = "waiting"
    attempts: int = 0
    attempt_started_at: datetime | None = None
    not_before: datetime | None = None
    unswept: bool = False
    stuck: tuple[int, ...] = ()
    stuck_since: datetime | None = None
    stuck_doing: str = ""
    snapshot: SnapshotFacts | None = None
    stored: StoredFacts | None = None
    completed_at: datetime | None = None
    failure: Failure | None = None
    abandoned: str | None = None
    deferred: str | None = None
    deletion: Literal["command", "retention", "cache-removed"] | None = None
    copies: Copies = ()
    cleared: bool = False
    suspicion: Suspicion | None = None
    acknowledged_at: datetime | None = None
    proof: Proof = UNPROVEN
    recovered: bool = False
    origin: Origin | None = None

    @property
    def suspect(self) -> bool:
        """Whether the gate has flagged it and nobody has acknowledged that."""
        return self.suspicion is not None and self.acknowledged_at is None

    @property
    def good(self) -> bool:
        """Whether it counts (A11): complete, not found damaged, not suspect unacknowledged."""
        return self.phase == "complete" and self.proof.refuted is None and not self.suspect


OfCache = Map[BackupId, Backup]
Catalog = Map[CacheName, OfCache]
"""Keyed by cache first: a fold then copies one cache's small map, not all of them."""
NONE: OfCache = Map()

_Flag = CopyEvent | CopyProofEvent | SuspicionEvent
CatalogEvent = (
    BackupRequested
    | BackupDeferred
    | BackupSkipped
    | AttemptStarted
    | SnapshotTaken
    | BackupCompleted
    | BackupFailed
    | RetryScheduled
    | BackupAbandoned
    | BackupCancelled
    | LeftoversStuck
    | LeftoversSwept
    | DeletionRequested
    | BackupDeleted
    | _Flag
    | BackupVerified
    | VerificationFailed
    | VerificationAbandoned
    | BackupRecovered
)


def evolve(catalog: Catalog, envelope: Envelope, event: CatalogEvent) -> Catalog:
    """The catalog after one more event."""
    return catalog.set(event.cache, step(catalog.get(event.cache, NONE), envelope, event))


def step(of_cache: OfCache, envelope: Envelope, event: CatalogEvent) -> OfCache:
    """One cache's backups after one more event about one of them."""
    backup_id = event.backup_id
    match event:
        case BackupRequested():
            return of_cache.set(backup_id, _requested(envelope, event))
        case BackupDeleted():
            return of_cache.delete(backup_id)
        case BackupVerified() | VerificationFailed() | VerificationAbandoned():
            known = of_cache[backup_id]
            return of_cache.set(
                backup_id, replace(known, proof=judged(known.proof, envelope, event))
            )
        case BackupRecovered():
            return of_cache.set(backup_id, _recovered(envelope, event))
        case _:
            backup = _step(of_cache[backup_id], envelope, event)
            changed = of_cache.set(backup_id, backup)
            return _forget_old(changed, backup) if backup.abandoned else changed


def _requested(envelope: Envelope, event: BackupRequested) -> Backup:
    return requested_now(event, envelope.at, by=envelope.who.user or envelope.who.kind)


def requested_now(event: BackupRequested, at: datetime, *, by: str = "") -> Backup:
    """The backup that a request leads to, before anything else has become of it."""
    return Backup(
        backup_id=event.backup_id,
        cache=event.cache,
        kind=event.kind,
        name=event.name,
        vault=event.vault,
        requested_at=at,
        requested_by=by,
        restore_id=event.restore_id,
        occurrence=event.occurrence,
        start_before=event.start_before,
    )


def _recovered(envelope: Envelope, event: BackupRecovered) -> Backup:
    return Backup(
        backup_id=event.backup_id,
        cache=event.cache,
        kind=event.kind,
        name=event.name,
        vault=event.vault,
        requested_at=event.created_at,
        requested_by=envelope.who.user or envelope.who.kind,
        phase="complete",
        attempts=event.attempt,
        snapshot=event.snapshot,
        stored=event.stored,
        completed_at=event.created_at,
        recovered=True,
        origin=imports.recovered(event.snapshot),
    )


_Step = (
    BackupDeferred
    | BackupSkipped
    | AttemptStarted
    | SnapshotTaken
    | BackupCompleted
    | BackupFailed
    | RetryScheduled
    | BackupAbandoned
    | BackupCancelled
    | LeftoversStuck
    | LeftoversSwept
    | DeletionRequested
    | _Flag
)


def _step(backup: Backup, envelope: Envelope, event: _Step) -> Backup:
    match event:
        case AttemptStarted():
            return _started(backup, envelope, event)
        case SnapshotTaken():
            return replace(backup, snapshot=event.snapshot)
        case BackupCompleted():
            return _completed(backup, envelope, event)
        case DeletionRequested():
            going = copies.leaving(backup.copies) if backup.copies else ()
            return replace(backup, phase="deleting", deletion=event.reason, copies=going)
        case BackupDeferred():
            return replace(backup, deferred=event.reason)
        case BackupFailed():
            return replace(backup, phase="failed", failure=event.failure, snapshot=None)
        case RetryScheduled():
            return replace(backup, phase="waiting", not_before=event.retry_at)
        case BackupAbandoned() | BackupSkipped() | BackupCancelled():
            return _over(backup, envelope, event)
        case LeftoversStuck() | LeftoversSwept():
            return _of_leftovers(backup, envelope, event)
        case _:
            return _flagged(backup, envelope, event)


def _flagged(backup: Backup, envelope: Envelope, event: _Flag) -> Backup:
    """What happens to a complete backup without changing it."""
    if isinstance(event, CopyProofEvent):
        return replace(backup, copies=copy_proofs.evolve(backup.copies, envelope, event))
    match event:
        case BackupSuspected():
            return replace(backup, suspicion=event.suspicion)
        case SuspicionAcknowledged():
            return replace(backup, acknowledged_at=envelope.at)
        case BackupCleared():
            return replace(backup, cleared=True)
        case CopyRequested() | CopyStarted() | CopyCompleted() | CopyFailed() | CopyDeleted():
            return replace(backup, copies=copies.evolve(backup.copies, envelope, event))


def _over(
    backup: Backup, envelope: Envelope, event: BackupAbandoned | BackupSkipped | BackupCancelled
) -> Backup:
    if isinstance(event, BackupCancelled):
        by = cancelled_by(envelope)
        return replace(backup, phase="cancelled", abandoned=by, snapshot=None)
    phase: Phase = "failed" if isinstance(event, BackupAbandoned) else "skipped"
    return replace(backup, phase=phase, abandoned=event.reason, snapshot=None)


def cancelled_by(envelope: Envelope) -> str:
    """Who cancelled a backup, as the reason for its end."""
    return f"it was cancelled by {envelope.who.user or envelope.who.kind}"


def _of_leftovers(
    backup: Backup, envelope: Envelope, event: LeftoversStuck | LeftoversSwept
) -> Backup:
    if isinstance(event, LeftoversStuck):
        return replace(
            backup,
            unswept=False,
            stuck=tuple(sorted({*backup.stuck, *event.attempts})),
            stuck_since=backup.stuck_since or envelope.at,
            stuck_doing=event.doing,
        )
    if not event.attempts:
        return replace(backup, unswept=False)
    left = tuple(attempt for attempt in backup.stuck if attempt not in event.attempts)
    since = backup.stuck_since if left else None
    return replace(backup, stuck=left, stuck_since=since)


def _started(backup: Backup, envelope: Envelope, event: AttemptStarted) -> Backup:
    return replace(
        backup,
        phase="running",
        attempts=event.attempt,
        attempt_started_at=envelope.at,
        not_before=None,
        unswept=True,
        vault=event.vault,
    )


def _completed(backup: Backup, envelope: Envelope, event: BackupCompleted) -> Backup:
    return replace(
        backup,
        phase="complete",
        stored=event.stored,
        completed_at=envelope.at,
        unswept=False,
        failure=None,
    )


def _forget_old(of_cache: OfCache, changed: Backup) -> OfCache:
    """Drop the oldest finished failure when there are too many; the log still has it."""
    if not _is_over(changed):
        return of_cache
    done = sorted(b.backup_id for b in of_cache.values() if _is_over(b))
    return of_cache.delete(done[0]) if len(done) > KEPT_FAILURES else of_cache


def _is_over(backup: Backup) -> bool:
    return bool(backup.abandoned) and not (backup.unswept or backup.stuck)


def listed(catalog: Catalog, cache: CacheName | None = None) -> Iterator[Backup]:
    """Backups that exist, oldest snapshot first; of one cache or of all."""
    yield from _select(catalog, cache, lambda backup: backup.phase == "complete")


def unfinished(catalog: Catalog, cache: CacheName | None = None) -> Iterator[Backup]:
    """What waits, runs, has failed, was skipped or cancelled: asked for, and not a backup."""
    phases = ("waiting", "running", "failed", "skipped", "cancelled")
    yield from _select(catalog, cache, lambda backup: backup.phase in phases)


def _select(
    catalog: Catalog, cache: CacheName | None, wanted: Callable[[Backup], bool]
) -> Iterator[Backup]:
    names = catalog.keys() if cache is None else [cache]
    found = [b for name in names for b in catalog.get(name, Map()).values() if wanted(b)]
    yield from sorted(found, key=lambda backup: (backup.requested_at, backup.backup_id))


def find(catalog: Catalog, reference: str) -> tuple[Backup, ...]:
    """All living backups that a reference may mean: ``CACHE/NAME``, an id, or its beginning."""
    if "/" in reference:
        cache, _, name = reference.partition("/")
        return tuple(b for b in living(catalog, CacheName(cache)) if b.name == name)
    found = tuple(b for b in living(catalog) if b.backup_id.startswith(reference))
    exact = tuple(b for b in found if b.backup_id == reference)
    return exact or found


def living(catalog: Catalog, cache: CacheName | None = None) -> Iterator[Backup]:
    """Backups whose name is taken (M1): complete ones, and those still to be made."""
    yield from _select(
        catalog, cache, lambda backup: backup.phase in ("waiting", "running", "complete")
    )


def get(catalog: Catalog, cache: CacheName, backup_id: BackupId) -> Backup | None:
    """One backup by its full id."""
    return catalog.get(cache, NONE).get(backup_id)


def stored_in(catalog: Catalog, vault: VaultName) -> bool:
    """Whether any backup or copy lies in a vault, one that is being deleted included."""
    return any(
        (backup.stored is not None and backup.vault == vault)
        or any(copy.vault == vault and copy.completed_at for copy in backup.copies)
        for of_cache in catalog.values()
        for backup in of_cache.values()
    )
