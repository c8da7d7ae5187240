"""What is stored and what it costs, cache by cache. Pure: sums of the daemon's own figures."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from daemon.answers.report import CacheReport
from daemon.answers.usage import UsageLine, UsageMonth
from daemon.cli.words import instant, number


class Row(Struct, frozen=True):
    """One cache's storage; `width` is its part of the largest one's, in per cent."""

    name: str
    backups: str
    stored: int
    share: str
    width: str
    gb_months: str = ""
    cost: str = ""
    forecast: str = ""


class Storage(Struct, frozen=True):
    """All caches, the largest first; `priced` says that there are figures of the month."""

    told: str
    rows: tuple[Row, ...]
    priced: bool = False


def storage(caches: Sequence[CacheReport], usage: UsageMonth | None) -> Storage:
    """What is stored now, and what this month's storage comes to."""
    whole = sum(cache.stored_bytes for cache in caches)
    most = max((cache.stored_bytes for cache in caches), default=0)
    rows = tuple(
        _row(cache, usage, whole=whole, most=most)
        for cache in sorted(caches, key=lambda cache: (-cache.stored_bytes, cache.name))
    )
    return Storage(_told(usage), rows, priced=usage is not None)


def _told(usage: UsageMonth | None) -> str:
    if usage is None:
        return (
            "What is stored now, copies left out. The cost is left out: "
            "this daemon does not answer questions about usage."
        )
    told = f"What is stored now, copies left out. GB-months and cost are those of {usage.month}"
    told += f" until {instant(usage.until)}, in all vaults"
    if usage.currency is None:
        return f"{told}; no prices are configured, so no cost is known."
    return f"{told}; {_money(_cost(usage.lines), usage)} in all, of all caches."


def _row(cache: CacheReport, usage: UsageMonth | None, *, whole: int, most: int) -> Row:
    stored = cache.stored_bytes
    row = Row(
        name=cache.name,
        backups=number(cache.living),
        stored=stored,
        share=f"{stored / whole * 100:.0f} %" if whole else "-",
        width=f"{stored / most * 100:.1f}" if most else "0",
    )
    if usage is None:
        return row
    lines = [line for line in usage.lines if line.cache == cache.name]
    coming = [line for line in usage.forecast if line.cache == cache.name]
    return Row(
        row.name,
        row.backups,
        row.stored,
        row.share,
        row.width,
        gb_months=f"{sum(line.gb_months for line in lines):.3f}",
        cost=_money(_cost(lines), usage),
        forecast=_money(_cost(coming), usage) if coming else "-",
    )


def _cost(lines: Iterable[UsageLine]) -> float | None:
    """The sum, None where no line has a price."""
    costs = [line.cost for line in lines if line.cost is not None]
    return sum(costs) if costs else None


def _money(cost: float | None, usage: UsageMonth) -> str:
    if cost is None or usage.currency is None:
        return "-"
    return f"{cost:,.2f} {usage.currency}"
