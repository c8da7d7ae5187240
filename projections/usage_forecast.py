"""What a month will have used when it is over, if the policies stay and each backup succeeds.

Pure. It takes from `projections.forecast` what will be made and what retention will let go, enters
that into the fold of usage as if it had happened, and asks it for the whole month: so what is told
beforehand and what is counted afterwards are one arithmetic.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from immutables import Map
from msgspec import Struct

from events.facts import CacheName, Policy
from projections.caches import Cache
from projections.catalog import Backup
from projections.forecast import Fate, Forecast, simulate
from projections.retention import kept_until, taken_at
from projections.state import State
from projections.usage import Place, Usage, come, gone, month_of, month_start, places
from projections.usage_month import Line, lines

MOST_SIMULATED = 1_000
"""Of so many caches the schedule is gone through: that takes some milliseconds for each."""
SIZED_BY = 5
"""The size of a backup to come is the median of so many of the last good ones."""
_DAY = timedelta(days=1)


class Expected(Struct, frozen=True):
    """A month's lines as they will be at its end, and what that rests on.

    `coming` backups were assumed and `unsized` more could not be, as their caches have none yet;
    `leaving` go meanwhile. If not `simulated`, what is there now was taken to stay.
    """

    lines: tuple[Line, ...]
    coming: int = 0
    leaving: int = 0
    unsized: int = 0
    simulated: bool = True


def expected(state: State, now: datetime, cache: CacheName | None = None) -> Expected:
    """The usage of the month of `now` at its end, of one cache or of all."""
    month = month_of(now)
    end = month_start(month + 1)
    names = sorted({*state.catalog, *state.caches}) if cache is None else [cache]
    book = _Book(state.usage, now=now, end=end)
    simulated = sum(name in state.caches for name in names) <= MOST_SIMULATED
    for name in names:
        book.leave(state.catalog.get(name, Map()).values())
        if simulated and name in state.caches:
            days = (end - now) // _DAY + 2
            found = simulate(state, name, now, days=days)
            book.enter(state.caches[name], found, _usual_size(state, name))
    return Expected(
        tuple(lines(book.usage, month, end, cache)),
        coming=book.coming,
        leaving=book.leaving,
        unsized=book.unsized,
        simulated=simulated,
    )


def _usual_size(state: State, name: CacheName) -> int | None:
    """How large a backup will be: as the last good scheduled ones were, else as any good one."""
    good = [b for b in state.catalog.get(name, Map()).values() if b.good and b.stored]
    scheduled = [backup for backup in good if backup.kind == "auto"]
    last = sorted(scheduled or good, key=taken_at)[-SIZED_BY:]
    sizes = sorted(backup.stored.stored_bytes for backup in last if backup.stored)
    return sizes[(len(sizes) - 1) // 2] if sizes else None


class _Book:
    """Usage with what is to come, from `now` to the `end` of the month."""

    def __init__(self, usage: Usage, *, now: datetime, end: datetime) -> None:
        self.usage = usage
        self.coming = self.leaving = self.unsized = 0
        self._now, self._end = now, end

    def leave(self, backups: Iterable[Backup]) -> None:
        """What is being deleted is gone at once."""
        for backup in backups:
            if backup.phase == "deleting":
                self._go(backup.cache, tuple(places(backup)), self._now)

    def enter(self, cache: Cache, found: Forecast, size: int | None) -> None:
        """What is made, copied, and let go of one cache."""
        leaving = _Leaving(cache, found, self._now)
        for fate in found.fates:
            at = taken_at(fate.backup)
            if fate.backup.phase == "deleting" or (fate.assumed and at >= self._end):
                continue
            if fate.assumed and size is None:
                self.unsized += 1
                continue
            there = () if fate.assumed else tuple(places(fate.backup))
            made = tuple(_made(cache, fate, size or 0, self._now))
            self.coming += fate.assumed
            for place in made:
                self.usage = come(self.usage, cache.name, place, place.since)
            if fate.last is not None:
                self._go(cache.name, (*there, *made), leaving.at(fate))

    def _go(self, cache: CacheName, there: tuple[Place, ...], at: datetime) -> None:
        if at >= self._end or not there:
            return
        self.leaving += 1
        for place in there:
            self.usage = gone(self.usage, cache, place, at)


def _made(cache: Cache, fate: Fate, size: int, now: datetime) -> Iterator[Place]:
    """What is yet to be stored for a backup: itself, if it is only assumed, and its copies."""
    backup = fate.backup
    if not fate.assumed:
        stored = backup.stored.stored_bytes if backup.stored else 0
        for copy in backup.copies:
            if copy.completed_at is None:
                yield Place(copy.vault, "copy", stored, now)
        return
    at, to = taken_at(backup), cache.settings.copy_to
    yield Place(backup.vault, backup.kind, size, at)
    if to is not None and to != backup.vault and backup.kind != "safety":
        yield Place(to, "copy", size, at)


class _Leaving:
    """When each backup goes, within the day that a forecast says of it."""

    def __init__(self, cache: Cache, found: Forecast, now: datetime) -> None:
        self._policy = cache.policy or Policy()
        self._opens = (now, *(day.ends_at for day in found.days))
        counting = [f.backup for f in found.fates if f.backup.kind == "auto" and f.backup.good]
        later = counting[self._policy.keep_last :]
        pairs = zip(counting, later, strict=False)
        self._released = {old.backup_id: taken_at(new) for old, new in pairs}

    def at(self, fate: Fate) -> datetime:
        """When its age is over and enough newer ones are there."""
        day = fate.last or 0
        opens, closes = self._opens[day : day + 2]
        until = kept_until(fate.backup, self._policy) or opens
        return min(max(until, opens, self._released.get(fate.backup.backup_id, opens)), closes)
