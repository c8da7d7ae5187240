"""The forecast of a cache's backups: which will exist at the end of each day to come.

Pure. It assumes that the policy stays as it is, that each scheduled backup succeeds at its
instant, and that whoever reads a backup now has ended by then. What goes is decided by
`retention.verdicts`, the same function that expires backups.
"""

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from heapq import heappop, heappush
from zoneinfo import ZoneInfo

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from events.facts import BackupId, BackupName, CacheName, Occurrence, Policy
from projections.caches import Cache
from projections.catalog import Backup
from projections.occurrences import instant, occurrences, opening
from projections.policy import zone
from projections.retention import Terms, Verdict, guarded, kept_until, taken_at, verdicts
from projections.schedule import served
from projections.state import State

MOST_DAYS = 730
ASSUMED = "assumed-"
"""How the ids begin of backups that nobody has asked for yet."""
_DAY = timedelta(days=1)


class Fate(Struct, frozen=True):
    """One backup of the forecast: whether it is only assumed, and which day it goes, and why.

    It exists at the ends of the days ``first <= day < last``, counted from 0; it stays to the
    end of the forecast where `last` is None.
    """

    backup: Backup
    assumed: bool
    first: int
    last: int | None = None
    reason: str = ""


class DayEnd(Struct, frozen=True):
    """One day of the policy's zone, and its end as an instant."""

    day: date
    ends_at: datetime


class Forecast(Struct, frozen=True):
    """All days, and all backups that exist on any of them or go on the first; oldest first."""

    days: tuple[DayEnd, ...]
    fates: tuple[Fate, ...]


def simulate(state: State, name: CacheName, now: datetime, *, days: int) -> Forecast:
    """Which backups of a living cache will exist at the end of each of so many days.

    The first day is today, the rest of it. Raises `KeyError` for a cache that there is not.
    """
    cache = state.caches[name]
    ends = tuple(_day_ends(cache.policy or Policy(), now, days=days))
    coming = deque(_coming(state, cache, now, until=ends[-1].ends_at))
    terms = Terms(cache.policy or Policy(), suspended=cache.suspended is not None)
    walk = _Walk(terms, _stored(state, name))
    for number, end in enumerate(ends):
        while coming and taken_at(coming[0]) < end.ends_at:
            walk.add(coming.popleft(), day=number)
        walk.close(number, end.ends_at)
    return Forecast(ends, walk.fates())


class _Judged(Struct):
    """A backup on its way through the days."""

    backup: Backup
    assumed: bool = False
    first: int = 0
    last: int | None = None
    reason: str = ""


