"""Deciding on caches: adding, changing, removing, and the ones a file declares (C1-C3, A10)."""

from collections.abc import Iterator

from daemon.commands import (
    AddCache,
    DeclaredCache,
    ReconcileCaches,
    RecordCache,
    RemoveCache,
    SetCache,
)
from daemon.decide.copy_proofs import given_up
from daemon.decide.decision import (
    Context,
    Decision,
    checked_cache_name,
    declared,
    known_cache,
    log_is_whole,
)
from daemon.decide.policies import changed, declared_events, policy_events
from daemon.decide.prices import price_events
from daemon.decide.schedule import settled
from daemon.errors import Rejected
from events.facts import INSTALLATION
from events.types import (
    BackupAbandoned,
    CacheReconfigured,
    CacheRegistered,
    CacheRemoved,
    CacheSuspended,
    DeletionRequested,
    Event,
    RestoreFailed,
)
from projections.caches import Cache
from projections.restores import Restore
from projections.state import State


def decide(
    state: State, command: RecordCache | RemoveCache | ReconcileCaches, context: Context
) -> Decision:
    """The events of one command about caches."""
    match command:
        case RecordCache():
            return Decision(_recorded_with_policy(state, command, context))
        case RemoveCache():
            return Decision(_removed(state, command))
        case ReconcileCaches():
            prices = price_events(state, command.prices)
            events = (*prices, *_reconciled(state, command, context))
            return Decision(events, frozenset({INSTALLATION}))


def _recorded_with_policy(
    state: State, command: RecordCache, context: Context
) -> tuple[Event, ...]:
    recorded = _recorded(state, command)
    if command.request.policy is None:
        return (recorded,)
    known = state.caches.get(recorded.cache)
    policy = changed(known, command.request.policy)
    return (recorded, *policy_events(state, recorded.cache, policy, context))


def _recorded(state: State, command: RecordCache) -> CacheRegistered | CacheReconfigured:
    name = checked_cache_name(command.request.name)
    match command.request:
        case AddCache():
            if name in state.caches:
                raise Rejected(
                    "cache-exists",
                    f"There is already a cache {name!r}.",
                    f"`valkeep cache set {name} …` changes it; `cache show {name}` shows it.",
                )
            return CacheRegistered(cache=name, settings=command.settings, probe=command.probe)
        case SetCache():
            cache = known_cache(state, name)
            if cache.declared and cache.suspended is None:
                raise declared(cache)
            return CacheReconfigured(cache=name, settings=command.settings, probe=command.probe)


def _removed(state: State, command: RemoveCache) -> tuple[Event, ...]:
    cache = known_cache(state, command.name)
    log_is_whole(state)
    if cache.declared and cache.suspended is None:
        raise declared(cache)
    events: list[Event] = []
    restore_id = state.active.get(cache.name)
    if restore_id is not None:
        events.append(_given_up(state.restores[restore_id]))
    for backup in sorted(state.catalog.get(cache.name, {}).values(), key=lambda b: b.backup_id):
        if backup.phase in ("waiting", "running"):
            events.append(
                BackupAbandoned(
                    cache=cache.name, backup_id=backup.backup_id, reason="the cache was removed"
                )
            )
        elif backup.phase == "complete" and backup.kind != "manual":
            events += given_up(state, backup, "Its cache was removed.")
            events.append(
                DeletionRequested(
                    cache=cache.name, backup_id=backup.backup_id, reason="cache-removed"
                )
            )
    return (*events, CacheRemoved(cache=cache.name))


def _given_up(restore: Restore) -> Event:
    """A restore that only waits to be undone must not keep a dead cache for ever."""
    if restore.phase != "undoing" or restore.failure is None:
        raise Rejected(
            "restore-running",
            f"Restore {restore.restore_id} into {restore.target!r} is still running.",
            "Wait for its end (`valkeep status`), then remove the cache.",
        )
    return RestoreFailed(
        cache=restore.target,
        restore_id=restore.restore_id,
        failure=restore.failure,
        undone=False,
        command="",
        by_hand=restore.plan.by_hand if restore.plan else (),
        serves="unknown",
    )


def _reconciled(state: State, command: ReconcileCaches, context: Context) -> tuple[Event, ...]:
    listed = {cache.name: cache for cache in command.declared}
    events: list[Event] = []
    for _, cache in sorted(listed.items()):
        events += _agreed(state, cache, command.file)
        events += declared_events(state, cache, context)
    for name, known in sorted(state.caches.items()):
        if known.declared and known.suspended is None and name not in listed:
            reason = f"it is no longer declared in {command.file}"
            events += settled(state, name, context)
            events.append(CacheSuspended(cache=name, reason=reason))
            events += _without_window(state, known, reason)
    return tuple(events)


def _without_window(state: State, cache: Cache, reason: str) -> Iterator[BackupAbandoned]:
    """Manual backups that wait: nothing would ever end that, and none is begun any more (C3).

    Auto backups wait on inside their windows, for the cache may come back in time.
    """
    for _, backup in sorted(state.catalog.get(cache.name, {}).items()):
        if backup.kind == "manual" and backup.phase == "waiting":
            why = f"its cache was suspended before it could start: {reason}"
            yield BackupAbandoned(cache=cache.name, backup_id=backup.backup_id, reason=why)


def _agreed(state: State, wanted: DeclaredCache, file: str) -> tuple[Event, ...]:
    known = state.caches.get(wanted.name)
    if known is None:
        return (
            CacheRegistered(cache=wanted.name, settings=wanted.settings, declared=True, file=file),
        )
    agreed = (known.settings, known.declared, known.file, known.suspended)
    if agreed == (wanted.settings, True, file, None):
        return ()
    return (
        CacheReconfigured(cache=wanted.name, settings=wanted.settings, declared=True, file=file),
    )
