"""`valkeep report`: asks the daemon, has the page made, and puts it where it is wanted."""

import sys
from importlib.util import find_spec
from pathlib import Path

import click

from daemon.answers.report import Report
from daemon.answers.usage import UsageMonth
from daemon.cli.desk import Desk, json_option
from daemon.cli.report import file
from daemon.cli.words import plural, size
from daemon.errors import Failed, NotFound

LIBRARIES = {"jinja2": "jinja2>=3.1", "pygal": "pygal>=3.1"}
"""What only the page needs, and how pip is asked for it: the extra `report`."""
MARK = b'<meta name="generator" content="valkeep report">'
MOST_DAYS = 366


@click.command()
@click.option(
    "--html",
    "target",
    metavar="FILE",
    type=click.Path(allow_dash=True),
    help="Write the page to this file; - is stdout.",
)
@click.option("--cache", metavar="CACHE", help="Report on this cache only.")
@click.option(
    "--days",
    type=click.IntRange(1, MOST_DAYS),
    default=30,
    show_default=True,
    metavar="N",
    help=f"So many days, today included; at most {MOST_DAYS}.",
)
@json_option
@click.pass_obj
def report(desk: Desk, *, target: str | None, cache: str | None, days: int) -> None:
    """Make one page of the last days: calendar, sizes, durations, cost, failures.

    The page holds all that it shows: it can be mailed, printed and read years later, fetches
    nothing and runs no script. Only its owner can read a new file. With --json the data are
    printed instead.
    """
    if target is None and not desk.as_json:
        raise click.UsageError(
            "Say where the page goes: --html FILE, or --html - for stdout; --json prints the data."
        )
    if target == "-" and desk.as_json:
        raise click.UsageError("--html - and --json both want stdout: choose one.")
    mode = None
    if target is not None:
        _check_libraries()
        mode = file.check(Path(target), MARK) if target != "-" else None
    found, raw = desk.ask(Report, "/v1/report", cache=cache, days=days)
    if target is not None:
        page = _page(desk, found, cache)
        if mode is None:
            click.echo(page, nl=False)
        else:
            file.write(Path(target), page, mode)
            told = f"{plural(len(found.caches), 'cache')}, {plural(days, 'day')}"
            desk.note(f"{target}: {told}, {size(len(page))}")
    if desk.as_json:
        desk.show(raw, ())


def _page(desk: Desk, found: Report, cache: str | None) -> bytes:
    from daemon.cli.report.page import html_of  # noqa: PLC0415 - its libraries may not be there

    return html_of(found, _usage(desk, found, cache)).encode()


def _usage(desk: Desk, found: Report, cache: str | None) -> UsageMonth | None:
    """This month's usage; None from a daemon that does not know the question."""
    try:
        return desk.ask(UsageMonth, "/v1/usage", month=f"{found.now:%Y-%m}", cache=cache)[0]
    except NotFound:
        return None


def _check_libraries() -> None:
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        wanted = " ".join(f"'{LIBRARIES[name]}'" for name in missing)
        raise Failed(
            "report-libraries",
            f"The page is made with {' and '.join(missing)}, which this installation lacks.",
            f"Type: `{sys.executable} -m pip install {wanted}`",
        )
