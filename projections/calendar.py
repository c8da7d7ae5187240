"""The calendar: what became of each day's backups of one cache, as one mark for each day.

A day is as bad as its worst backup; safety backups are of no account (A12). A day is the one of
the policy's zone, and a scheduled backup belongs to the day of its window.
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Literal, get_args

from msgspec import Struct

from events.facts import Occurrence, Policy
from projections.history import OfCache, Story
from projections.local import local, one_line
from projections.occurrences import occurrences

DayState = Literal[
    "none",
    "proven",
    "good",
    "retried",
    "open",
    "cancelled",
    "skipped",
    "missed",
    "suspect",
    "failed",
    "damaged",
]
ORDER: tuple[DayState, ...] = get_args(DayState)
"""From nothing and well to worst; one proven backup makes a good day a proven one."""
UNTOLD = "nothing is recorded of its window"


class Entry(Struct, frozen=True):
    """What became of one window, or of one backup without a window."""

    day: date
    label: str
    state: DayState
    reason: str = ""


class Day(Struct, frozen=True):
    """One day: its mark, how many backups it left, and what was not well, in words."""

    day: date
    state: DayState
    made: int = 0
    told: tuple[str, ...] = ()


class Span(Struct, frozen=True):
    """The days to show, and until when windows should have left something since `counted_at`."""

    first: date
    days: int
    now: datetime
    counted_at: datetime | None = None


def calendar(mine: OfCache, policy: Policy, span: Span) -> tuple[Day, ...]:
    """Each day of the span, oldest first."""
    by_day: dict[date, list[Entry]] = {}
    for entry in (*_entries(mine, policy), *_untold(mine, policy, span)):
        by_day.setdefault(entry.day, []).append(entry)
    made = _made(mine, policy)
    days = (span.first + timedelta(days=n) for n in range(span.days))
    return tuple(_day(day, by_day.get(day, []), made.get(day, 0)) for day in days)


def state_of(story: Story) -> DayState:
    """The mark of one backup."""
    match story.ending:
        case "open":
            return "open"
        case "failed" | "skipped" | "cancelled":
            return story.ending
        case "complete":
            return _of_complete(story)


def _of_complete(story: Story) -> DayState:
    if story.refuted:
        return "damaged"
    if story.suspect:
        return "suspect"
    if story.level is not None:
        return "proven"
    return "retried" if story.failures else "good"


def day_of(story: Story, policy: Policy) -> date:
    """The day that a backup belongs to: its window's, else that of its snapshot."""
    if story.occurrence is not None:
        return story.occurrence.day
    return local(story.at, policy.timezone).date()


def _entries(mine: OfCache, policy: Policy) -> Iterator[Entry]:
    """One for each window that something is recorded of, and one for each other backup."""
    windows: dict[tuple[date, str], list[Entry]] = {}
    for story in mine.stories.values():
        if story.kind == "safety":
            continue
        day, of = day_of(story, policy), story.occurrence
        label = of.start if of else story.name
        entry = Entry(day, label, state_of(story), story.reason)
        if of is None:
            yield entry
        else:
            windows.setdefault(of.key, []).append(entry)
            if story.failures and entry.state in ("proven", "good"):
                windows[of.key].append(Entry(day, label, "failed", "an attempt"))
    for missed in mine.missed.values():
        of = missed.occurrence
        windows.setdefault(of.key, []).append(Entry(of.day, of.start, "missed", missed.reason))
    yield from (_served(entries) for entries in windows.values())


def _served(entries: list[Entry]) -> Entry:
    """What became of a window that was tried to be served perhaps more than once."""
    best = min(entries, key=lambda entry: ORDER.index(entry.state))
    if best.state in ("proven", "good") and len(entries) > 1:
        return Entry(best.day, best.label, "retried", "only after a failure")
    return best


def _untold(mine: OfCache, policy: Policy, span: Span) -> Iterator[Entry]:
    """Windows that are over and that nothing is recorded of: nobody was there for very long."""
    if span.counted_at is None:
        return
    told = {missed.occurrence.key for missed in mine.missed.values()}
    served = list(mine.stories.values())
    told |= {story.occurrence.key for story in served if story.occurrence is not None}
    starts = [story.started_at for story in served if story.started_at is not None]
    for occurrence in occurrences(policy, since=span.counted_at, until=span.now):
        over = occurrence.opens_at < occurrence.closes_at <= span.now
        if over and occurrence.key not in told and not _begun(occurrence, starts):
            yield Entry(occurrence.day, occurrence.start, "missed", UNTOLD)


def _begun(occurrence: Occurrence, starts: list[datetime]) -> bool:
    """Whether a backup was begun inside its span: that one serves it (A4)."""
    return any(occurrence.opens_at <= at < occurrence.closes_at for at in starts)


def _made(mine: OfCache, policy: Policy) -> Mapping[date, int]:
    counts: dict[date, int] = {}
    for story in mine.stories.values():
        if story.ending == "complete" and story.kind != "safety":
            day = day_of(story, policy)
            counts[day] = counts.get(day, 0) + 1
    return counts


def _day(day: date, entries: list[Entry], made: int) -> Day:
    states = {entry.state for entry in entries}
    worst: DayState = max(states, key=ORDER.index, default="none")
    if worst == "good" and "proven" in states:
        worst = "proven"
    ordered = sorted(entries, key=lambda entry: entry.label)
    told = (_sentence(entry) for entry in ordered if entry.state not in ("proven", "good"))
    return Day(day, worst, made, tuple(told))


def _sentence(entry: Entry) -> str:
    words = "still under way" if entry.state == "open" else entry.state
    why = f": {one_line(entry.reason)}" if entry.reason else ""
    return f"{entry.label} {words}{why}"
