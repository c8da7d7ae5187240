"""Deciding on caches: adding, changing, removing, and the ones a file declares (C1-C3, A10)."""

from daemon.commands import (
    AddCache,
    DeclaredCache,
    ReconcileCaches,
    RecordCache,
    RemoveCache,
    SetCache,
)
from daemon.decide.decision import Context, Decision, checked_cache_name, known_cache
from daemon.errors import Rejected
from events.facts import INSTALLATION, CacheName
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
from projections.restores import Restore
from projections.state import State


def decide(
    state: State, command: RecordCache | RemoveCache | ReconcileCaches, context: Context
) -> Decision:
    """The events of one command about caches."""
    del context
    match command:
        case RecordCache():
            return Decision((_recorded(state, command),))
        case RemoveCache():
            return Decision(_removed(state, command))
        case ReconcileCaches():
            return Decision(_reconciled(state, command), frozenset({INSTALLATION}))


def _recorded(state: State, command: RecordCache) -> Event:
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
                raise _declared(name)
            return CacheReconfigured(cache=name, settings=command.settings, probe=command.probe)


def _declared(name: str) -> Rejected:
    return Rejected(
        "cache-declared",
        f"The cache {name!r} is declared in the configuration file.",
        f"Edit [caches.{name}] there and reload the daemon (SIGHUP).",
    )


def _removed(state: State, command: RemoveCache) -> tuple[Event, ...]:
    cache = known_cache(state, command.name)
    if cache.declared and cache.suspended is None:
        raise _declared(cache.name)
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
    )


def _reconciled(state: State, command: ReconcileCaches) -> tuple[Event, ...]:
    declared = {cache.name: cache for cache in command.declared}
    events = [_agreed(state, cache) for _, cache in sorted(declared.items())]
    gone = [
        CacheSuspended(cache=name, reason=f"it is no longer declared in {command.file}")
        for name, cache in sorted(state.caches.items())
        if cache.declared and cache.suspended is None and name not in declared
    ]
    return (*(event for event in events if event is not None), *gone)


def _agreed(state: State, declared: DeclaredCache) -> Event | None:
    name = CacheName(declared.name)
    known = state.caches.get(name)
    if known is None:
        return CacheRegistered(cache=name, settings=declared.settings, declared=True)
    if known.settings == declared.settings and known.declared and known.suspended is None:
        return None
    return CacheReconfigured(cache=name, settings=declared.settings, declared=True)
