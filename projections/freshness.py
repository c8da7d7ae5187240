"""Freshness: which scheduled backups there should be by now, and what has not been made up for.

Pure. Only scheduled backups count (A12): a manual one is a fact to mention, a safety one is not
even that. Whether it is bad, and what to do, is said elsewhere.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from immutables import Map

from events.facts import CacheName, Occurrence, Policy
from projections.caches import Cache
from projections.catalog import Backup
from projections.occurrences import occurrences
from projections.retention import by_age, taken_at
from projections.slots import Outcome, Slot
from projections.state import State

LOOK_BACK = timedelta(days=5)
"""Further back than the last window that closed, whatever a zone leaves out."""
_BAD: frozenset[Outcome] = frozenset({"given-up", "skipped", "missed", "cancelled"})


def newest_good(state: State, name: CacheName, now: datetime) -> Backup | None:
    """The newest good scheduled backup of a cache, by its snapshot (`by_age`)."""
    return _newest(state, name, now, lambda backup: backup.kind == "auto")


def newest_of_any(state: State, name: CacheName, now: datetime) -> Backup | None:
    """The newest good backup of a cache that is no safety one, by its snapshot (`by_age`)."""
    return _newest(state, name, now, lambda backup: backup.kind != "safety")


def _newest(
    state: State, name: CacheName, now: datetime, wanted: Callable[[Backup], bool]
) -> Backup | None:
    of_cache = state.catalog.get(name, Map())
    good = (b for b in of_cache.values() if b.good and wanted(b))
    return max(good, key=by_age(now), default=None)


def expected(state: State, cache: Cache, policy: Policy, now: datetime) -> Occurrence | None:
    """The last occurrence that should have left a backup by now; None when none has closed.

    It opened under this policy and has closed, and nothing that was begun for it is still
    under way: the window limits starts, not durations (A6).
    """
    # A policy that was set by a clock that was ahead must not keep us quiet until then.
    since = cache.scheduled_since if cache.scheduled_since <= now else now - LOOK_BACK
    found = [
        occurrence
        for occurrence in occurrences(policy, since=max(since, now - LOOK_BACK), until=now)
        if occurrence.opens_at < occurrence.closes_at <= now
    ]
    under_way = [slot for slot in state.slots.get(cache.name, ()) if slot.outcome == "open"]
    for occurrence in reversed(found):
        if not any(_is_for(slot, occurrence) for slot in under_way):
            return occurrence
    return None


def _is_for(slot: Slot, occurrence: Occurrence) -> bool:
    if slot.occurrence is not None and slot.occurrence.key == occurrence.key:
        return True
    begun = slot.begun_at
    return begun is not None and occurrence.opens_at <= begun < occurrence.closes_at


def covers(backup: Backup, occurrence: Occurrence, now: datetime) -> bool:
    """Whether a backup is what an occurrence should have left, or newer than that.

    One that a clock has dated ahead of `now` covers nothing but its own.
    """
    mine = backup.occurrence is not None and backup.occurrence.key == occurrence.key
    return mine or occurrence.opens_at <= taken_at(backup) <= now


def unrepaired(state: State, name: CacheName, now: datetime) -> Iterator[Slot]:
    """What was given up, skipped, missed or cancelled, and no later good backup has made up for.

    Oldest record first. What a clock that was ahead has settled is of no account until then.
    """
    newest = newest_good(state, name, now)
    for slot in state.slots.get(name, ()):
        if slot.outcome in _BAD and _since(slot) <= now and not _repaired(slot, newest, now):
            yield slot


def _since(slot: Slot) -> datetime:
    return slot.occurrence.opens_at if slot.occurrence is not None else slot.noted_at


def _repaired(slot: Slot, newest: Backup | None, now: datetime) -> bool:
    if newest is None:
        return False
    if slot.occurrence is not None:
        return covers(newest, slot.occurrence, now)
    return slot.noted_at <= taken_at(newest) <= now
