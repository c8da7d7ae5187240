"""What must hold of restores and of their targets in every world, by name (R4-R8).

Written from the rules, the events and the servers themselves, not from the daemon's own steps.
"""

from collections.abc import Iterator

from events.types import (
    AttemptStarted,
    DeletionRequested,
    RestoreCompleted,
    RestoreFailed,
    RestorePlanned,
    RestoreStarted,
)
from projections import catalog
from projections.restores import Restore
from tests.simulation.restore_book import follows, restore_at, server_of
from tests.simulation.servers import NO_WRITES, Loading
from tests.simulation.view import View

Complaints = Iterator[str]
LATE = ", late"


def changes_are_recorded_first(view: View) -> Complaints:
    """R4: nothing is set on a target whose old value is not in the log, and nobody else's is."""
    if not isinstance(view.last, str) or not view.last.startswith("target CONFIG SET "):
        return
    if view.last.endswith(LATE):
        return
    restore, name = restore_at(view.state, view.last), view.last.split()[3]
    if restore is None or restore.started is None:
        yield f"{view.last}, and no restore into it has been started"
        return
    server = view.far.servers[view.last.rpartition(" at ")[2]]
    if restore.started.old_settings.get(name) != server.in_file[name]:
        yield f"{view.last}, and the log does not know that it was {server.in_file[name]!r}"


def targets_follow_us_once(view: View) -> Complaints:
    """R7: a target is made our replica once for a restore, and not when that was cut off."""
    if not isinstance(view.last, str) or not follows(view.last) or view.last.endswith(LATE):
        return
    restore = restore_at(view.state, view.last)
    if restore is None or restore.phase != "started":
        yield f"{view.last} by a restore that is {restore and restore.phase}"
    elif view.restores.followed[restore.restore_id] > 1:
        yield f"{view.last} again, for {restore.restore_id}"


def cut_off_restores_stay_ended(view: View) -> Complaints:
    """R7: what was interrupted is undone, and never goes on or is begun again by itself."""
    match view.last:
        case RestorePlanned() | RestoreStarted() | RestoreCompleted() as event:
            if event.restore_id in view.restores.interrupted:
                yield f"{event} after it was interrupted"


def only_the_backup_reaches_a_target(view: View) -> Complaints:
    """R5: what a target takes for whole is the backup that was asked for, to the last byte."""
    for loading, restore in _loaded(view):
        backup = catalog.get(view.state.catalog, restore.backup_cache, restore.backup_id)
        stored = backup.stored if backup else None
        if loading.sha256 not in view.far.snapshots or stored is None:
            yield f"{loading.url} took a dump that is none"
        elif loading.sha256 != stored.sha256:
            yield f"{loading.url} took another dump than that of {restore.backup_id}"


def last_writes_are_kept(view: View) -> Complaints:
    """R4: what a load replaces is in the safety backup, to the last write that was accepted."""
    for loading, restore in _loaded(view):
        of_cache = view.state.catalog[restore.target].values()
        safety = next((b for b in of_cache if b.restore_id == restore.restore_id), None)
        if safety is None or safety.phase != "complete" or safety.stored is None:
            yield f"{loading.url} has lost {loading.before!r}, and there is no safety backup"
            continue
        kept = view.far.marks.get(safety.stored.sha256)
        if loading.before not in (kept, _wanted(view, restore)):
            yield f"{loading.url} has lost {loading.before!r}, and kept is {kept!r}"


def _loaded(view: View) -> Iterator[tuple[Loading, Restore]]:
    if isinstance(view.last, str) and view.last.startswith("target bytes"):
        restore = restore_at(view.state, view.last)
        if restore is not None:
            yield from ((loading, restore) for loading in view.far.loadings)


def targets_are_left_free(view: View) -> Complaints:
    """R7: when a restore has ended its target is set as before, follows nobody, takes writes."""
    match view.last:
        case RestoreCompleted() | RestoreFailed():
            server = server_of(view.far, view.state, view.last.cache)
        case _:
            return
    if server is not None and (server.settings != server.in_file or server.primary):
        yield f"{server.url} is left with {server.settings}, following {server.primary!r}"


