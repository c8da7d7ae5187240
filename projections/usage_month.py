"""One month of usage: byte-microseconds by cache, kind and vault, and what they cost.

Pure queries on the fold. Sums are whole numbers and money is a fraction until it is rounded, once
for each line; a line that is not known to cost anything has no cost, which is not nothing.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import groupby

from msgspec import Struct

from events.facts import CacheName, VaultName
from projections.usage import (
    Change,
    OfCache,
    Tariff,
    Usage,
    UsageKind,
    micros,
    month_start,
    tariffs_at,
)

GB_BYTES = 1 << 30
"""A GB as Amazon bills it: 42,259,901,212,262,400 byte-hours of a month of 744 hours are 52,900
GB-months in the example of its S3 FAQ ("How will I be charged and billed for my use of Amazon
S3?", https://aws.amazon.com/s3/faqs/)."""
PLACES = 12
"""Decimals of what is told exactly: a single byte for a month is 0.000000000931 GB-months."""
KINDS: tuple[UsageKind, ...] = ("auto", "manual", "safety", "copy")
_HOUR_MICROS = 3_600_000_000


class Part(Struct, frozen=True):
    """Some of a month, under one tariff or before the first; see `Change` for `early`."""

    since: datetime
    until: datetime
    tariff: Tariff | None
    byte_micros: int = 0
    early: int = 0


class Line(Struct, frozen=True):
    """What one cache's backups of one kind used of one vault in a month; no part is missing.

    `stored_bytes` lay there at its end.
    """

    cache: CacheName
    kind: UsageKind
    vault: VaultName
    month: int
    stored_bytes: int
    parts: tuple[Part, ...]

    @property
    def byte_micros(self) -> int:
        """Bytes times microseconds."""
        return sum(part.byte_micros for part in self.parts)

    @property
    def early(self) -> int:
        """Byte-microseconds that are charged for what went too soon."""
        return sum(part.early for part in self.parts)

    @property
    def unpriced(self) -> int:
        """Byte-microseconds of which nobody knows what they cost."""
        return sum(p.byte_micros for p in self.parts if price_of(p, self.vault) is None)

    @property
    def cost(self) -> Fraction | None:
        """What is known of the cost, in the one currency of the parts; None: nothing is."""
        costs = [cost(part, self.vault, self.month) for part in self.parts]
        known = [one for one in costs if one is not None]
        if not known or (self.unpriced and not any(known)):
            return None
        return sum(known, Fraction(0))


class _Span(Struct, frozen=True):
    """A stretch of a month under one tariff, the `number`th; its ends also in microseconds."""

    number: int
    tariff: Tariff | None
    since: datetime
    until: datetime
    first: int
    end: int


def lines(
    usage: Usage, month: int, until: datetime, cache: CacheName | None = None
) -> Iterator[Line]:
    """Every line of a month with anything in it, of one cache or of all, as far as `until`."""
    spans = tuple(_spans(usage.tariffs, month, until))
    for name in sorted(usage.changes) if cache is None else [cache]:
        of_cache = usage.changes.get(name)
        found = [_line(name, month, of, spans) for of in _by_line(of_cache, month)]
        for line in sorted(found, key=lambda one: (KINDS.index(one.kind), one.vault)):
            if line.stored_bytes or line.byte_micros or line.early:
                yield line


def _spans(tariffs: tuple[Tariff, ...], month: int, until: datetime) -> Iterator[_Span]:
    """A month as far as an instant, divided where other prices begin to hold."""
    since, end = month_start(month), max(month_start(month), min(until, month_start(month + 1)))
    first = tariffs_at(tariffs, since)
    last = max(first, tariffs_at(tariffs, end))
    for number in range(first, last + 1):
        over = tariffs[number].since if number < last else end
        tariff = tariffs[number - 1] if number else None
        yield _Span(number, tariff, since, over, micros(since), micros(over))
        since = over


_OfLine = tuple[VaultName, UsageKind, list[tuple[int, int, Change]]]
"""A line's vault and kind, and its changes: the month, the number of tariffs, what changed."""


def _by_line(of_cache: OfCache | None, month: int) -> Iterator[_OfLine]:
    """The changes up to a month, of each line in the order of time."""
    known = sorted(one for one in (of_cache or {}).items() if one[0][2] <= month)
    for (vault, kind), group in groupby(known, key=lambda one: one[0][:2]):
        yield vault, kind, [(bucket[2], bucket[3], change) for bucket, change in group]


def _line(cache: CacheName, month: int, of: _OfLine, spans: tuple[_Span, ...]) -> Line:
    vault, kind, changes = of
    stored = sum(change.delta for when, _, change in changes if when < month)
    ours = deque((number, change) for when, number, change in changes if when == month)
    parts = []
    for span in spans:
        byte_micros, early = stored * (span.end - span.first), 0
        # By a clock that was set back a change may belong to no span: it is in the next one.
        while ours and (ours[0][0] <= span.number or span is spans[-1]):
            change = ours.popleft()[1]
            stored += change.delta
            byte_micros += change.delta * span.end - change.moment
            early += change.early
        part = Part(span.since, span.until, span.tariff, max(0, byte_micros), early)
        parts.append(part)
    return Line(cache, kind, vault, month, stored, tuple(parts))


def price_of(part: Part, vault: VaultName) -> Decimal | None:
    """What a GB-month costs in a vault during a part; None: it is not known."""
    price = part.tariff.vaults.get(vault) if part.tariff else None
    return None if price is None else Decimal(price.per_gb_month)


def cost(part: Part, vault: VaultName, month: int) -> Fraction | None:
    """What a part of a month costs; None: nobody knows."""
    price = price_of(part, vault)
    if price is None:
        return None
    return gb_months(part.byte_micros + part.early, month=month) * Fraction(price)


def month_micros(month: int) -> int:
    """How long a month is."""
    return micros(month_start(month + 1)) - micros(month_start(month))


def gb_months(byte_micros: int, *, month: int) -> Fraction:
    """Byte-microseconds of a month as GB-months of it (see `GB_BYTES`)."""
    return Fraction(byte_micros, GB_BYTES * month_micros(month))


def byte_hours(byte_micros: int) -> Fraction:
    """Byte-microseconds as byte-hours."""
    return Fraction(byte_micros, _HOUR_MICROS)


def rounded(value: Fraction, places: int = PLACES) -> Decimal:
    """A fraction with so many decimals, half to the even one; the sign and no zeros at its end."""
    whole = Decimal(round(value * 10**places)).scaleb(-places)
    return whole.quantize(Decimal(1)) if whole == whole.to_integral_value() else whole.normalize()


def first_month(usage: Usage) -> int | None:
    """The first month in which anything was stored."""
    known = [bucket[2] for of_cache in usage.changes.values() for bucket in of_cache]
    return min(known, default=None)


def currencies(found: Iterable[Line]) -> tuple[str, ...]:
    """The currencies that lines have a cost in, by name."""
    known = {
        part.tariff.currency
        for line in found
        for part in line.parts
        if part.tariff and part.tariff.currency and cost(part, line.vault, line.month)
    }
    return tuple(sorted(known))


def current(usage: Usage, at: datetime) -> Tariff | None:
    """The tariff that holds at an instant."""
    number = tariffs_at(usage.tariffs, at)
    return usage.tariffs[number - 1] if number else None
