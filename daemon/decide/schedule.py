"""Deciding on auto backups: asking for them, closing their windows, recording misses (A5-A9)."""

from datetime import timedelta

from msgspec.structs import replace

from daemon.commands import AdvanceSchedule, RequestAutoBackup
from daemon.decide.decision import (
    Context,
    Decision,
    known_cache,
    suspended,
)
from daemon.errors import Rejected
from events.facts import BackupId, BackupName, CacheName
from events.types import (
    BackupAbandoned,
    BackupDeferred,
    BackupRequested,
    BackupSkipped,
    Event,
    WindowMissed,
)
from projections import catalog
from projections.catalog import Backup, requested_now
from projections.schedule import Close, Miss, Open, Skip, Step, agenda, open_occurrence, passed
from projections.state import State
from projections.work import time_to_start, waits_for

WITHIN = timedelta(hours=1)
"""An auto backup made by command starts, retries included, within this time (A5b)."""


def decide(
    state: State, command: AdvanceSchedule | RequestAutoBackup, context: Context
) -> Decision:
    """The events of what is due, or of a person who does not want to wait for it."""
    match command:
        case AdvanceSchedule():
            steps = agenda(state, command.cache, context.now).steps
            return Decision(_events(state, steps, context))
        case RequestAutoBackup():
            return Decision(_by_hand(state, command, context))


def settled(state: State, name: CacheName, context: Context) -> tuple[Event, ...]:
    """What has passed for a cache by now, before its policy or its service changes.

    One commit may settle several caches: each has ids of its own.
    """
    return _events(state, passed(state, name, context.now), context.of(name))


def _events(state: State, steps: tuple[Step, ...], context: Context) -> tuple[Event, ...]:
    events: list[Event] = []
    closing = frozenset(step.backup.backup_id for step in steps if isinstance(step, Close))
    for number, step in enumerate(steps):
        match step:
            case Close(backup=backup):
                events.append(_closed(state, backup, context))
            case Miss(cache=name, occurrence=occurrence, reason=reason):
                events.append(WindowMissed(cache=name, occurrence=occurrence, reason=reason))
            case Open():
                wanted = _wanted(state, step, context.id_of(number))
                events += [wanted, *_deferred(state, wanted, closing, context)]
            case Skip(cache=name, reason=reason):
                wanted = _wanted(state, step, context.id_of(number))
                events += [
                    wanted,
                    BackupSkipped(cache=name, backup_id=wanted.backup_id, reason=reason),
                ]
    return tuple(events)


def _wanted(state: State, step: Open | Skip, new_id: str) -> BackupRequested:
    cache = state.caches[step.cache]
    occurrence = step.occurrence
    name = f"auto-{occurrence.day:%Y%m%d}-{occurrence.start.replace(':', '')}"
    return BackupRequested(
        cache=cache.name,
        backup_id=BackupId(new_id),
        kind="auto",
        name=_free(state, cache.name, name),
        vault=cache.settings.vault,
        occurrence=occurrence,
        start_before=occurrence.closes_at,
    )


def _free(state: State, cache: CacheName, name: str) -> BackupName:
    """The name, or with a number behind it if a living backup has it already (M1)."""
    taken = {backup.name for backup in catalog.living(state.catalog, cache)}
    free = BackupName(name)
    number = 1
    while free in taken:
        number += 1
        free = BackupName(f"{name}-{number}")
    return free


def _deferred(
    state: State, wanted: BackupRequested, closing: frozenset[BackupId], context: Context
) -> tuple[Event, ...]:
    """A7: what is in its way when its instant comes is told at once, and what waits is recorded."""
    asked = requested_now(wanted, context.now)
    reason = waits_for(state, asked, context.now, leaving=closing)
    if reason is None:
        return ()
    return (BackupDeferred(cache=wanted.cache, backup_id=wanted.backup_id, reason=reason),)


def _closed(state: State, backup: Backup, context: Context) -> BackupSkipped | BackupAbandoned:
    """The end of a backup that waited until its time to start was over (A6, A7)."""
    over, first = time_to_start(backup), " first"
    if backup.start_before is not None and backup.start_before > context.now:
        over, first = f"the clock was set back from {backup.requested_at:%Y-%m-%d}", ""
    if backup.attempts:
        last = f"; the last failure: {backup.failure.message}" if backup.failure else ""
        reason = f"{over} before the next attempt{last}"
        return BackupAbandoned(cache=backup.cache, backup_id=backup.backup_id, reason=reason)
    reason = f"{over}{first}: {_in_the_way(state, backup, context)}"
    return BackupSkipped(cache=backup.cache, backup_id=backup.backup_id, reason=reason)


def _in_the_way(state: State, backup: Backup, context: Context) -> str:
    """Why a backup was not begun: what is in its way, or was; or no place, or nobody there."""
    reason = waits_for(state, replace(backup, start_before=None), context.now)
    if reason is not None:
        return reason
    started_at, until = state.started_at, backup.start_before
    if started_at is not None and until is not None and until <= started_at:
        return "the daemon was not running"
    return backup.deferred or _crowded(state)


def _crowded(state: State) -> str:
    """Why a backup that nothing stood in the way of was not begun: no place, or nobody there."""
    running = [
        f"{backup.cache}/{backup.name}"
        for backup_id, cache in sorted(state.open_backups.items())
        if (backup := state.catalog[cache][backup_id]).phase == "running"
    ]
    if running:
        return f"all places were taken (max_backups, one a host), by {', '.join(running[:3])}"
    return "the daemon was not running, or was held up"


def _by_hand(state: State, command: RequestAutoBackup, context: Context) -> tuple[Event, ...]:
    """A5b: one now, for the open occurrence if there is one that nobody serves."""
    cache = known_cache(state, command.cache)
    if cache.suspended:
        raise suspended(cache)
    if cache.scheduled is None:
        raise Rejected(
            "auto-off",
            f"Auto backups of {cache.name!r} are off.",
            f"Turn them on (`valkeep policy set {cache.name} --auto`), or make a manual one: "
            f"`valkeep backup create {cache.name} NAME`.",
        )
    for other in catalog.unfinished(state.catalog, cache.name):
        if other.kind == "auto" and other.phase in ("waiting", "running"):
            raise _under_way(other)
    wanted = BackupRequested(
        cache=cache.name,
        backup_id=BackupId(context.new_id),
        kind="auto",
        name=_free(state, cache.name, f"auto-{context.now:%Y%m%d-%H%M%S}"),
        vault=cache.settings.vault,
        occurrence=open_occurrence(state, cache, context.now),
        start_before=context.now + WITHIN,
    )
    return (wanted, *_deferred(state, wanted, frozenset(), context))


def _under_way(other: Backup) -> Rejected:
    when = f"; its next attempt is at {other.not_before:%H:%M:%SZ}" if other.not_before else ""
    return Rejected(
        "auto-under-way",
        f"Auto backup {other.cache}/{other.name} is {other.phase} already{when}.",
        f"Follow it: `valkeep backup show {other.backup_id}`; or make a manual one.",
    )
