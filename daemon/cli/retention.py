"""`valkeep retention`: why one backup is kept, and which will exist on the days to come."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from daemon.answers.retention import Forecast, ForecastBackup, ForecastDay, Retained
from daemon.cli.desk import Desk, json_option
from daemon.cli.table import Column, facts, table
from daemon.cli.tree import Tree
from daemon.cli.wide import wrapped
from daemon.cli.words import instant, plural, size
from daemon.client import path_of

COLUMNS = (
    Column("DAY"),
    Column("MADE", right=True),
    Column("GO", right=True),
    Column("BACKUPS", right=True),
    Column("STORED", rank=1, right=True),
    Column("OLDEST AUTO", rank=2),
)
TOLD = 20
"""So many of the backups that go are told with their reasons; --json has them all."""


@click.group(cls=Tree)
def retention() -> None:
    """Tell why a backup is kept, and which will exist on the days to come."""


@retention.command(short_help="Tell why a backup is kept, or why it goes or went.")
@click.argument("reference", metavar="BACKUP")
@json_option
@click.pass_obj
def why(desk: Desk, reference: str) -> None:
    """Tell why BACKUP is kept or not: an id, the beginning of one, or CACHE/NAME.

    Of a backup that is deleted it tells why it went: give CACHE/NAME or the whole id.
    """
    found, raw = desk.ask(Retained, path_of("retention", reference))
    desk.show(raw, page(found, desk.width))


def page(found: Retained, width: int) -> Iterator[str]:
    """The lines of one verdict."""
    yield f"{found.cache}/{found.name}"
    pairs = [("verdict", found.told)]
    pairs += [("also" if number else "note", told) for number, told in enumerate(found.notes)]
    pairs += [
        ("id", found.backup_id),
        ("kind", found.kind),
        ("taken", instant(found.taken_at)),
        ("age over", instant(found.until)),
    ]
    yield from facts(pairs, indent="  ", width=width)
    if found.changes:
        yield "what would change it" if found.rule != "deleted" else "more about it"
        for told in found.changes:
            yield from facts([("-", told)], indent="  ", width=width)


@retention.command(short_help="Show which backups will exist on the days to come.")
@click.argument("cache")
@click.option(
    "--days",
    type=click.IntRange(1, 730),
    default=30,
    show_default=True,
    metavar="N",
    help="So many days, today included; at most 730.",
)
@json_option
@click.pass_obj
def simulate(desk: Desk, *, cache: str, days: int) -> None:
    """Show which backups of CACHE will exist at the end of each day to come.

    The policy stays as it is and each scheduled backup succeeds: that is assumed. For example
    `valkeep retention simulate orders --days 14`.
    """
    found, raw = desk.ask(Forecast, path_of("caches", cache, "forecast"), days=days)
    desk.show(raw, forecast(found, desk.width))


def forecast(found: Forecast, width: int) -> Iterator[str]:
    """The lines of a forecast: the rule, the days, and what goes with the reason."""
    kept = plural(found.retention_days, "day")
    told = f"{found.cache}: auto backups are kept for {kept}, {_newest(found.keep_last)}."
    for line in (told, *found.notes):
        yield from wrapped(line, width, rest="  ")
    place = _zone(found.timezone)
    yield from table(COLUMNS, [_row(day, place) for day in found.days], width)
    yield from _total(found)
    gone = [backup for backup in found.backups if backup.gone_day is not None]
    if gone:
        yield "what goes, and why:"
        for backup in sorted(gone, key=_order)[:TOLD]:
            told = f"{backup.name}: {backup.reason}"
            yield from facts([(f"{backup.gone_day}", told)], indent="  ", width=width)
    if len(gone) > TOLD:
        yield f"  and {len(gone) - TOLD:,} more; --json has them all"


def _newest(keep_last: int) -> str:
    if not keep_last:
        return "also the newest one (keep_last 0)"
    return f"the newest {'one' if keep_last == 1 else keep_last} whatever the age"


def _order(backup: ForecastBackup) -> tuple[str, datetime]:
    return (str(backup.gone_day), backup.taken_at)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:
        return ZoneInfo("UTC")


def _row(day: ForecastDay, place: ZoneInfo) -> tuple[str, ...]:
    oldest = day.oldest_auto_at
    return (
        f"{day.day:%a %Y-%m-%d}",
        str(day.made or "-"),
        str(day.gone or "-"),
        str(day.backups),
        size(day.stored_bytes),
        f"{oldest.astimezone(place):%Y-%m-%d %H:%M}" if oldest else "-",
    )


def _total(found: Forecast) -> Iterator[str]:
    last = found.days[-1]
    stored = "" if last.stored_bytes is None else f", {size(last.stored_bytes)} stored"
    yield f"{plural(last.backups, 'backup')} at the end of {last.day}{stored}"
    if not any(backup.assumed for backup in found.backups):
        yield "No further ones are expected."
    elif found.assumed_bytes is None:
        yield "No size can be assumed: there is no backup yet."
    else:
        yield f"{size(found.assumed_bytes)} is assumed for each one that is yet to be made."
