"""Deciding on a log that lost something: noticing it, and taking over what a vault knows (L6).

Nothing that the log knows is changed by a recovery; what it knows already is passed over, so
that one which was cut off may be repeated. Commands of the lost part are not done again.
"""

from daemon.commands import FinishRecovery, FoundBackup, FoundCache, RecoverFound, ReportLogWentBack
from daemon.decide.decision import BACKUP_NAME, Decision, checked_cache_name
from events.facts import BackupName, CacheName
from events.recoveries import BackupRecovered, LogRecovered, LogWentBack
from events.types import (
    CacheRegistered,
    DeletionRequested,
    Event,
    PolicySet,
)
from projections import catalog
from projections.state import State


def decide(state: State, command: ReportLogWentBack | RecoverFound | FinishRecovery) -> Decision:
    """The events of one step of a recovery."""
    match command:
        case ReportLogWentBack():
            return Decision(_noticed(state, command))
        case RecoverFound():
            found = (*_caches(state, command), *_backups(state, command))
            return Decision((*found, *_deletions(state, command)))
        case FinishRecovery():
            return Decision((_finished(command),))


def _noticed(state: State, command: ReportLogWentBack) -> tuple[Event, ...]:
    if command.vault in state.recovery.ahead:
        return ()
    return (
        LogWentBack(
            vault=command.vault,
            known=command.known,
            here=command.here,
            witness=command.witness,
            forked=command.forked,
        ),
    )


def _finished(command: FinishRecovery) -> LogRecovered:
    return LogRecovered(
        vault=command.vault,
        installation=command.installation,
        backups=command.backups,
        caches=command.caches,
        former=command.former,
        imported=command.imported,
    )


def _caches(state: State, command: RecoverFound) -> tuple[Event, ...]:
    events: list[Event] = []
    for found in command.caches:
        if checked_cache_name(found.name) not in state.caches:
            events += _cache(found)
    return tuple(events)


def _cache(found: FoundCache) -> tuple[Event, ...]:
    registered = CacheRegistered(cache=found.name, settings=found.settings)
    if found.policy is None:
        return (registered,)
    return (registered, PolicySet(cache=found.name, policy=found.policy))


def _backups(state: State, command: RecoverFound) -> tuple[Event, ...]:
    events: list[Event] = []
    taken = {(b.cache, b.name) for b in catalog.living(state.catalog)}
    for found in command.backups:
        checked_cache_name(found.cache)
        if catalog.get(state.catalog, found.cache, found.backup_id) is None:
            name = _free_name(found, taken)
            taken.add((found.cache, name))
            events.append(_recovered(found, name, command))
    return tuple(events)


def _deletions(state: State, command: RecoverFound) -> tuple[Event, ...]:
    """What the lost part had marked to go, and perhaps has taken away already, goes now."""
    events: list[Event] = []
    for found in command.deletions:
        backup = catalog.get(state.catalog, found.cache, found.backup_id)
        if backup is not None and backup.phase == "complete" and found.backup_id not in state.held:
            events.append(
                DeletionRequested(cache=found.cache, backup_id=found.backup_id, reason=found.reason)
            )
    return tuple(events)


def _free_name(found: FoundBackup, taken: set[tuple[CacheName, BackupName]]) -> BackupName:
    """Its own name (M1), unless a living backup of the cache has it, or it is no name."""
    name = BackupName(found.name)
    if BACKUP_NAME.fullmatch(found.name) and (found.cache, name) not in taken:
        return name
    return BackupName(f"recovered-{found.backup_id}")


def _recovered(found: FoundBackup, name: BackupName, command: RecoverFound) -> BackupRecovered:
    return BackupRecovered(
        cache=found.cache,
        backup_id=found.backup_id,
        kind=found.kind,
        name=name,
        vault=command.vault,
        created_at=found.created_at,
        snapshot=found.snapshot,
        stored=found.stored,
        attempt=found.attempt,
    )
