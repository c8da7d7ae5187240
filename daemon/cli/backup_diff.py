"""`valkeep backup diff`: what differs from a backup to another one, or to a cache as it is now.

Ctrl-C ends the comparison in the daemon too: nobody else waits for it.
"""

from collections.abc import Iterator
from contextlib import suppress

import click
import msgspec

from daemon.answers import Accepted
from daemon.answers.comparison import ComparisonDetail
from daemon.cli import follow
from daemon.cli.desk import Desk, Interrupted, json_option
from daemon.cli.difference_page import name_line, page
from daemon.cli.patience import wait_options
from daemon.client import path_of
from daemon.commands import CancelComparison, DifferingKey, RequestComparison
from daemon.errors import BadRequest, Failed, ValkeepError


class Wish(msgspec.Struct, frozen=True):
    """What the caller said."""

    first: str
    names: bool
    limit: int
    wait: bool
    second: str | None = None
    keys: tuple[str, ...] = ()
    database: int | None = None
    timeout: float | None = None


@click.command()
@click.argument("first", metavar="BACKUP")
@click.argument("second", metavar="(BACKUP|CACHE)", required=False)
@click.option("--keys", multiple=True, metavar="PATTERN", help="Only keys that fit; repeatable.")
@click.option("--db", "database", type=click.IntRange(0), metavar="N", help="Only this database.")
@click.option("--names", is_flag=True, help="List the keys that differ; for the role admin.")
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=1_000,
    metavar="N",
    help="At most N names of each kind (1000), or all with 0.",
)
@wait_options(default=True)
@json_option
@click.pass_obj
def diff(desk: Desk, /, **given: object) -> None:
    """Tell which keys were added, removed and changed from BACKUP to another one, or to CACHE.

    CACHE is looked at as it is now, by a fresh snapshot. Both are loaded by private engines on
    the daemon's host and compared there; neither is changed. With a comparison's id alone its
    result is shown again.
    """
    wish = msgspec.convert(given, Wish)
    if wish.second is None:
        _known(desk, wish)
        return
    most = wish.limit if wish.names else None
    request = RequestComparison(wish.first, wish.second, wish.keys, wish.database, most)
    answer, raw = desk.tell(Accepted, "/v1/commands", request)
    comparison_id = answer.comparison_id or ""
    if not wish.wait:
        desk.show(raw, [f"The comparison is asked for. See: valkeep backup diff {comparison_id}"])
        return
    try:
        detail, raw = follow.comparison(desk, comparison_id, _stay(wish, comparison_id))
    except Interrupted:
        with suppress(ValkeepError):
            desk.tell(Accepted, "/v1/commands", CancelComparison(comparison_id))
        raise Interrupted("The comparison is cancelled.") from None
    _show(desk, detail, raw, names=wish.names)


def _stay(wish: Wish, comparison_id: str) -> follow.Stay:
    return follow.Stay("The comparison", f"valkeep backup diff {comparison_id}", wish.timeout)


def _known(desk: Desk, wish: Wish) -> None:
    """The result of a comparison that was asked for before."""
    if "/" in wish.first or wish.keys or wish.database is not None:
        raise BadRequest(
            "second-side",
            f"What {wish.first!r} is to be compared with is missing.",
            "Give a second backup, or the name of a cache to look at now.",
        )
    if wish.wait:
        detail, raw = follow.comparison(desk, wish.first, _stay(wish, wish.first))
    else:
        detail, raw = desk.ask(ComparisonDetail, path_of("comparisons", wish.first))
    _show(desk, detail, raw, names=wish.names)


def _show(desk: Desk, detail: ComparisonDetail, raw: bytes, *, names: bool) -> None:
    view = detail.comparison
    if view.failure is not None:
        told = f"{view.first} and {view.second} were not compared: {view.failure.message}"
        raise Failed(view.failure.code, told, view.failure.hint)
    if not names:
        desk.show(raw, page(view, desk.width))
        return
    lines = desk.client.lines(f"{path_of('comparisons', view.comparison_id)}/names")
    if desk.as_json:
        click.echo(msgspec.json.encode(msgspec.json.decode(raw)))
        for line in lines:
            click.echo(line, nl=False)
        return
    for text in (*page(view, desk.width), *_names(lines)):
        click.echo(text)


def _names(lines: Iterator[bytes]) -> Iterator[str]:
    yield ""
    for line in lines:
        yield name_line(msgspec.json.decode(line, type=DifferingKey))
