"""A cache's charts: its sizes, how long its backups took, and until when each will stay.

Pure: from the answer to drawings. What must be told apart differs in shape as well: lines are
whole or dashed, and each chart says its newest figures in words beside it.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta

from msgspec import Struct

from daemon.answers.report import CacheReport, MadeView, Report
from daemon.cli.report.drawing import Drawing, Point, Series, svg, ticks_between
from daemon.cli.words import elapsed, plural, size

LEAST_DAYS = 7
MOST_BARS = 60
"""So many backups fit into the picture of what is kept: the newest ones."""
MOST_TOLD = 70
"""More dots than these are too near each other to be pointed at."""
_DAY = timedelta(days=1).total_seconds()
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SPANS = ((1.0, "s"), (60.0, "min"), (3600.0, "h"))


class Key(Struct, frozen=True):
    """What a kind of mark means."""

    mark: str
    told: str


class Chart(Struct, frozen=True):
    """One picture with its caption; without a picture, `told` says why there is none."""

    name: str
    told: str
    svg: str = ""
    keys: tuple[Key, ...] = ()


class Days(Struct, frozen=True):
    """The x axis of a report: its first day, how many, and the present.

    Charts begin on day `since`: before that no cache has anything to show.
    """

    first: date
    count: int
    now: datetime
    since: int = 0

    def at(self, instant: datetime) -> float:
        """Where an instant is on the axis, in days since the first one."""
        return (instant - datetime.combine(self.first, time(), UTC)).total_seconds() / _DAY

    def ticks(self, *, since: float, until: float) -> list[tuple[float, str]]:
        """Four days or fewer, far enough from both ends to be written whole."""
        span = until - since
        step = next(step for step in (1, 2, 7, 14, 30, 61, 91, 183, 366) if span / step <= 4.5)
        found = (since + span * 0.06, until - span * 0.07)
        begin = int(found[0]) + 1 if found[0] > 0 else int(found[0])
        days = [day for day in range(begin, int(found[1]) + 1, step) if found[0] <= day <= found[1]]
        return [(float(day), _day(self.first + timedelta(days=day))) for day in days]


def days_of(report: Report) -> Days:
    """The axis of a report, the same for all its caches; a week at least."""
    days = Days(report.first_day, report.days, report.now)
    begun = [int(days.at(cache.backups[0].at)) for cache in report.caches if cache.backups]
    since = min([*begun, report.days - LEAST_DAYS])
    return Days(report.first_day, report.days, report.now, max(0, since))


def charts(cache: CacheReport, days: Days) -> tuple[Chart, ...]:
    """All pictures of one cache."""
    return (_sizes(cache, days), _spans(cache, days), _memory(cache, days), _kept(cache, days))


def _recent(cache: CacheReport, days: Days) -> list[MadeView]:
    """The backups of these days that were completed; safety backups are another matter."""
    return [
        made
        for made in cache.backups
        if days.at(made.at) >= 0 and made.stored_bytes is not None and made.kind != "safety"
    ]


def _sizes(cache: CacheReport, days: Days) -> Chart:
    made = [m for m in _recent(cache, days) if m.stored_bytes is not None]
    if not made:
        return Chart("Sizes", "No backup was completed in these days.")
    plain = [(m, m.plain_bytes) for m in made if m.plain_bytes is not None]
    scale, unit = _unit_of_size(max(m.plain_bytes or m.stored_bytes or 0 for m in made))
    series = (
        _first(days, [(m, m.stored_bytes or 0) for m in made], scale, size),
        Series("second", _points(days, plain, scale), dots=len(plain) < 2),
    )
    newest = made[-1]
    told = f"Newest: {size(newest.stored_bytes)} stored, {size(newest.plain_bytes)} plain."
    keys = (Key("first", "stored"), Key("second", "plain"))
    return _chart(_Axes(cache, days, unit, series), keys, name="Sizes", told=told)


def _spans(cache: CacheReport, days: Days) -> Chart:
    made = [m for m in _recent(cache, days) if m.seconds is not None]
    if not made:
        return Chart("Durations", "How long backups took is not known of these days.")
    forks = [(m, m.fork_seconds) for m in made if m.fork_seconds is not None]
    top = max([m.seconds or 0.0 for m in made] + [seconds for _, seconds in forks])
    scale, unit = max((one for one in _SPANS if top >= 2 * one[0]), default=_SPANS[0])
    series = (
        _first(days, [(m, m.seconds or 0.0) for m in made], scale, elapsed),
        Series("second", _points(days, forks, scale), dots=len(forks) < 2),
    )
    newest = made[-1]
    fork = "not known" if newest.fork_seconds is None else elapsed(newest.fork_seconds)
    told = f"Newest: {elapsed(newest.seconds or 0.0)}, the fork lived {fork}."
    keys = (Key("first", "whole attempt"), Key("second", "engine's fork"))
    return _chart(_Axes(cache, days, unit, series), keys, name="Durations", told=told)


def _memory(cache: CacheReport, days: Days) -> Chart:
    made = [m for m in _recent(cache, days) if m.copy_on_write_bytes is not None]
    if not made:
        return Chart("Copy-on-write memory", "No engine has told it in these days.")
    figures = [(m, m.copy_on_write_bytes or 0) for m in made]
    scale, unit = _unit_of_size(max(figure for _, figure in figures))
    series = (_first(days, figures, scale, size),)
    told = f"Newest: {size(made[-1].copy_on_write_bytes)} while the fork lived."
    return _chart(_Axes(cache, days, unit, series), (), name="Copy-on-write memory", told=told)


def _kept(cache: CacheReport, days: Days) -> Chart:
    """One line for each backup that is there, from its snapshot to the end of its age."""
    name = "What retention keeps"
    there = [made for made in cache.backups if made.there]
    if not there:
        return Chart(name, "Nothing is stored.")
    shown = there[-MOST_BARS:]
    now = days.at(days.now)
    ends = [days.at(made.until) for made in shown if made.until is not None]
    until = max([*ends, now + LEAST_DAYS]) + 0.2
    # What was made long ago begins at the left edge: the days to come are what counts.
    since = max(days.at(shown[0].at), min(0.0, now - (until - now)))
    drawn = [
        _bar(made, days, height=float(number), edges=(since, until))
        for number, made in enumerate(shown)
    ]
    edge = float(len(shown))
    present = Series("now", ((now, -1.0), (now, edge)), dots=False)
    drawing = Drawing(
        f"{cache.name}: {name.lower()}",
        " ".join([_kept_words(cache, there), *(_until(made) for made in shown[-5:])]),
        (present, *drawn),
        days.ticks(since=since, until=until),
        since,
        until,
        y_range=(-1.0, edge),
    )
    keys = (
        Key("age", "until its age is over"),
        Key("stays", "stays, whatever its age"),
        Key("now", "now"),
    )
    more = f" The newest {MOST_BARS} are drawn." if len(there) > MOST_BARS else ""
    return Chart(name, _kept_words(cache, there) + more, svg(drawing), keys)


def _bar(made: MadeView, days: Days, *, height: float, edges: tuple[float, float]) -> Series:
    stays = made.until is None or made.kept_by not in ("age", "expired", "read", "deleting")
    begin, end = days.at(made.at), edges[1] if stays else days.at(made.until or days.now)
    points = ((max(begin, edges[0]), height), (max(end, edges[0]), height))
    return Series("stays" if stays else "age", points, (_until(made),), dots=False)


def _until(made: MadeView) -> str:
    if made.kept_by == "age" and made.until is not None:
        return f"{made.name} stays until {made.until:%Y-%m-%d %H:%M} UTC."
    return f"{made.name}: {made.kept_because}."


def _kept_words(cache: CacheReport, there: Sequence[MadeView]) -> str:
    ages = sorted(m.until for m in there if m.until is not None and m.kept_by == "age")
    told = f"{plural(cache.living, 'backup')} stored"
    return (
        f"{told}; the next goes {_day(ages[0].date())}." if ages else f"{told}; none goes by age."
    )


class _Axes(Struct, frozen=True):
    """What a chart of figures by day is made of."""

    cache: CacheReport
    days: Days
    unit: str
    series: tuple[Series, ...]


def _chart(axes: _Axes, keys: tuple[Key, ...], *, name: str, told: str) -> Chart:
    values = [value for series in axes.series for _, value in series.points]
    drawing = Drawing(
        f"{axes.cache.name}: {name.lower()}",
        f"{told} From {min(values):.3g} to {max(values):.3g} {axes.unit}.",
        axes.series,
        axes.days.ticks(since=axes.days.since, until=axes.days.count),
        axes.days.since,
        axes.days.count,
        y_labels=ticks_between(max(values)),
        y_told=lambda value: f"{value:g} {axes.unit}",
    )
    return Chart(name, told, svg(drawing), keys)


Figure = tuple[MadeView, float]


def _points(days: Days, figures: Iterable[Figure], scale: float) -> list[Point]:
    return [(days.at(made.at), figure / scale) for made, figure in figures]


def _first(
    days: Days, figures: Sequence[Figure], scale: float, words: Callable[[float], str]
) -> Series:
    """The figures that have a dot each; those that can be pointed at tell their value."""
    told = [f"{_day(made.at.date())}: {words(figure)}" for made, figure in figures]
    few = len(figures) <= MOST_TOLD
    return Series("first", _points(days, figures, scale), told if few else ())


def _unit_of_size(top: float) -> tuple[float, str]:
    power = next((n for n in range(len(_SIZES)) if top < 1024 ** (n + 1)), len(_SIZES) - 1)
    return 1024.0**power, _SIZES[power]


def _day(day: date) -> str:
    return f"{day.day} {day:%b}"
