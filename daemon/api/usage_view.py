"""Usage as it is answered: figures rounded once for each line, and what they leave out in words.

Pure. What a total is not, it says: a vault without a price is no vault that costs nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from daemon.answers.usage import UsageLine, UsageMonth, UsagePart
from events.facts import CacheName, VaultName
from projections.state import State
from projections.usage import month_of, month_start, month_text
from projections.usage_forecast import MOST_SIMULATED, SIZED_BY, Expected, expected
from projections.usage_month import (
    Line,
    Part,
    byte_hours,
    cost,
    currencies,
    current,
    gb_months,
    lines,
    price_of,
    rounded,
)

NO_PRICE = (
    "No price is known: say price_per_gb_month in [vaults.NAME] and currency in [prices], and "
    "reload the daemon. It holds from then on."
)
UNKNOWN = "of unknown price"


def usage_month(
    state: State, now: datetime, cache: CacheName | None, *, month: int, forecast: bool
) -> UsageMonth:
    """A month of one cache or of all; with a forecast, where it is not over."""
    usage, over = state.usage, month_start(month + 1)
    until = min(now, over)
    found = list(lines(usage, month, until, cache))
    running = month == month_of(now)
    coming = expected(state, now, cache) if forecast and running else None
    ahead = coming.lines if coming else ()
    known = currencies([*found, *ahead])
    tariff = current(usage, until)
    shown = [_line(line, mixed=len(known) > 1) for line in found]
    began = state.born_at if state.born_at and month_of(state.born_at) == month else None
    return UsageMonth(
        month=month_text(month),
        until=until,
        complete=not running,
        currency=known[0] if len(known) == 1 else tariff.currency if tariff and not known else None,
        lines=tuple(shown),
        forecast=tuple(_line(line, mixed=len(known) > 1) for line in ahead),
        total_cost=_sum(line.cost_exact for line in shown),
        total_gb_months=_sum(line.gb_months_exact for line in shown) or "0",
        basis=_basis(coming) if coming else "",
        notes=tuple(_notes(found, known)),
        log_began=began,
    )


def _line(line: Line, *, mixed: bool) -> UsageLine:
    stored = rounded(gb_months(line.byte_micros, month=line.month))
    paid = None if mixed or line.cost is None else rounded(line.cost)
    used = [part for part in line.parts if part.byte_micros or part.early]
    prices = {
        (part.tariff.currency if part.tariff else None, price_of(part, line.vault)) for part in used
    }
    early = _early(line)
    return UsageLine(
        vault=line.vault,
        cache=line.cache,
        kind=line.kind,
        stored_bytes=line.stored_bytes,
        byte_hours=float(byte_hours(line.byte_micros)),
        gb_months=float(stored),
        cost=None if paid is None else float(paid),
        byte_microseconds=str(line.byte_micros),
        gb_months_exact=_text(stored),
        cost_exact=None if paid is None else _text(paid),
        early_byte_hours=float(byte_hours(line.early)),
        early_cost_exact=_text(rounded(early)) if early and not mixed else None,
        unpriced_byte_hours=float(byte_hours(line.unpriced)),
        parts=tuple(_part(part, line) for part in used) if len(prices) > 1 else (),
    )


def _early(line: Line) -> Fraction:
    """What is charged for what went too soon."""
    return sum(
        (
            gb_months(part.early, month=line.month) * Fraction(price)
            for part in line.parts
            if part.early and (price := price_of(part, line.vault)) is not None
        ),
        Fraction(0),
    )


def _part(part: Part, line: Line) -> UsagePart:
    price, paid = price_of(part, line.vault), cost(part, line.vault, line.month)
    return UsagePart(
        since=part.since,
        until=part.until,
        byte_hours=float(byte_hours(part.byte_micros)),
        gb_months=float(rounded(gb_months(part.byte_micros, month=line.month))),
        currency=part.tariff.currency if part.tariff and price is not None else None,
        price_per_gb_month=None if price is None else f"{price:f}",
        cost_exact=None if paid is None else _text(rounded(paid)),
    )


def _text(value: Decimal) -> str:
    return f"{value:f}"


def _sum(texts: Iterable[str | None]) -> str | None:
    """The sum of decimals; None where none is known."""
    known = [Decimal(text) for text in texts if text is not None]
    return _text(sum(known, Decimal(0))) if known else None


def _notes(found: Sequence[Line], known: tuple[str, ...]) -> Iterator[str]:
    """What is to be known of a month's money."""
    prices = [price_of(part, line.vault) for line in found for part in line.parts]
    if prices and all(price is None for price in prices):
        yield NO_PRICE
        return
    if len(known) > 1:
        yield f"Prices are in {' and '.join(known)}: the costs are in the parts (--json)."
    for vault in sorted({line.vault for line in found}):
        mine = [line for line in found if line.vault == vault]
        yield from _of_vault(vault, [part for line in mine for part in line.parts])
        early = sum((_early(line) for line in mine), Fraction(0))
        if early and len(known) == 1:
            told = f"{rounded(early, 6):f} is for what went before its least days were over"
            yield f"Of the cost in vault {vault}, {told}."


def _of_vault(vault: VaultName, parts: list[Part]) -> Iterator[str]:
    """What a vault's price was while anything lay there, where that is not plain."""
    told: dict[datetime, str] = {}
    for part in parts:
        price = price_of(part, vault)
        if part.byte_micros or part.early:
            currency = part.tariff.currency if part.tariff else None
            told[part.since] = UNKNOWN if price is None else f"{price:f} {currency}"
    spans = sorted(told.items())
    if spans and spans[-1][1] == UNKNOWN:
        yield f"Vault {vault} has no price: what it costs is not known, and in no total."
    changes = [(at, price) for (_, was), (at, price) in pairwise(spans) if price != was]
    if changes:
        steps = ", ".join(f"from {at:%Y-%m-%d %H:%M:%SZ} on {price}" for at, price in changes)
        yield f"A GB-month in vault {vault}: {spans[0][1]}, {steps}."


def _basis(coming: Expected) -> str:
    """What a forecast rests on, in one line."""
    if not coming.simulated:
        return (
            f"what is stored now, as if nothing came or went: of more than {MOST_SIMULATED:,} "
            "caches only --cache NAME goes through the schedule"
        )
    told = ["what is stored now"]
    if not (coming.coming or coming.leaving or coming.unsized):
        return f"{told[0]}, as nothing is to come or to go"
    if coming.coming:
        told.append(
            f"{_count(coming.coming)} to come by the schedule, each as large as the median of "
            f"the last {SIZED_BY} good ones of its cache"
        )
    if coming.leaving:
        told.append(f"{_count(coming.leaving)} to go")
    if coming.unsized:
        told.append(f"without {_count(coming.unsized)} whose size nobody knows")
    return "; ".join(told)


def _count(number: int) -> str:
    return "1 backup" if number == 1 else f"{number:,} backups"
