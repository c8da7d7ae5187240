"""The calendar's marks: a sign and words for each state, never colour alone. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

from daemon.answers.report import CacheReport, DayState, DayView

SIGNS: Mapping[DayState, str] = {
    "proven": "✓",
    "good": "○",
    "retried": "R",
    "open": "…",
    "cancelled": "C",
    "skipped": "S",
    "missed": "M",
    "suspect": "?",
    "failed": "F",
    "damaged": "X",
    "none": "·",
}
TOLD: Mapping[DayState, str] = {
    "proven": "proven",
    "good": "good",
    "retried": "failed, then good",
    "open": "under way",
    "cancelled": "cancelled",
    "skipped": "skipped",
    "missed": "missed",
    "suspect": "suspect",
    "failed": "failed",
    "damaged": "damaged",
    "none": "none wanted",
}
WHAT: Mapping[str, str] = {
    "attempt": "attempt failed",
    "given-up": "backup failed",
    "skipped": "skipped",
    "missed": "missed",
    "damaged": "damaged",
    "unproven": "not verified",
    "suspect": "suspect",
    "copy": "copy failed",
    "copy-damaged": "copy damaged",
    "export": "export failed",
    "import": "import failed",
    "restore": "restore failed",
    "hook": "hook failed",
}


class Cell(Struct, frozen=True):
    """One day of the calendar; `label` is its number, or the month where that begins."""

    state: str
    sign: str
    label: str
    told: str


class Legend(Struct, frozen=True):
    """One state, and how many days have it."""

    name: str
    sign: str
    told: str
    count: int


def legend(caches: Iterable[CacheReport]) -> tuple[Legend, ...]:
    """All states, also those that no day has: what is not there is news as well."""
    counts = Counter(day.state for cache in caches for day in cache.days)
    return tuple(Legend(name, sign, TOLD[name], counts[name]) for name, sign in SIGNS.items())


def cells(cache: CacheReport) -> tuple[Cell, ...]:
    """A cache's days."""
    return tuple(_cell(day, first=number == 0) for number, day in enumerate(cache.days))


def _cell(day: DayView, *, first: bool) -> Cell:
    label = f"{day.day:%b}" if first or day.day.day == 1 else f"{day.day.day}"
    told = f"{day.day:%a} {day.day.day} {day.day:%b}: {TOLD[day.state]}"
    if day.made > 1:
        told += f", {day.made} backups"
    return Cell(day.state, SIGNS[day.state], label, "; ".join((told, *day.told)))
