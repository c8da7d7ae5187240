"""Questions about retention: why one backup is kept or was deleted, and the days to come.

What goes when is decided in `projections.retention` and `projections.forecast`; this file asks
them, and the history where the catalog has forgotten a backup.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import accumulate
from typing import Annotated

from msgspec import Meta, Struct

from daemon.answers.retention import Forecast, ForecastBackup, ForecastDay, Retained
from daemon.api.asked import Asked
from daemon.api.bygone import bygone
from daemon.api.find import any_backup, cache_named
from daemon.api.retained import retained
from daemon.errors import NotFound
from events.facts import Policy
from projections import forecast
from projections.caches import Cache
from projections.doubts import suspects
from projections.forecast import ASSUMED, MOST_DAYS, Fate
from projections.retention import taken_at
from projections.state import State


class ForecastQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`days`: so many, today included."""

    days: Annotated[int, Meta(ge=1, le=MOST_DAYS)] = 30


async def why(asked: Asked) -> Retained:
    """Why a backup is kept, or why it goes or went."""
    outside, reference = asked.outside, asked.parts["ref"]
    state, now = outside.ledger.state, outside.clock.now()
    try:
        backup = any_backup(state, reference)
    except NotFound:
        gone = await bygone(outside.ledger, reference, now)
        if gone is None:
            raise
        return gone
    return retained(state, backup, now)


async def simulate(asked: Asked) -> Forecast:
    """A cache's backups on the days to come."""
    outside = asked.outside
    state, now = outside.ledger.state, outside.clock.now()
    cache = cache_named(state, asked.parts["name"])
    days = asked.queried(ForecastQuery).days
    # Two years of many windows take a second: nobody else has to wait for that.
    return await outside.offload(forecast_of, state, cache, now, days)


def forecast_of(state: State, cache: Cache, now: datetime, days: int) -> Forecast:
    """A forecast as it is answered."""
    found = forecast.simulate(state, cache.name, now, days=days)
    policy = cache.policy or Policy()
    assumed = _assumed_bytes(found.fates)
    return Forecast(
        now=now,
        cache=cache.name,
        timezone=policy.timezone,
        retention_days=policy.retention_days,
        keep_last=policy.keep_last,
        days=tuple(_days(found, assumed)),
        backups=tuple(_backup(found, fate) for fate in found.fates),
        assumed_bytes=assumed,
        notes=(*_notes(cache, policy), *_doubts(state, cache)),
    )


def _assumed_bytes(fates: tuple[Fate, ...]) -> int | None:
    """The stored size of the newest scheduled backup, else of the newest there is."""
    sizes = [
        (fate.backup.kind == "auto", taken_at(fate.backup), fate.backup.stored.stored_bytes)
        for fate in fates
        if fate.backup.stored is not None
    ]
    return max(sizes)[2] if sizes else None


def _days(found: forecast.Forecast, assumed: int | None) -> Iterator[ForecastDay]:
    """Each day's figures, added up from what comes and goes on it."""
    count = len(found.days)
    made, gone = [0] * count, [0] * count
    existing, stored, unknown = ([0] * (count + 1) for _ in range(3))
    for fate in found.fates:
        size = fate.backup.stored.stored_bytes if fate.backup.stored else assumed
        made[fate.first] += fate.assumed
        if fate.last is not None:
            gone[fate.last] += 1
        for day, sign in ((fate.first, 1), (count if fate.last is None else fate.last, -1)):
            existing[day] += sign
            stored[day] += sign * (size or 0)
            unknown[day] += sign * (size is None)
    sums = zip(accumulate(existing), accumulate(stored), accumulate(unknown), strict=True)
    oldest = _oldest(found)
    for number, (end, (backups, size_bytes, unsized)) in enumerate(
        zip(found.days, sums, strict=False)
    ):
        yield ForecastDay(
            day=end.day,
            ends_at=end.ends_at,
            made=made[number],
            gone=gone[number],
            backups=backups,
            stored_bytes=None if unsized else size_bytes,
            oldest_auto_at=oldest[number],
        )


def _oldest(found: forecast.Forecast) -> list[datetime | None]:
    """Of each day's end the oldest scheduled backup's snapshot; the fates are in that order."""
    oldest: list[datetime | None] = [None] * len(found.days)
    for fate in reversed(found.fates):
        if fate.backup.kind == "auto":
            last = len(oldest) if fate.last is None else fate.last
            oldest[fate.first : last] = [taken_at(fate.backup)] * max(0, last - fate.first)
    return oldest


def _backup(found: forecast.Forecast, fate: Fate) -> ForecastBackup:
    backup = fate.backup
    return ForecastBackup(
        name=backup.name,
        kind=backup.kind,
        taken_at=taken_at(backup),
        from_day=found.days[fate.first].day,
        gone_day=None if fate.last is None else found.days[fate.last].day,
        reason=fate.reason or None,
        assumed=fate.assumed,
        backup_id=None if backup.backup_id.startswith(ASSUMED) else backup.backup_id,
        stored_bytes=backup.stored.stored_bytes if backup.stored else None,
    )


def _doubts(state: State, cache: Cache) -> Iterator[str]:
    for backup in suspects(state, cache.name)[:1]:
        yield (
            f"{backup.name} is suspect: it and the last good ones before it stay until "
            f"`valkeep backup ack {cache.name}/{backup.name}`."
        )


def _notes(cache: Cache, policy: Policy) -> Iterator[str]:
    if cache.suspended:
        yield f"{cache.name} is suspended: nothing is made and nothing goes."
    elif not policy.auto:
        yield f"Auto backups of {cache.name} are off: none is made, what exists goes in its time."
    elif not policy.windows:
        yield f"{cache.name} has no windows: no backup is made by itself."
