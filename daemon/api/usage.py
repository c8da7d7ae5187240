"""Questions about usage (S3): a month with its forecast, or several months."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from daemon.answers.usage import UsageMonth, UsageMonths
from daemon.api.asked import Asked
from daemon.api.months import month_asked
from daemon.api.usage_view import usage_month
from daemon.errors import NotFound
from daemon.near import meant
from events.facts import CacheName
from projections.state import State
from projections.usage import month_of

MOST_MONTHS = 120


class UsageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`month`: YYYY-MM, else the running one. `cache`: of this one only, removed or not.

    `forecast`: also what the running month will be at its end.
    """

    month: str | None = None
    cache: str | None = None
    forecast: bool = True


class UsageMonthsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`count`: so many, the running one included, as far as the log goes. `cache` as in usage."""

    count: Annotated[int, Meta(ge=1, le=MOST_MONTHS)] = 12
    cache: str | None = None


async def usage(asked: Asked) -> UsageMonth:
    """One month."""
    state, now = _moment(asked)
    query = asked.queried(UsageQuery)
    month = month_asked(query.month, now, state.born_at)
    cache = _known(state, query.cache)
    return await asked.outside.offload(
        usage_month, state, now, cache, month=month, forecast=query.forecast
    )


async def months(asked: Asked) -> UsageMonths:
    """Several months, oldest first."""
    state, now = _moment(asked)
    query = asked.queried(UsageMonthsQuery)
    cache = _known(state, query.cache)
    return await asked.outside.offload(_months, state, now, cache, query.count)


def _months(state: State, now: datetime, cache: CacheName | None, count: int) -> UsageMonths:
    last = month_of(now)
    first = max(last - count + 1, month_of(state.born_at or now))
    found = [
        usage_month(state, now, cache, month=month, forecast=False)
        for month in range(first, last + 1)
    ]
    return UsageMonths(now=now, months=tuple(found))


def _moment(asked: Asked) -> tuple[State, datetime]:
    """The state and the present, which is never before the log began."""
    state, now = asked.outside.ledger.state, asked.outside.clock.now()
    return state, max(now, state.born_at or now)


def _known(state: State, name: str | None) -> CacheName | None:
    """A cache that there is, or that there was while something of it was stored."""
    if name is None:
        return None
    known = {*state.caches, *state.catalog, *state.usage.changes}
    if name not in known:
        some = ", ".join(sorted(known)[:8]) or "none yet"
        hint = meant(name, known) or f"Known caches: {some}."
        raise NotFound("unknown-cache", f"There is no cache {name!r}.", hint)
    return CacheName(name)
