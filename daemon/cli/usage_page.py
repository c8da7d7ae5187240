"""How usage looks: a table by cache, kind and vault, one by month, and the lines of a CSV file.

Pure. Figures are rounded so that those on the screen add up to the total below them.
"""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from decimal import ROUND_FLOOR, Decimal
from itertools import groupby

from msgspec import Struct

from daemon.answers.usage import UsageLine, UsageMonth, UsageMonths
from daemon.cli.table import Column, table
from daemon.cli.words import instant, size

COUNTED = (
    "Storage only: no requests, no traffic, no manifests, no copies of the log, no leftovers of "
    "failed attempts. GB is 2^30 bytes, months are UTC."
)
STORED = "STORED is what lay there when the month was over, or lies there now."
HEADS = (
    *("month", "until", "cache", "kind", "vault", "stored_bytes", "byte_hours", "gb_months"),
    *("currency", "cost", "early_cost", "unpriced_byte_hours"),
)
"""Of a CSV file; `cost` includes `early_cost`, and nothing for `unpriced_byte_hours`."""
KINDS = {"auto": 0, "manual": 1, "safety": 2, "copy": 3}
"""The order of the lines of a cache."""
MOST_PLACES = 6
"""Decimals of what is little."""
_HOUR_MICROS = Decimal(3_600_000_000)
_GB = Decimal(1 << 30)

Figures = Sequence[Decimal | None]


class Row(Struct, frozen=True):
    """What a line is about, the line as it is, and as it will be at the month's end."""

    cache: str
    kind: str
    vault: str
    now: UsageLine | None
    ahead: UsageLine | None


class Shown(Struct, frozen=True):
    """A column of figures as they are shown, those that they were made of, and their decimals."""

    figures: tuple[Decimal | None, ...]
    exact: Figures
    places: int

    def text(self, row: int) -> str:
        """One row's; a dash for what is not known."""
        return self.total([row])

    def total(self, rows: Sequence[int]) -> str:
        """The sum of what is shown of these rows; what is too little to be shown is not nothing."""
        known = [one for row in rows if (one := self.figures[row]) is not None]
        if not known:
            return "-"
        shown = sum(known, Decimal(0))
        if not shown and any(self.exact[row] for row in rows) and self.places == MOST_PLACES:
            return f"<{Decimal(1).scaleb(-self.places):f}"
        return f"{shown:,.{self.places}f}"


def column(figures: Figures) -> Shown:
    """Figures rounded so that they add up to their rounded sum, with the decimals that fit it."""
    places = _places(figures)
    known = [one for one in figures if one is not None]
    unit = Decimal(1).scaleb(-places)
    floors = [one.quantize(unit, ROUND_FLOOR) for one in known]
    missing = int((sum(known, Decimal(0)).quantize(unit) - sum(floors, Decimal(0))) / unit)
    # Those that lost most by being cut get a unit back, until the sum is right.
    order = sorted(range(len(known)), key=lambda n: (floors[n] - known[n], n))
    for number in order[:missing]:
        floors[number] += unit
    shown = iter(floors)
    rounded = tuple(None if one is None else next(shown) for one in figures)
    return Shown(rounded, tuple(figures), places)


def totals(figures: Figures) -> Shown:
    """Figures that are totals elsewhere: each is rounded as it is there, and those add up here."""
    places = _places(figures)
    unit = Decimal(1).scaleb(-places)
    rounded = tuple(None if one is None else one.quantize(unit) for one in figures)
    return Shown(rounded, tuple(figures), places)


def _places(figures: Figures) -> int:
    """The decimals that suit a column: fewer for what is much."""
    total = sum((one for one in figures if one is not None), Decimal(0))
    if total >= 10 or not total:
        return 2
    return 4 if total >= Decimal("0.1") else MOST_PLACES


def month_page(found: UsageMonth, cache: str | None, width: int) -> Iterator[str]:
    """One month: its lines, what it will be, and what the figures rest on."""
    of = f" of {cache}" if cache else ""
    if not found.lines and not found.forecast:
        yield f"Nothing{of} was stored in {found.month}."
        return
    over = "complete" if found.complete else f"until {instant(found.until)}"
    yield f"{found.month}{of}, {over}"
    rows = tuple(_rows(found))
    yield from table(_columns(found), list(_cells(found, rows)), width)
    yield ""
    if found.basis:
        yield from _wrapped(f"Forecast: {found.basis}.", width)
    if found.log_began is not None:
        yield from _wrapped(f"The log began at {instant(found.log_began)}.", width)
    for note in (*found.notes, COUNTED):
        yield from _wrapped(note, width)


def _rows(found: UsageMonth) -> Iterator[Row]:
    now = {(one.cache, one.kind, one.vault): one for one in found.lines}
    ahead = {(one.cache, one.kind, one.vault): one for one in found.forecast}
    for key in sorted({*now, *ahead}, key=lambda key: (key[0], KINDS.get(key[1], 9), key)):
        yield Row(*key, now.get(key), ahead.get(key))


