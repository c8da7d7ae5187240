"""The report's data: reads the last days of the log, a portion at a time, and the durable state.

What the answer looks like is told by `report_view`; nothing of the page is known here.
"""

from collections.abc import Collection
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Annotated

from anyio.lowlevel import checkpoint
from msgspec import Meta, Struct

from daemon.answers.report import Report
from daemon.api.asked import Asked
from daemon.api.find import cache_named
from daemon.api.overview import vault_views
from daemon.api.queries import moment_of
from daemon.api.report_view import Wanted, names_of, report_of
from daemon.api.vitals import judgement
from daemon.ledger import Ledger
from events import codec
from events.facts import START, CacheName, Position, cache_stream
from projections.history import History, evolve

MOST_DAYS = 366
AT_ONCE = 256
"""Records that are folded before others get a turn on the event loop."""
MARGIN = timedelta(days=2)
"""So much earlier the reading begins: a day of a zone is not one of UTC, and work takes time."""


class ReportQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`cache`: of this one only. `days`: so many, today included."""

    cache: str | None = None
    days: Annotated[int, Meta(ge=1, le=MOST_DAYS)] = 30


async def report(asked: Asked) -> Report:
    """What became of the backups of the last days, and what stands today."""
    outside, query = asked.outside, asked.queried(ReportQuery)
    state, now = outside.ledger.state, outside.clock.now()
    if query.cache is not None and query.cache not in state.catalog:
        cache_named(state, query.cache)
    only = None if query.cache is None else CacheName(query.cache)
    moment = moment_of(asked)
    found = await judgement(outside, moment, only if only in state.caches else None)
    vaults = tuple([one async for one in vault_views(moment, outside.vaults, found.vitals)])
    names, left_out = names_of(moment, only, found.lines)
    since = now - timedelta(days=query.days) - MARGIN
    history = await told_since(
        outside.ledger, since, names if only is not None or left_out else None
    )
    wanted = Wanted(query.days, only, outside.version, vaults, found.lines, names, left_out)
    return await outside.offload(report_of, moment_of(asked), history, wanted)


async def told_since(ledger: Ledger, at: datetime, names: Collection[CacheName] | None) -> History:
    """The history from an instant on, of these caches or of all.

    Records of others are not even decoded: there may be very many caches.
    """
    history, number = History(), 0
    streams = None if names is None else {cache_stream(name) for name in names}
    async with aclosing(ledger.records(await _before(ledger, at))) as records:
        async for record in records:
            number += 1
            if number % AT_ONCE == 0:
                await checkpoint()
            if streams is None or record.envelope.stream in streams:
                event = codec.decode(record.data, record.position)
                history = evolve(history, record.envelope, event)
    return history


async def _before(ledger: Ledger, at: datetime) -> Position:
    """The last position whose record is older, found by halving: instants hardly ever go back."""
    low, high = int(START), int(ledger.state.position)
    while low < high:
        middle = (low + high) // 2
        found = await _instant_after(ledger, Position(middle))
        if found is not None and found < at:
            low = middle + 1
        else:
            high = middle
    return Position(low)


async def _instant_after(ledger: Ledger, position: Position) -> datetime | None:
    async with aclosing(ledger.records(position)) as records:
        async for record in records:
            return record.envelope.at
    return None
