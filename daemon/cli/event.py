"""`valkeep events`: the history, one line for each event."""

from collections.abc import Generator, Mapping
from contextlib import closing
from datetime import datetime

import click
import msgspec

from daemon.answers import Answer
from daemon.cli.desk import Desk
from daemon.cli.follow import screen_of
from daemon.cli.rejoin import Gone, Rejoin
from daemon.client import path_of
from daemon.errors import Away, NotFound, Unreachable

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
    query: Query = {**given, "follow": follow}
    if follow and given["after"] is None and given["last"] is None:
        query = {**query, "last": FOLLOWED_BEFORE}
    _known(desk, query)
    with closing(_followed(desk, query) if follow else _read(desk, query)) as lines:
        for line, told in lines:
            if as_json:
                click.echo(line, nl=False)
                continue
            for text in desk.flowed(_text(told), rest=INDENT):
                click.echo(text)


Query = Mapping[str, str | int | bool | None]
Lines = Generator[tuple[bytes, Told], None, None]


def _read(desk: Desk, query: Query, *, endless: bool = False) -> Lines:
    """Each line as it came, and what is in it."""
    decoder = msgspec.json.Decoder(Told)
    with closing(desk.client.lines("/v1/events", query, endless=endless)) as lines:
        for line in lines:
            yield line, decoder.decode(line)


class _Following:
    """Where somebody is who follows the history."""

    def __init__(self, desk: Desk, query: Query) -> None:
        self.heard = False
        self._desk = desk
        self._query = query

    def lines(self) -> Lines:
        """What comes from here on, until the daemon goes."""
        with closing(_read(self._desk, self._query, endless=True)) as lines:
            for line, told in lines:
                self.heard = True
                self._query = {**self._query, "after": told.position, "last": None}
                yield line, told


def _followed(desk: Desk, query: Query) -> Lines:
    """The same without an end: a daemon that has been restarted goes on after the last line."""
    following = _Following(desk, query)
    while True:
        try:
            yield from following.lines()
        except (Away, Unreachable):
            if not following.heard:
                raise
        else:
            return
        _return_of(desk)


def _return_of(desk: Desk) -> None:
    """Wait until a daemon answers again."""
    rejoin = Rejoin(desk, screen_of(desk), answered=True)
    try:
        rejoin.ask(lambda _: desk.client.get("/v1/events", {"last": 0}), 0, None)
    except Gone as gone:
        again = "What has happened since is in the history: `valkeep events --follow --after N`."
        raise Unreachable("gone", f"Followed until {gone.message}", again) from None
    finally:
        rejoin.shown_on.clear()


def _known(desk: Desk, query: Query) -> None:
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
