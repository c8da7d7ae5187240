"""Occurrences reckoned in another way: by walking UTC minute by minute and reading local clocks.

The judge of the schedule: it shares no code with it, and never turns local time into UTC, so
that it cannot err about gaps and repeated hours in the same way. It knows zones of whole
minutes only, which all have been since 1972.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from events.facts import Policy

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)


def reference_occurrences(
    policy: Policy, *, since: datetime, until: datetime
) -> list[tuple[date, str, datetime, datetime]]:
    """Day, start, opening and closing of all that open at ``since <= opening < until`` (A4, A8).

    A window of a day opens in the first minute in which the local clock has reached its start;
    it closes after its length, or when the next one opens. In the order of opening.
    """
    lengths = {window.start: timedelta(minutes=window.minutes) for window in policy.windows}
    day = since.astimezone(UTC).date() - _DAY
    opened: list[tuple[datetime, date, str]] = []
    while day < until.astimezone(UTC).date() + 3 * _DAY:
        reached = _reached(policy.timezone, day)
        opened += sorted((at, of, start) for start in lengths for of, at in reached.get(start, ()))
        day += _DAY
    found = []
    for (opens_at, of, start), (next_at, *_) in pairwise(opened):
        if since <= opens_at < until:
            found.append((of, start, opens_at, min(opens_at + lengths[start], next_at)))
    return found


@lru_cache(maxsize=128)
def _reached(zone: str, day: date) -> dict[str, list[tuple[date, datetime]]]:
    """For each local ``HH:MM`` the dates whose ``HH:MM`` was reached on a UTC day, and when.

    What a clock has shown before, and shows again after it was put back, is not reached again;
    what it leaps over is reached when it leaps. The two days before are walked to know that.
    """
    place = ZoneInfo(zone)
    begin = datetime.combine(day, time(), UTC)
    latest = datetime.min  # noqa: DTZ901 - local times here are naive on purpose
    reached: dict[str, list[tuple[date, datetime]]] = {}
    for minute in range(-2 * 24 * 60, 24 * 60):
        at = begin + minute * _MINUTE
        local = at.astimezone(place).replace(tzinfo=None)
        while minute >= 0 and latest < local:
            latest += _MINUTE
            reached.setdefault(f"{latest:%H:%M}", []).append((latest.date(), at))
        latest = max(latest, local)
    return reached
