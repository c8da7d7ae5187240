"""Usage: how many bytes lay in which vault, for which cache and kind, and for how long (S3).

Pure. Of each month the sum of changes is kept and the sum of changes times their instants: with
those the bytes times the time come out exactly, in whole byte-microseconds, for ever and whatever
is deleted later. It knows no money; of prices only from when they hold, so that a month can be
divided there.
"""

from bisect import bisect_right
from datetime import UTC, datetime
from typing import Literal

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from events.copies import BackupCleared, CopyCompleted, CopyDeleted
from events.envelope import Envelope
from events.facts import CacheName, VaultName
from events.prices import PricesSet, VaultPrice
from events.recoveries import BackupRecovered
from events.types import BackupCompleted, BackupDeleted
from projections.catalog import Backup

UsageKind = Literal["auto", "manual", "safety", "copy"]
OF_USAGE = frozenset(
    [BackupCompleted, BackupDeleted, BackupCleared, BackupRecovered, CopyCompleted, CopyDeleted]
)
"""Events that may change what lies in a vault; there is one such in three or four."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MICROS = 86_400_000_000


class Tariff(Struct, frozen=True):
    """Prices that hold from an instant on, until those of the next tariff do."""

    since: datetime
    currency: str | None
    vaults: dict[VaultName, VaultPrice]


class Change(Struct, frozen=True, gc=False):
    """What happened within one month under one tariff.

    `delta` is the bytes that came less those that went, `moment` the sum of each change times its
    instant. `early` are the byte-microseconds that are charged for what went too soon.
    """

    delta: int = 0
    moment: int = 0
    early: int = 0


Bucket = tuple[VaultName, UsageKind, int, int]
"""A vault, a kind, a month (see `month_of`), and how many tariffs there were by then."""
OfCache = Map[Bucket, Change]


class Usage(Struct, frozen=True):
    """The changes of every cache there ever was, and all tariffs, oldest first."""

    changes: Map[CacheName, OfCache] = Map()
    tariffs: tuple[Tariff, ...] = ()


class Place(Struct, frozen=True, gc=False):
    """Bytes that lie in a vault since an instant: a backup's own, or those of a copy of it."""

    vault: VaultName
    kind: UsageKind
    stored_bytes: int
    since: datetime


def micros(at: datetime) -> int:
    """An instant in whole microseconds since 1970."""
    passed = at - _EPOCH
    return passed.days * _DAY_MICROS + passed.seconds * 1_000_000 + passed.microseconds


def month_of(at: datetime) -> int:
    """The month of an instant in UTC: months since the year 0."""
    return at.year * 12 + at.month - 1


def month_start(month: int) -> datetime:
    """The first instant of a month."""
    return datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)


def month_text(month: int) -> str:
    """``2026-03``."""
    return f"{month // 12:04}-{month % 12 + 1:02}"


def places(backup: Backup | None) -> tuple[Place, ...]:
    """Where a backup's bytes lie: in its own vault, and in those of its copies."""
    if backup is None:
        return ()
    stored, at = backup.stored, backup.completed_at
    own: tuple[Place, ...] = ()
    if stored is not None and at is not None and not backup.cleared:
        own = (Place(backup.vault, backup.kind, stored.stored_bytes, at),)
    if not backup.copies:
        return own
    copies = (
        Place(copy.vault, "copy", copy.stored_bytes, copy.completed_at)
        for copy in backup.copies
        if copy.completed_at is not None
    )
    return (*own, *copies)


def evolve(
    usage: Usage, envelope: Envelope, *, before: Backup | None, after: Backup | None
) -> Usage:
    """The usage after an event that made this of a backup.

    What comes counts from the event's instant, also where it is a backup that was found again: no
    month that is over changes.
    """
    was, now = places(before), places(after)
    known = before if after is None else after
    if known is None or was == now:
        return usage
    for place in was:
        if place not in now:
            usage = gone(usage, known.cache, place, envelope.at)
    for place in now:
        if place not in was:
            usage = come(usage, known.cache, place, envelope.at)
    return usage


def come(usage: Usage, cache: CacheName, place: Place, at: datetime) -> Usage:
    """Bytes lie there from this instant on."""
    return _changed(usage, cache, place, at, place.stored_bytes)


def gone(usage: Usage, cache: CacheName, place: Place, at: datetime) -> Usage:
    """Bytes lie there no longer; by a clock that was set back, they never did.

    A vault may charge a least time for them: then the rest of it is charged now.
    """
    at = max(at, place.since)
    usage = _changed(usage, cache, place, at, -place.stored_bytes)
    price = usage.tariffs[-1].vaults.get(place.vault) if usage.tariffs else None
    if price is None or not price.minimum_days:
        return usage
    left = micros(place.since) + price.minimum_days * _DAY_MICROS - micros(at)
    if left <= 0:
        return usage
    bucket, of_cache = _bucket(usage, place, at), usage.changes[cache]
    early = of_cache[bucket].early + left * place.stored_bytes
    of_cache = of_cache.set(bucket, replace(of_cache[bucket], early=early))
    return Usage(usage.changes.set(cache, of_cache), usage.tariffs)


def _bucket(usage: Usage, place: Place, at: datetime) -> Bucket:
    return (place.vault, place.kind, month_of(at), tariffs_at(usage.tariffs, at))


def _changed(usage: Usage, cache: CacheName, place: Place, at: datetime, delta: int) -> Usage:
    bucket, moment = _bucket(usage, place, at), delta * micros(at)
    of_cache = usage.changes.get(cache)
    if of_cache is None:
        of_cache = Map()
    known = of_cache.get(bucket)
    if known is None:
        change = Change(delta, moment)
    else:
        change = Change(known.delta + delta, known.moment + moment, known.early)
    return Usage(usage.changes.set(cache, of_cache.set(bucket, change)), usage.tariffs)


def tariffs_at(tariffs: tuple[Tariff, ...], at: datetime) -> int:
    """How many tariffs there were at an instant; the last of them held."""
    if not tariffs or tariffs[-1].since <= at:
        return len(tariffs)
    return bisect_right(tariffs, at, key=lambda tariff: tariff.since)


def priced(usage: Usage, envelope: Envelope, event: PricesSet) -> Usage:
    """The usage when other prices hold from now on; none holds before one that was said sooner."""
    since = max([envelope.at, *(tariff.since for tariff in usage.tariffs[-1:])])
    tariff = Tariff(since, event.currency, event.vaults)
    return replace(usage, tariffs=(*usage.tariffs, tariff))
