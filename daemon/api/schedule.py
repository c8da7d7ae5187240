"""The schedule as an answer: the next starts in local time, and what became of the last one."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Annotated

from anyio.lowlevel import checkpoint
from msgspec import Meta, Struct

from daemon.answers import StartView
from daemon.answers.schedule import CacheSchedule, LastView, Outcome, PendingView, Schedule
from daemon.api.asked import Asked
from daemon.api.find import cache_named
from daemon.api.queries import moment_of
from daemon.api.views import Moment, backup_view, local_time, start_view
from events.facts import Policy
from projections import catalog
from projections.caches import Cache
from projections.catalog import Backup
from projections.checks import clock_is_impossible
from projections.policy import window_text, zone
from projections.schedule import starts
from projections.slots import Slot

AT_ONCE = 32
"""Caches that are looked at before others get a turn on the event loop."""


class ScheduleQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`cache`: of this one only. `count`: at most so many starts of each."""

    cache: str | None = None
    count: Annotated[int, Meta(ge=1, le=100)] = 1


async def schedule(asked: Asked) -> Schedule:
    """What starts when, of one cache or of all."""
    moment, query = moment_of(asked), asked.queried(ScheduleQuery)
    caches = [cache for _, cache in sorted(moment.state.caches.items())]
    if query.cache is not None:
        caches = [cache_named(moment.state, query.cache)]
    found = []
    for number, cache in enumerate(caches):
        if number % AT_ONCE == 0:
            await checkpoint()
        found.append(cache_schedule(moment, cache, query.count))
    return Schedule(now=moment.now, caches=tuple(found))


def cache_schedule(moment: Moment, cache: Cache, count: int) -> CacheSchedule:
    """One cache's schedule, with at most so many starts."""
    policy = cache.policy or Policy()
    idle = _idle(moment, cache)
    return CacheSchedule(
        cache=cache.name,
        auto=policy.auto,
        timezone=policy.timezone,
        windows=tuple(window_text(window) for window in policy.windows),
        idle=idle,
        starts=() if idle else _starts(moment, cache, count),
        pending=tuple(_pending(moment, cache, policy)),
        last=_last(moment, cache),
    )


def _idle(moment: Moment, cache: Cache) -> str | None:
    """Why no backup of a cache starts by itself, in a few words."""
    if cache.suspended is not None:
        return "suspended"
    policy = cache.scheduled
    if policy is None:
        return "auto backups are off"
    if not policy.windows:
        return "no windows"
    if zone(policy.timezone) is None:
        return "its time zone is not known here"
    if clock_is_impossible(moment.state, moment.now):
        return "the clock is wrong"
    return None


def _starts(moment: Moment, cache: Cache, count: int) -> tuple[StartView, ...]:
    coming = starts(moment.state, cache.name, moment.now)
    return tuple(start_view(cache, start) for start in islice(coming, count))


def _pending(moment: Moment, cache: Cache, policy: Policy) -> Iterator[PendingView]:
    for slot in moment.state.slots.get(cache.name, ()):
        backup = _backup_of(moment, cache, slot)
        if slot.outcome == "open" and backup is not None:
            retry, until = backup.not_before, backup.start_before
            yield PendingView(
                backup=backup_view(moment, backup),
                retry=local_time(retry, policy) if retry else None,
                start_before=local_time(until, policy) if until else None,
            )


_OUTCOMES: dict[str, Outcome] = {
    "complete": "complete",
    "given-up": "failed",
    "skipped": "skipped",
    "missed": "missed",
    "cancelled": "cancelled",
}


def _last(moment: Moment, cache: Cache) -> LastView | None:
    """The last that has ended; not what a clock that was ahead has settled before its time."""
    ended = [
        slot
        for slot in moment.state.slots.get(cache.name, ())
        if slot.outcome != "open" and slot.noted_at <= moment.now
    ]
    if not ended:
        return None
    slot = max(ended, key=lambda slot: slot.settled)
    backup = _backup_of(moment, cache, slot)
    failure = backup.failure if backup else None
    return LastView(
        outcome=_OUTCOMES[slot.outcome],
        at=(backup.completed_at if backup else None) or min(moment.now, _ended_about(slot, backup)),
        backup_id=slot.backup_id,
        name=backup.name if backup else None,
        occurrence=slot.occurrence,
        reason=slot.reason,
        hint=failure.hint if failure else "",
    )


def _ended_about(slot: Slot, backup: Backup | None) -> datetime:
    """About when something ended that was not completed; its own instant is in the log only."""
    if slot.outcome in ("missed", "skipped") and slot.occurrence is not None:
        return slot.occurrence.closes_at
    return (backup.attempt_started_at if backup else None) or slot.begun_at or slot.noted_at


def _backup_of(moment: Moment, cache: Cache, slot: Slot) -> Backup | None:
    if slot.backup_id is None:
        return None
    return catalog.get(moment.state.catalog, cache.name, slot.backup_id)
