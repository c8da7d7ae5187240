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
_AT_WORK = frozenset({"waiting", "running", "deleting"})
_FREQUENT = (
    AttemptStarted,
    SnapshotTaken,
    BackupCompleted,
    BackupRequested,
    DeletionRequested,
    BackupDeleted,
)
"""Most of a log is these: they need not be compared with every other event first."""
_OF_SLOTS = (
    BackupRequested,
    AttemptStarted,
    BackupCompleted,
    BackupAbandoned,
    BackupCancelled,
    BackupSkipped,
)
# Made once: putting a union together takes longer than asking it.
_OfNothingHere = RetentionExpired | HookEvent | AlarmRecord
_Reader = ProofEvent | ExportEvent | ComparisonEvent | ImportEvent
_OfInstallation = (
    DaemonStarted | DaemonStopped | VaultExamined | LogWentBack | LogRecovered | PricesSet
)


Changed = dict[str, object]
"""New values of some of the state's fields, by name."""


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
    # First what looks at the state before the event; and one new state costs less than several.
    kind, at, hooked, book = type(event), envelope.at, state.hooks, state.alarms
    if kind in hooks.ABOUT:
        hooked = hooks.evolve(hooked, state.catalog, envelope, event)
    if book.channels or isinstance(event, AlarmRecord):
        book = _alarms(state, envelope, event)
    if isinstance(event, _FREQUENT):
        changed = _backup(state, envelope, event)
    else:
        changed = _rest(state, envelope, event)
    leapt = state.last_at is not None and at - state.last_at > LEAP
    return replace(
        state,
        position=envelope.position,
        born_at=state.born_at or at,
        last_at=at,
        leapt_at=at if leapt else state.leapt_at,
        heads=state.heads.set(envelope.stream, envelope.position),
        keys=_keys(state, envelope.key, envelope.position) if envelope.key else state.keys,
        tallies=tally.evolve(state.tallies, event) if kind in tally.COUNTED else state.tallies,
        hooks=hooked,
        alarms=book,
        **changed,
    )


def _rest(state: State, envelope: Envelope, event: Event) -> Changed:
    """What an event changes that is not among the most frequent ones."""
    if isinstance(event, _OfNothingHere):
        return {}
    if isinstance(event, _Reader):
        return _reader(state, envelope, event)
    if isinstance(event, _OfInstallation):
        return _installation(state, envelope, event)
    match event:
        case CacheRegistered() | CacheReconfigured() | CacheSuspended() | PolicySet():
            return {"caches": caches.evolve(state.caches, envelope, event)}
        case CacheRemoved():
            without = state.slots.delete(event.cache) if event.cache in state.slots else state.slots
            return {"caches": caches.evolve(state.caches, envelope, event), "slots": without}
        case WindowMissed():
            return {"slots": slots.evolve(state.slots, envelope, event)}
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


def _reader(state: State, envelope: Envelope, event: _Reader) -> Changed:
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
) -> Changed:
    match event:
        case PricesSet():
            return {"usage": usage.priced(state.usage, envelope, event)}
        case DaemonStarted():
            return {"installation": event.installation, "started_at": envelope.at, "up": True}
        case DaemonStopped():
            return {"up": False}
        case VaultExamined():
            return {"vaults": vaults.evolve(state.vaults, envelope, event)}
        case LogWentBack():
            return {"recovery": recovery.evolve(state.recovery, envelope, event)}
        case LogRecovered():
            known = recovery.evolve(state.recovery, envelope, event)
            return {"recovery": known, "installation": event.installation}


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
    notice = notices.notice_of(envelope, event, state.catalog, state.restores)
    return state.alarms if notice is None else alarms.noticed(state.alarms, notice)


def _keys(state: State, key: IdempotencyKey, position: Position) -> Map[tuple[int, str], Answered]:
    known = state.keys.get((key.uid, key.key))
    first = known.first if known else position
    return state.keys.set((key.uid, key.key), Answered(key.body_sha256, first, position))


def _backup(state: State, envelope: Envelope, event: catalog.CatalogEvent) -> Changed:
    backup_id, of_cache = event.backup_id, state.catalog.get(event.cache, catalog.NONE)
    before = of_cache.get(backup_id)
    of_cache = catalog.step(of_cache, envelope, event)
    after = of_cache.get(backup_id)
    changed: Changed = {"catalog": state.catalog.set(event.cache, of_cache)}
    if after is not None and _needs_work(after):
        if backup_id not in state.open_backups:
            changed["open_backups"] = state.open_backups.set(backup_id, event.cache)
    elif backup_id in state.open_backups:
        changed["open_backups"] = state.open_backups.delete(backup_id)
    if isinstance(event, _OF_SLOTS):
        changed["slots"] = slots.evolve(state.slots, envelope, event)
    if more := _copied(after) - _copied(before):
        changed["held"] = _held(state.held, backup_id, more)
    if type(event) in OF_USAGE:
        changed["usage"] = usage.evolve(state.usage, envelope, before=before, after=after)
    if type(event) in OF_READINGS:
        changed["readings"] = readings.evolve(state.readings, envelope, event)
    return changed


def _needs_work(backup: Backup) -> bool:
    """Whether something of a backup is to be made or to be removed."""
    if backup.unswept or backup.stuck or backup.phase in _AT_WORK:
        return True
    return bool(backup.copies) and copies.need_work(backup.copies)


def _copied(backup: Backup | None) -> int:
    """How many copies read a backup now, or are to be read back."""
    return copies.reading(backup.copies) if backup is not None and backup.copies else 0


def _held(held: Map[BackupId, int], backup_id: BackupId, more: int) -> Map[BackupId, int]:
    """How many read each backup, when so many more or fewer read one of them."""
    if not more:
        return held
    left = held.get(backup_id, 0) + more
    return held.set(backup_id, left) if left else held.delete(backup_id)


def _restore(state: State, envelope: Envelope, event: restores.RestoreEvent) -> Changed:
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
    return {"restores": changed, "active": active, "changed_by": changed_by, "held": held}


def _export(state: State, envelope: Envelope, event: ExportEvent) -> Changed:
    more = 1 if isinstance(event, ExportRequested) else -1
    held = _held(state.held, event.backup_id, more)
    changed = exports.evolve(state.exports, envelope, event)
    exporting = exports.open_after(state.exporting, changed[event.export_id])
    return {"exports": changed, "exporting": exporting, "held": held}


def _comparison(state: State, envelope: Envelope, event: ComparisonEvent) -> Changed:
    changed = comparisons.evolve(state.comparisons, envelope, event)
    more, held = 1 if isinstance(event, ComparisonRequested) else -1, state.held
    for backup_id in changed[event.comparison_id].backups:
        held = _held(held, backup_id, more)
    return {"comparisons": changed, "held": held}


def _import(state: State, event: ImportEvent) -> Changed:
    of_cache = state.catalog[event.cache]
    known = of_cache[event.backup_id]
    changed = replace(known, origin=imports.evolve(known.origin, event))
    of_cache = of_cache.set(event.backup_id, changed)
    return {"catalog": state.catalog.set(event.cache, of_cache)}


def _verification(state: State, envelope: Envelope, event: ProofEvent) -> Changed:
    active, held = proofs.evolve(state.verifications, envelope, event), state.held
    if isinstance(event, VerificationRequested):
        held = _held(held, event.backup_id, 1)
    changed = state.catalog
    if isinstance(event, BackupVerified | VerificationFailed | VerificationAbandoned):
        held = _held(held, event.backup_id, -1)
        changed = catalog.evolve(changed, envelope, event)
    return {"verifications": active, "held": held, "catalog": changed}
