"""The page: a pure function of the daemon's answers. The only file that knows jinja2.

Everything is escaped where it is put in: names are checked, but reasons, addresses and hints come
from servers and people. The page's policy forbids it to fetch or run anything.
"""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from msgspec import Struct

from daemon.answers.report import CacheReport, MadeView, Report
from daemon.answers.usage import UsageMonth
from daemon.cli.report.charts import Chart, Days, charts, days_of
from daemon.cli.report.marks import SIGNS, TOLD, WHAT, Cell, cells, legend
from daemon.cli.report.storing import storage
from daemon.cli.words import age, duration, elapsed, instant, number, plural, sentence, size

GENERATOR = "valkeep report"
"""What the page says it was made by, so that it can be told from a file of somebody else's."""
MOST_ROWS = 31
MOST_PROBLEMS = 50
HERE = Path(__file__).parent


class Verdict(Struct, frozen=True):
    """The head of the page: whether all is well."""

    level: str
    sign: str
    told: str


class Tile(Struct, frozen=True):
    """One figure at the top."""

    name: str
    figure: str
    told: str = ""


class Figures(Struct, frozen=True):
    """One backup as a line of a table."""

    at: str
    name: str
    state: str
    stored: str
    plain: str
    took: str
    fork: str
    memory: str
    stays: str


class Proven(Struct, frozen=True):
    """What one cache's backups are good for, as a line of a table."""

    name: str
    passed: int
    refuted: int
    unproven: int
    newest: str
    restore: str
    lost: str


class CachePart(Struct, frozen=True):
    """What the page tells of one cache."""

    view: CacheReport
    standing: str
    blanks: int
    cells: tuple[Cell, ...]
    facts: tuple[tuple[str, str], ...]
    charts: tuple[Chart, ...]
    figures: tuple[Figures, ...]
    cut: bool


def html_of(report: Report, usage: UsageMonth | None) -> str:
    """The whole page; without `usage` it says that the cost is not known."""
    days = days_of(report)
    style = (HERE / "page.css").read_text(encoding="utf-8")
    known: Mapping[str, object] = {
        "report": report,
        "generator": GENERATOR,
        "most_problems": MOST_PROBLEMS,
        "style": Markup(style),  # noqa: S704 - our own file; entities would not be read in a style
        "style_hash": f"sha256-{b64encode(sha256(style.encode()).digest()).decode()}",
        "title": _title(report),
        "verdict": verdict(report),
        "tiles": tiles(report),
        "legend": legend(report.caches),
        "caches": [_cache(report, cache, days) for cache in report.caches],
        "storage": storage(report.caches, usage),
        "proofs": [_proven(report, cache) for cache in report.caches],
    }
    return _environment().get_template("page.html").render(known)


def verdict(report: Report) -> Verdict:
    """The one line that says whether all is well; the same word as `valkeep status` has."""
    if not report.caches:
        return Verdict("warning", "!", "Nothing is backed up yet.")
    if not report.problems:
        return Verdict("ok", "✓", "All is well.")
    counts = dict.fromkeys(("critical", "unknown", "warning"), 0)
    for line in report.problems:
        counts[line.level] += 1
    many = {"warning": "warnings"}
    told = ", ".join(
        f"{count:,} {many.get(level, level) if count > 1 else level}"
        for level, count in counts.items()
        if count
    )
    sign = "✗" if report.level == "critical" else "!"
    return Verdict(report.level, sign, f"Not all is well: {told}.")


def tiles(report: Report) -> tuple[Tile, ...]:
    """The figures at the top."""
    days = [day.state for cache in report.caches for day in cache.days]
    wanted = [state for state in days if state not in ("none", "open", "cancelled")]
    served = sum(state in ("proven", "good", "retried") for state in wanted)
    proven = sum(state == "proven" for state in wanted)
    living = sum(cache.living for cache in report.caches)
    stored = sum(cache.stored_bytes for cache in report.caches)
    return (
        Tile("Caches", number(len(report.caches) + len(report.left_out))),
        Tile("Backups stored", number(living), size(stored)),
        Tile("Days served", _share(served, of=len(wanted)), f"{served:,} of {len(wanted):,}"),
        Tile("Days proven", _share(proven, of=len(wanted)), f"{proven:,} of {len(wanted):,}"),
        Tile("Failures", number(sum(one.count for one in report.troubles))),
        Tile("Restores", number(len(report.restores))),
    )


