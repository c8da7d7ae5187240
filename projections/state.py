"""The whole state: one immutable value, folded from the log record by record.

Composes the other folds and keeps the indexes that make queries cheap. Knows no clock;
what is true here is true because a record says so.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from events.alarms import AlarmRecord
from events.comparisons import ComparisonEvent, ComparisonRequested
from events.envelope import Envelope, IdempotencyKey
from events.facts import START, BackupId, CacheName, InstallationId, Position, RestoreId, Stream
from events.hooks import HookEvent
from events.imports import ImportEvent
from events.prices import PricesSet
from events.proofs import (
    BackupVerified,
    VerificationAbandoned,
    VerificationFailed,
    VerificationRequested,
)
from events.recoveries import LogRecovered, LogWentBack
from events.transfers import ExportEvent, ExportRequested
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCancelled,
    BackupCompleted,
    BackupDeleted,
    BackupRequested,
    BackupSkipped,
    CacheReconfigured,
    CacheRegistered,
    CacheRemoved,
    CacheSuspended,
    DaemonStarted,
    DaemonStopped,
    DeletionRequested,
    Event,
    PolicySet,
    RestoreCompleted,
    RestoreFailed,
    RestoreInterrupted,
    RestorePlanned,
    RestoreRequested,
    RestoreStarted,
    RetentionExpired,
    SnapshotTaken,
    VaultExamined,
    WindowMissed,
)
from projections import (
    alarms,
    caches,
    catalog,
    comparisons,
    copies,
    exports,
    hooks,
    imports,
    notices,
    proofs,
    readings,
    recovery,
    restores,
    slots,
    tally,
    usage,
    vaults,
)
from projections.alarms import Book
from projections.caches import Caches
from projections.catalog import Backup, Catalog
from projections.comparisons import Comparisons
from projections.exports import Exports
from projections.hooks import Hooks
from projections.proofs import ProofEvent, Verifications
from projections.readings import OF_READINGS, Readings
from projections.recovery import Recovery
from projections.restores import Restores
from projections.slots import Slots
from projections.tally import Tallies
from projections.usage import OF_USAGE, Usage
from projections.vaults import Vaults

LEAP = timedelta(days=30)
_FREQUENT = (
    AttemptStarted,
    SnapshotTaken,
    BackupCompleted,
    BackupRequested,
    DeletionRequested,
    BackupDeleted,
)
"""Most of a log is these: they need not be compared with every other event first."""


_OfInstallation = (
    DaemonStarted | DaemonStopped | VaultExamined | LogWentBack | LogRecovered | PricesSet
)


class Answered(Struct, frozen=True):
    """An idempotency key that has been used: for which body, and the records it led to (L4)."""

    body_sha256: str
    first: Position
    last: Position


class State(Struct, frozen=True):
    """Everything that is true after the record at `position`.

    `up` says that a start was recorded and no end after it.
    `open_backups` are those that need work (a start, a sweep, a deletion); `active` maps a
    target to the restore into it, and `changed_by` to the last one that changed its data;
    `held` counts what is reading a backup (R8, A11).
    `born_at` is the first record's instant: a clock that shows an earlier one is wrong.
    `leapt_at` is that of the last record that came `LEAP` after the one before it: either
    nobody was there for so long, or the clock was set, and retention had better wait.
    """

    position: Position = START
    born_at: datetime | None = None
    last_at: datetime | None = None
    leapt_at: datetime | None = None
    heads: Map[Stream, Position] = Map()
    installation: InstallationId | None = None
    started_at: datetime | None = None
    up: bool = False
    caches: Caches = Map()
    catalog: Catalog = Map()
    slots: Slots = Map()
    restores: Restores = Map()
    open_backups: Map[BackupId, CacheName] = Map()
    active: Map[CacheName, RestoreId] = Map()
    changed_by: Map[CacheName, RestoreId] = Map()
    verifications: Verifications = Map()
    exports: Exports = Map()
    exporting: Exports = Map()
    comparisons: Comparisons = Map()
    held: Map[BackupId, int] = Map()
    readings: Readings = Map()
    keys: Map[tuple[int, str], Answered] = Map()
    vaults: Vaults = Map()
    recovery: Recovery = Recovery()
    tallies: Tallies = Map()
    hooks: Hooks = Hooks()
    alarms: Book = Book()
    usage: Usage = Usage()


def evolve(state: State, envelope: Envelope, event: Event) -> State:
    """The state after one more record."""
    state = replace(
        state,
        position=envelope.position,
        born_at=state.born_at or envelope.at,
        last_at=envelope.at,
        leapt_at=_leapt(state, envelope.at),
        heads=state.heads.set(envelope.stream, envelope.position),
        keys=_keys(state, envelope.key, envelope.position),
        tallies=tally.evolve(state.tallies, event),
        hooks=hooks.evolve(state.hooks, state.catalog, envelope, event),
        alarms=_alarms(state, envelope, event),
    )
    if isinstance(event, _FREQUENT):
        return _backup(state, envelope, event)
    if isinstance(event, HookEvent | AlarmRecord | RetentionExpired):
        return state
    if isinstance(event, ProofEvent | ExportEvent | ComparisonEvent | ImportEvent):
        return _reader(state, envelope, event)
    if isinstance(event, _OfInstallation):
        return _installation(state, envelope, event)
    match event:
        case CacheRegistered() | CacheReconfigured() | CacheSuspended() | PolicySet():
            return replace(state, caches=caches.evolve(state.caches, envelope, event))
        case CacheRemoved():
            without = state.slots.delete(event.cache) if event.cache in state.slots else state.slots
            changed = caches.evolve(state.caches, envelope, event)
            return replace(state, caches=changed, slots=without)
        case WindowMissed():
            return replace(state, slots=slots.evolve(state.slots, envelope, event))
        case (
            RestoreRequested()
            | RestorePlanned()
            | RestoreStarted()
            | RestoreCompleted()
            | RestoreInterrupted()
            | RestoreFailed()
        ):
            return _restore(state, envelope, event)
        case _:
            return _backup(state, envelope, event)


def _reader(
    state: State,
    envelope: Envelope,
    event: ProofEvent | ExportEvent | ComparisonEvent | ImportEvent,
) -> State:
    """What only reads backups, and holds them meanwhile; and what tells of imports."""
    if isinstance(event, ImportEvent):
        return _import(state, event)
    if isinstance(event, ExportEvent):
        return _export(state, envelope, event)
    if isinstance(event, ComparisonEvent):
        return _comparison(state, envelope, event)
    return _verification(state, envelope, event)


def _installation(
    state: State,
    envelope: Envelope,
    event: _OfInstallation,
) -> State:
    match event:
        case PricesSet():
            return replace(state, usage=usage.priced(state.usage, envelope, event))
        case DaemonStarted():
            return replace(state, installation=event.installation, started_at=envelope.at, up=True)
        case DaemonStopped():
            return replace(state, up=False)
        case VaultExamined():
            return replace(state, vaults=vaults.evolve(state.vaults, envelope, event))
        case LogWentBack():
            return replace(state, recovery=recovery.evolve(state.recovery, envelope, event))
        case LogRecovered():
            known = recovery.evolve(state.recovery, envelope, event)
            return replace(state, recovery=known, installation=event.installation)


def fold(records: Iterable[tuple[Envelope, Event]], state: State | None = None) -> State:
    """The state after all these records."""
    state = state or State()
    for envelope, event in records:
        state = evolve(state, envelope, event)
    return state


def _alarms(state: State, envelope: Envelope, event: Event) -> Book:
    """What is to be told; most records say nothing of that."""
    if isinstance(event, AlarmRecord):
        return alarms.evolve(state.alarms, envelope, event)
    if not state.alarms.channels:
        return state.alarms
    notice = notices.notice_of(envelope, event, state.catalog, state.restores)
    return state.alarms if notice is None else alarms.noticed(state.alarms, notice)


def _leapt(state: State, at: datetime) -> datetime | None:
    leap = state.last_at is not None and at - state.last_at > LEAP
    return at if leap else state.leapt_at


def _keys(
    state: State, key: IdempotencyKey | None, position: Position
) -> Map[tuple[int, str], Answered]:
    if key is None:
        return state.keys
    known = state.keys.get((key.uid, key.key))
    first = known.first if known else position
    return state.keys.set((key.uid, key.key), Answered(key.body_sha256, first, position))


def _backup(state: State, envelope: Envelope, event: catalog.CatalogEvent) -> State:
    changed = catalog.evolve(state.catalog, envelope, event)
    backup = catalog.get(changed, event.cache, event.backup_id)
    needs_work = backup is not None and (
        backup.unswept
        or backup.stuck
        or backup.phase in ("waiting", "running", "deleting")
        or copies.need_work(backup.copies)
    )
    is_open = state.open_backups
    if needs_work:
        is_open = is_open.set(event.backup_id, event.cache)
    elif event.backup_id in is_open:
        is_open = is_open.delete(event.backup_id)
    marked = state.slots
    if isinstance(event, _OfSlots):
        marked = slots.evolve(marked, envelope, event)
    before = catalog.get(state.catalog, event.cache, event.backup_id)
    held = _held(state.held, event.backup_id, _copied(backup) - _copied(before))
    used = state.usage
    if type(event) in OF_USAGE:
        used = usage.evolve(used, envelope, before=before, after=backup)
    back = state.readings
    if type(event) in OF_READINGS:
        back = readings.evolve(back, envelope, event)
    return replace(
        state,
        catalog=changed,
        open_backups=is_open,
        slots=marked,
        held=held,
        usage=used,
        readings=back,
    )


def _copied(backup: Backup | None) -> int:
    """How many copies read a backup now, or are to be read back."""
    return copies.reading(backup.copies) if backup else 0


def _held(held: Map[BackupId, int], backup_id: BackupId, more: int) -> Map[BackupId, int]:
    """How many read each backup, when so many more or fewer read one of them."""
    if not more:
        return held
    left = held.get(backup_id, 0) + more
    return held.set(backup_id, left) if left else held.delete(backup_id)


_OfSlots = (
    BackupRequested
    | AttemptStarted
    | BackupCompleted
    | BackupAbandoned
    | BackupCancelled
    | BackupSkipped
)


def _restore(state: State, envelope: Envelope, event: restores.RestoreEvent) -> State:
    changed = restores.evolve(state.restores, envelope, event)
    restore = changed[event.restore_id]
    active, held, changed_by = state.active, state.held, state.changed_by
    if restores.has_changed(event):
        changed_by = changed_by.set(event.cache, event.restore_id)
    if isinstance(event, RestoreRequested):
        active = active.set(event.cache, event.restore_id)
        held = _held(held, restore.backup_id, 1)
    elif isinstance(event, RestoreCompleted | RestoreFailed):
        active = active.delete(event.cache)
        held = _held(held, restore.backup_id, -1)
    return replace(state, restores=changed, active=active, changed_by=changed_by, held=held)


def _export(state: State, envelope: Envelope, event: ExportEvent) -> State:
    more = 1 if isinstance(event, ExportRequested) else -1
    held = _held(state.held, event.backup_id, more)
    changed = exports.evolve(state.exports, envelope, event)
    exporting = exports.open_after(state.exporting, changed[event.export_id])
    return replace(state, exports=changed, exporting=exporting, held=held)


def _comparison(state: State, envelope: Envelope, event: ComparisonEvent) -> State:
    changed = comparisons.evolve(state.comparisons, envelope, event)
    more, held = 1 if isinstance(event, ComparisonRequested) else -1, state.held
    for backup_id in changed[event.comparison_id].backups:
        held = _held(held, backup_id, more)
    return replace(state, comparisons=changed, held=held)


def _import(state: State, event: ImportEvent) -> State:
    of_cache = state.catalog[event.cache]
    known = of_cache[event.backup_id]
    changed = replace(known, origin=imports.evolve(known.origin, event))
    of_cache = of_cache.set(event.backup_id, changed)
    return replace(state, catalog=state.catalog.set(event.cache, of_cache))


def _verification(state: State, envelope: Envelope, event: ProofEvent) -> State:
    active, held = proofs.evolve(state.verifications, envelope, event), state.held
    if isinstance(event, VerificationRequested):
        held = _held(held, event.backup_id, 1)
    changed = state.catalog
    if isinstance(event, BackupVerified | VerificationFailed | VerificationAbandoned):
        held = _held(held, event.backup_id, -1)
        changed = catalog.evolve(changed, envelope, event)
    return replace(state, verifications=active, held=held, catalog=changed)