def nothing_stays_frozen(view: View) -> Complaints:
    """R7: at the end every server takes writes again, and none has ended because of us (R5)."""
    for server in view.far.servers.values():
        if server.primary or server.settings != server.in_file:
            yield f"{server.url} follows {server.primary!r}, set to {server.settings}"
        if server.settings["min-replicas-to-write"] == NO_WRITES or server.died:
            yield f"{server.url} takes no writes, or has ended: {server.died}"


def the_log_tells_what_is_served(view: View) -> Complaints:
    """R7: a restore that has ended tells truly whether its target has old data or new."""
    match view.last:
        case RestoreCompleted() | RestoreFailed() as event:
            restore = view.state.restores[event.restore_id]
            server = server_of(view.far, view.state, event.cache)
        case _:
            return
    began = view.restores.began.get(restore.restore_id)
    if server is None or began is None:
        return
    is_new = server.base == _wanted(view, restore)
    told = "new" if isinstance(event, RestoreCompleted) else event.serves
    restarted = restore.started is None or server.run_id != restore.started.run_id
    if told == "unknown" and not restarted:
        yield f"{restore.restore_id} does not know what {server.url} serves, which never stopped"
    if told == "new" and not is_new and not restarted:
        yield f"{restore.restore_id} says that its data is served, and it is {server.base!r}"
    if told == "old" and is_new and began != server.base:
        yield f"{restore.restore_id} says that the old data is served, and it is {server.base!r}"


def completed_means_durable(view: View) -> Complaints:
    """R6: a completed restore's data would be there again after a crash, or it says otherwise."""
    match view.last:
        case RestoreCompleted() as event:
            restore = view.state.restores[event.restore_id]
            server = server_of(view.far, view.state, event.cache)
        case _:
            return
    is_said = "in memory only" in event.result.durability
    if server is not None and server.disk_base != _wanted(view, restore) and not is_said:
        yield f"{server.url} would serve {server.disk_base!r} after a crash"


def undo_brings_back(view: View) -> Complaints:
    """R7: an undoing brings back exactly what the restore that it undoes had replaced."""
    match view.last:
        case RestoreCompleted() as event:
            restore = view.state.restores[event.restore_id]
            server = server_of(view.far, view.state, event.cache)
        case _:
            return
    undone, started = restore.undoes, restore.started
    if undone in view.restores.replaced and server is not None and started is not None:
        before = view.restores.replaced[undone]
        if server.base != before and server.run_id == started.run_id:
            yield f"{event.restore_id} brought {server.base!r} back, and it was {before!r}"


def restores_exclude_others(view: View) -> Complaints:
    """R8: no backup but its own safety one, and no deletion of what it reads, in a restore."""
    match view.last:
        case AttemptStarted() as event:
            restore_id = view.state.active.get(event.cache)
            backup = view.state.catalog[event.cache][event.backup_id]
            if restore_id is not None and backup.restore_id != restore_id:
                yield f"{event.backup_id} of {event.cache} begins in restore {restore_id}"
        case DeletionRequested() as event:
            reading = [view.state.restores[r].backup_id for r in view.state.active.values()]
            if event.backup_id in reading:
                yield f"{event.backup_id} is to go, and is being restored"
        case RestoreStarted() as event:
            if running := view.keeping(event.cache).running:
                yield f"{event.restore_id} starts while {sorted(running)} run"


def _wanted(view: View, restore: Restore) -> str:
    """The mark of the data that a restore is to bring."""
    backup = catalog.get(view.state.catalog, restore.backup_cache, restore.backup_id)
    sha256 = backup.stored.sha256 if backup and backup.stored else ""
    return view.far.marks.get(sha256, "?")


AFTER_EVENTS = (
    cut_off_restores_stay_ended,
    targets_are_left_free,
    the_log_tells_what_is_served,
    completed_means_durable,
    undo_brings_back,
    restores_exclude_others,
)
AFTER_EFFECTS = (
    changes_are_recorded_first,
    targets_follow_us_once,
    only_the_backup_reaches_a_target,
    last_writes_are_kept,
)
AT_THE_END = (nothing_stays_frozen,)