def _share(part: int, *, of: int) -> str:
    """In per cent, rounded down: 100 % is all of them."""
    return f"{part * 100 // of} %" if of else "-"


def _title(report: Report) -> str:
    what = f"{report.cache}, " if report.cache else ""
    return f"Valkeep report: {what}{report.days} days to {report.now:%Y-%m-%d}"


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        elapsed=elapsed,
        instant=instant,
        number=number,
        plural=plural,
        sentence=sentence,
        size=size,
        what=lambda name: WHAT.get(name, name),
        words=words,
    )
    return made


def words(text: str) -> Markup:
    """Text in which what stands between backticks is code; all of it escaped."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    told = (
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(parts)
    )
    return Markup("").join(told)


def _cache(report: Report, cache: CacheReport, days: Days) -> CachePart:
    first = cache.days[0].day if cache.days else report.first_day
    newest = [made for made in reversed(cache.backups) if made.stored_bytes is not None]
    drawn = [_safe(chart) for chart in charts(cache, days)]
    return CachePart(
        view=cache,
        standing="ok" if cache.level == "ok" else cache.level,
        blanks=first.weekday(),
        cells=cells(cache),
        facts=tuple(_facts(report, cache)),
        charts=tuple(drawn),
        figures=tuple(_figures(made) for made in newest[:MOST_ROWS]),
        cut=len(newest) > MOST_ROWS or cache.more > 0,
    )


def _safe(chart: Chart) -> Chart:
    """A picture is put in as it is: it was written by an XML library, which has escaped it."""
    svg = Markup(chart.svg)  # noqa: S704 - see above
    return Chart(chart.name, chart.told, svg, chart.keys)


def _facts(report: Report, cache: CacheReport) -> list[tuple[str, str]]:
    start = cache.next_start
    windows = f"{', '.join(cache.windows) or 'no window'} {cache.timezone}"
    facts = [
        ("Auto backups", windows if cache.auto else "off"),
        ("Kept", f"{plural(cache.retention_days, 'day')}, the newest {cache.keep_last} always"),
        ("Stored", f"{plural(cache.living, 'backup')}, {size(cache.stored_bytes)}"),
        ("Next start", f"{start.local:%Y-%m-%d %H:%M} {start.zone}" if start else "-"),
        ("Newest proof", _newest_proof(report, cache)),
        ("You would lose", _lost(cache)),
    ]
    if cache.suspended:
        facts.insert(0, ("Suspended", cache.suspended))
    if cache.removed:
        facts = [("Removed", "its manual backups are still stored"), facts[2]]
    return facts


def _newest_proof(report: Report, cache: CacheReport) -> str:
    known = cache.assurance
    if known is None or known.proven_at is None:
        return "never proven"
    return f"{known.level}, {age(report.now, known.proven_at)}"


def _lost(cache: CacheReport) -> str:
    lost = cache.assurance.lost_seconds if cache.assurance else None
    return "all of it" if lost is None else duration(lost)


def _proven(report: Report, cache: CacheReport) -> Proven:
    known, done = cache.assurance, cache.verified
    takes = known.restore_seconds if known else None
    return Proven(
        name=cache.name,
        passed=done.passed,
        refuted=done.refuted,
        unproven=done.unproven,
        newest=_newest_proof(report, cache),
        restore="not known" if takes is None else f"about {elapsed(takes)}",
        lost=_lost(cache),
    )


def _figures(made: MadeView) -> Figures:
    took, fork = made.seconds, made.fork_seconds
    return Figures(
        at=f"{made.at:%Y-%m-%d %H:%M}",
        name=made.name,
        state=f"{SIGNS[made.state]} {TOLD[made.state]}",
        stored=size(made.stored_bytes),
        plain=size(made.plain_bytes),
        took="-" if took is None else elapsed(took),
        fork="-" if fork is None else elapsed(fork),
        memory=size(made.copy_on_write_bytes),
        stays=_stays(made),
    )


def _stays(made: MadeView) -> str:
    if not made.there:
        return f"gone since {made.gone_at:%Y-%m-%d}" if made.gone_at else "-"
    if made.kept_by == "age" and made.until is not None:
        return f"until {made.until:%Y-%m-%d}"
    return made.kept_because