def _columns(found: UsageMonth) -> tuple[Column, ...]:
    money = f" {found.currency}" if found.currency else ""
    heads = (
        Column("CACHE"),
        Column("KIND"),
        Column("VAULT", rank=2),
        Column("STORED", rank=1, right=True),
        Column("GB-HOURS", rank=4, right=True),
        Column("GB-MONTHS", right=True),
        Column(f"COST{money}", right=True),
    )
    if not found.forecast:
        return heads
    if not _is_paid(found):
        return (*heads, Column("FORECAST", right=True))
    ahead = Column("FORECAST GB-MONTHS", rank=3, right=True)
    return (*heads, ahead, Column(f"FORECAST{money}", right=True))


def _is_paid(found: UsageMonth) -> bool:
    return any(line.cost_exact is not None for line in (*found.lines, *found.forecast))


def _cells(found: UsageMonth, rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    figures = [
        column([_gb_hours(row.now) for row in rows]),
        column([_gb_months(row.now) for row in rows]),
        column([_cost(row.now) for row in rows]),
    ]
    if found.forecast:
        figures.append(column([_gb_months(row.ahead) for row in rows]))
    if found.forecast and _is_paid(found):
        figures.append(column([_cost(row.ahead) for row in rows]))
    for name, group in groupby(enumerate(rows), key=lambda one: one[1].cache):
        mine = [number for number, _ in group]
        for number in mine:
            row = rows[number]
            told = (name, row.kind, row.vault, _stored([row]))
            yield (*told, *(shown.text(number) for shown in figures))
        if 1 < len(mine) < len(rows):
            told = (name, "total", "", _stored([rows[number] for number in mine]))
            yield (*told, *(shown.total(mine) for shown in figures))
    if len(rows) > 1:
        every = range(len(rows))
        yield ("total", "", "", _stored(rows), *(shown.total(every) for shown in figures))


def _stored(rows: Iterable[Row]) -> str:
    return size(sum(row.now.stored_bytes for row in rows if row.now))


def _gb_hours(line: UsageLine | None) -> Decimal:
    return Decimal(line.byte_microseconds) / _HOUR_MICROS / _GB if line else Decimal(0)


def _gb_months(line: UsageLine | None) -> Decimal:
    return Decimal(line.gb_months_exact) if line else Decimal(0)


def _cost(line: UsageLine | None) -> Decimal | None:
    return None if line is None or line.cost_exact is None else Decimal(line.cost_exact)


def months_page(found: UsageMonths, cache: str | None, width: int) -> Iterator[str]:
    """A line for each month, and their total."""
    of = f" of {cache}" if cache else ""
    if not any(month.lines for month in found.months):
        yield f"Nothing{of} was stored in {_span(found)}."
        return
    yield f"{_span(found)}{of}"
    known = sorted({month.currency for month in found.months if month.currency})
    money = known[0] if len(known) == 1 else ""
    used = totals([Decimal(month.total_gb_months) for month in found.months])
    paid = totals([Decimal(m.total_cost) if m.total_cost else None for m in found.months])
    rows = []
    for number, month in enumerate(found.months):
        note = "" if month.complete else f"until {month.until:%m-%d %H:%MZ}"
        own = f" {month.currency}" if not money and month.total_cost else ""
        stored = size(sum(line.stored_bytes for line in month.lines))
        rows.append((month.month, stored, used.text(number), paid.text(number) + own, note))
    if len(rows) > 1 and len(known) < 2:
        every = range(len(rows))
        rows.append(("total", "", used.total(every), paid.total(every), ""))
    heads = ("MONTH", "STORED", "GB-MONTHS", f"COST {money}".strip(), "")
    yield from table(
        [Column(head, right=head != "MONTH" and bool(head)) for head in heads], rows, width
    )
    yield ""
    for note in (*_notes(found), STORED, COUNTED):
        yield from _wrapped(note, width)


def _notes(found: UsageMonths) -> Iterator[str]:
    """What is to be known of each month; what holds for several of them is said once."""
    of: dict[str, list[str]] = {}
    for month in found.months:
        for note in month.notes:
            of.setdefault(note, []).append(month.month)
    for note, months in of.items():
        yield note if len(months) > 1 else f"{months[0]}: {note}"


def _span(found: UsageMonths) -> str:
    first, last = found.months[0].month, found.months[-1].month
    return first if first == last else f"{first} to {last}"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def csv_text(months: Sequence[UsageMonth]) -> str:
    """Every line of these months as RFC 4180 has it, its heads first."""
    import csv  # noqa: PLC0415 - only for this form
    from io import StringIO  # noqa: PLC0415 - as above

    text = StringIO(newline="")
    writer = csv.writer(text)  # quotes what needs it, and ends lines with CR and LF
    writer.writerow(HEADS)
    for month in months:
        for line in month.lines:
            writer.writerow(_csv_row(month, line))
    return text.getvalue()


def _csv_row(month: UsageMonth, line: UsageLine) -> tuple[str | int, ...]:
    return (
        month.month,
        month.until.isoformat().replace("+00:00", "Z"),
        line.cache,
        line.kind,
        line.vault,
        line.stored_bytes,
        _hours(line),
        line.gb_months_exact,
        (month.currency or "") if line.cost_exact else "",
        line.cost_exact or "",
        line.early_cost_exact or "",
        f"{line.unpriced_byte_hours:.6f}",
    )


def _hours(line: UsageLine) -> str:
    """Byte-hours with six decimals."""
    return f"{Decimal(line.byte_microseconds) / _HOUR_MICROS:.6f}"
