"""Occurrences: each day's instances of a policy's windows, as UTC instants (A4, A5, A8).

Pure arithmetic on the IANA database: knows no log and no backups. All comparing is done in
UTC; local time is only where a day's window is looked up.
"""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from zoneinfo import ZoneInfo

from events.facts import CacheName, Occurrence, Policy, Window
from projections.policy import zone

_DAY = timedelta(days=1)
_MARGIN = 0.9
"""Without retries a start may fall anywhere in the window but in its last tenth."""


def occurrences(policy: Policy, *, since: datetime, until: datetime) -> Iterator[Occurrence]:
    """All occurrences that open at ``since <= opens_at < until``, in the order of opening.

    A window lasts its length in elapsed time, but closes when the next one opens (A8): several
    that open at the same instant (in a gap of the clock) leave time to the last one only.
    Nothing for a zone that the installed database does not have.
    """
    place = zone(policy.timezone)
    if place is None or not policy.windows:
        return
    opened = _openings(
        policy.windows, place, first=(since - 2 * _DAY).date(), last=(until + 3 * _DAY).date()
    )
    for (opens_at, day, start, length), after in pairwise(opened):
        if since <= opens_at < until:
            yield Occurrence(
                day=day, start=start, opens_at=opens_at, closes_at=min(opens_at + length, after[0])
            )


_Opening = tuple[datetime, date, str, timedelta]


@lru_cache(maxsize=1024)
def _openings(
    windows: tuple[Window, ...], place: ZoneInfo, *, first: date, last: date
) -> tuple[_Opening, ...]:
    """Remembered, because a fleet has the same windows again and again."""
    days = [first + n * _DAY for n in range((last - first).days + 1)]
    found = (
        (opening(day, window.start, place), day, window.start, timedelta(minutes=window.minutes))
        for day in days
        for window in windows
    )
    return tuple(sorted(found))


@lru_cache(maxsize=16_384)
def opening(day: date, start: str, place: ZoneInfo) -> datetime:
    """The instant, in UTC, at which a local time of a day comes (A8).

    One that comes twice means the first; one that does not come at all means the first instant
    after the gap, be it an hour, half an hour or a whole day.
    """
    local = datetime.combine(day, time.fromisoformat(start))
    early = local.replace(tzinfo=place, fold=0).astimezone(UTC)
    if early.astimezone(place).replace(tzinfo=None) == local:
        return early
    before = local.replace(tzinfo=place, fold=1).astimezone(UTC)  # by the offset after the gap
    seconds = range(int((early - before).total_seconds()) + 1)
    after = early.astimezone(place).utcoffset()
    jumped = bisect_left(
        seconds,
        True,  # noqa: FBT003 - what is looked for: the first second with the new offset
        key=lambda s: (before + timedelta(seconds=s)).astimezone(place).utcoffset() == after,
    )
    return before + timedelta(seconds=jumped)


def instant(cache: CacheName, occurrence: Occurrence, *, retries: int) -> datetime:
    """When in its occurrence a cache's backup starts: spread, and always the same (A5).

    A whole second taken from a hash of cache, day and start: in the first half where there
    are retries to leave room for.
    """
    mark = sha256(f"{cache}\n{occurrence.day}\n{occurrence.start}".encode()).digest()
    part = int.from_bytes(mark[:8], "big") / 2**64
    span = (occurrence.closes_at - occurrence.opens_at) * (0.5 if retries else _MARGIN)
    return occurrence.opens_at + timedelta(seconds=int(part * span.total_seconds()))
