"""Windows, reckoned for the checker by reading the local clock until it shows the start.

Shares no line with the daemon, nor with `tests.support.reference`, which walks every minute of
every day: that is twenty times slower, too slow for days of many caches. A test holds the two
to each other. Clocks change at whole quarters of an hour, in UTC, and have since 1972.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from events.facts import Policy

A_DAY, A_MINUTE = timedelta(days=1), timedelta(minutes=1)


@lru_cache(maxsize=20_000)
def _opening(day: date, *, zone: str, start: str) -> datetime:
    """The first instant at which the clock on the wall shows this time, or a later one.

    Within a quarter the clock only goes forward, so its last minute tells whether to look there.
    """
    place = ZoneInfo(zone)
    wanted = datetime.fromisoformat(f"{day}T{start}")

    def reached(at: datetime) -> bool:
        return at.astimezone(place).replace(tzinfo=None) >= wanted

    at = wanted.replace(tzinfo=UTC, minute=0) - timedelta(hours=15)
    while not reached(at + 14 * A_MINUTE):
        at += 15 * A_MINUTE
    while not reached(at):
        at += A_MINUTE
    return at


def reference_occurrences(
    policy: Policy, *, since: datetime, until: datetime
) -> list[tuple[date, str, datetime, datetime]]:
    """Day, start, opening and closing of all that open at ``since <= opening < until``."""
    first, days = since.date() - 3 * A_DAY, (until - since).days + 8
    found = sorted(
        (
            _opening(first + n * A_DAY, zone=policy.timezone, start=w.start),
            first + n * A_DAY,
            w.start,
            w.minutes,
        )
        for n in range(days)
        for w in policy.windows
    )
    return [
        (day, start, at, min(at + timedelta(minutes=minutes), after[0]))
        for (at, day, start, minutes), after in pairwise(found)
        if since <= at < until
    ]
