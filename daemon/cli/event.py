"""`valkeep events`: the history, one line for each event."""

from collections.abc import Mapping
from contextlib import closing
from datetime import datetime

import click
import msgspec

from daemon.answers import Answer
from daemon.cli.desk import Desk
from daemon.client import path_of
from daemon.errors import NotFound

FOLLOWED_BEFORE = 10
INDENT = " " * 30
"""Where the sentence begins, so that what is long goes on below itself."""


class Person(Answer, frozen=True):
    """Who did it."""

    kind: str
    user: str | None = None
    uid: int | None = None


class Told(Answer, frozen=True):
    """What is shown of a line of the history."""

    position: int
    at: datetime
    who: Person
    sentence: str


@click.command()
@click.option("--cache", help="Of this cache only.")
@click.option("--after", type=click.IntRange(min=0), metavar="N", help="After this position only.")
@click.option("--last", type=click.IntRange(min=0), metavar="N", help="Only the last N.")
@click.option("--follow", is_flag=True, help="Stay, and show each event as it happens.")
@click.option("--json", "as_json", is_flag=True, help="Print NDJSON, each event as it is stored.")
@click.pass_obj
def events(desk: Desk, /, *, follow: bool, as_json: bool, **given: str | int | None) -> None:
    """Show what happened, oldest first; with --follow the last ones and all that comes."""
    query: dict[str, str | int | bool | None] = {**given, "follow": follow}
    if follow and given["after"] is None and given["last"] is None:
        query["last"] = FOLLOWED_BEFORE
    _known(desk, query)
    decoder = msgspec.json.Decoder(Told)
    with closing(desk.client.lines("/v1/events", query, endless=follow)) as lines:
        for line in lines:
            if as_json:
                click.echo(line, nl=False)
                continue
            for text in desk.flowed(_text(decoder.decode(line)), rest=INDENT):
                click.echo(text)


def _known(desk: Desk, query: Mapping[str, str | int | bool | None]) -> None:
    """Refuse a cache that there neither is nor was, with the nearest name that there is.

    One that was removed has its history still.
    """
    cache = query["cache"]
    if cache is None:
        return
    try:
        desk.client.get(path_of("caches", str(cache)))
    except NotFound:
        with closing(desk.client.lines("/v1/events", {"cache": cache, "last": 1})) as lines:
            if next(lines, None) is None:
                raise


def _text(told: Told) -> str:
    who = told.who.user or (f"uid {told.who.uid}" if told.who.uid is not None else told.who.kind)
    return f"{told.position:>6}  {told.at:%Y-%m-%d %H:%M:%SZ}  {who}: {told.sentence}"