class _Walk:
    """Goes from day to day, and asks for verdicts where an age is over.

    Together with these it asks for the newest good scheduled ones, and for those that stay because
    of a suspicion, because the verdict on the others depends on them, and on nothing else.
    """

    def __init__(self, terms: Terms, there: list[Backup]) -> None:
        self._terms = terms
        self._all: list[_Judged] = []
        self._ages: list[tuple[datetime, BackupId]] = []
        self._there: dict[BackupId, _Judged] = {}
        self._over: dict[BackupId, Backup] = {}
        self._scheduled: list[tuple[datetime, BackupId]] = []
        self._guarded = guarded(there, terms.policy.keep_last)
        for backup in there:
            self._add(_Judged(backup))
            if backup.phase == "deleting":
                self._over[backup.backup_id] = backup

    def add(self, backup: Backup, *, day: int) -> None:
        """A backup is made: what it takes the place of may go, and one day it does itself."""
        self._add(_Judged(backup, assumed=True, first=day))

    def close(self, day: int, ends_at: datetime) -> None:
        """The end of a day: what retention releases by then is gone."""
        while self._ages and self._ages[0][0] <= ends_at:
            backup_id = heappop(self._ages)[1]
            self._over[backup_id] = self._there[backup_id].backup
        if not self._over:
            return
        newest = self._newest(ends_at)
        others = (*(one for _, one in newest), *self._guarded)
        asked = self._over | {one: self._there[one].backup for one in others}
        for verdict in verdicts(asked.values(), self._terms, ends_at).values():
            if not verdict.kept:
                self._go(verdict, day)

    def _newest(self, at: datetime) -> list[tuple[datetime, BackupId]]:
        """The newest good scheduled ones, as `by_age` has it: what lies ahead comes first."""
        keep_last = self._terms.policy.keep_last
        past = bisect_right(self._scheduled, at, key=lambda one: one[0])
        ordered = [*self._scheduled[past:], *self._scheduled[max(0, past - keep_last) : past]]
        return ordered[-keep_last:] if keep_last else []

    def fates(self) -> tuple[Fate, ...]:
        """What became of each, oldest first."""
        ordered = sorted(self._all, key=lambda one: (taken_at(one.backup), one.backup.backup_id))
        return tuple(Fate(o.backup, o.assumed, o.first, o.last, o.reason) for o in ordered)

    def _add(self, one: _Judged) -> None:
        backup = one.backup
        self._all.append(one)
        self._there[backup.backup_id] = one
        until = kept_until(backup, self._terms.policy)
        if backup.phase == "complete" and until is not None:
            heappush(self._ages, (until, backup.backup_id))
            if backup.kind == "auto" and backup.good:
                insort(self._scheduled, (taken_at(backup), backup.backup_id))

    def _go(self, verdict: Verdict, day: int) -> None:
        gone = self._there.pop(verdict.backup_id)
        gone.last, gone.reason = day, verdict.reason
        del self._over[verdict.backup_id]
        place = (taken_at(gone.backup), verdict.backup_id)
        if place in self._scheduled:
            self._scheduled.remove(place)


def _day_ends(policy: Policy, now: datetime, *, days: int) -> Iterator[DayEnd]:
    place = zone(policy.timezone) or ZoneInfo("UTC")
    today = now.astimezone(place).date()
    for number in range(days):
        day = today + number * _DAY
        yield DayEnd(day, opening(day + _DAY, "00:00", place))


def _stored(state: State, name: CacheName) -> list[Backup]:
    of_cache = state.catalog.get(name, Map()).values()
    return [b for b in of_cache if b.phase in ("complete", "deleting")]


def _coming(state: State, cache: Cache, now: datetime, *, until: datetime) -> list[Backup]:
    """What is being made and what the schedule will make, all as if it succeeded at once."""
    found = [*_under_way(state, cache, now), *_scheduled(state, cache, now, until=until)]
    return sorted(found, key=lambda backup: (taken_at(backup), backup.backup_id))


def _under_way(state: State, cache: Cache, now: datetime) -> Iterator[Backup]:
    for backup in state.catalog.get(cache.name, Map()).values():
        at = max(now, backup.not_before or now)
        late = backup.start_before is not None and at >= backup.start_before
        may_start = backup.phase == "waiting" and cache.suspended is None and not late
        if backup.phase == "running" or may_start:
            yield replace(backup, phase="complete", requested_at=at, snapshot=None)


def _scheduled(state: State, cache: Cache, now: datetime, *, until: datetime) -> Iterator[Backup]:
    policy = cache.scheduled
    if policy is None:
        return
    for number, one in enumerate(occurrences(policy, since=now - _DAY, until=until)):
        at = max(now, instant(cache.name, one, retries=policy.retries))
        if at < until and _will_be_asked_for(state, cache, one, now):
            yield Backup(
                backup_id=BackupId(f"{ASSUMED}{number:06d}"),
                cache=cache.name,
                kind="auto",
                name=BackupName(f"auto-{one.day:%Y%m%d}-{one.start.replace(':', '')}"),
                vault=cache.settings.vault,
                requested_at=at,
                requested_by="scheduler",
                occurrence=one,
                phase="complete",
            )


def _will_be_asked_for(state: State, cache: Cache, one: Occurrence, now: datetime) -> bool:
    """Whether an occurrence has or will have time, and nothing that serves it already."""
    if one.closes_at <= now or one.opens_at == one.closes_at:
        return False
    if one.opens_at <= now:
        return not served(state, cache, one, now)
    slots = state.slots.get(cache.name, ())
    return not any(slot.occurrence and slot.occurrence.key == one.key for slot in slots)
