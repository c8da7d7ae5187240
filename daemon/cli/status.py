"""`valkeep status`: the page for three in the morning."""

import sys

import click
import msgspec

from daemon.answers import Status
from daemon.cli import status_cache, status_page
from daemon.cli.desk import Desk, json_option
from daemon.cli.status_page import Screen
from daemon.client import Client
from daemon.errors import BadRequest

WATCH_SECONDS = 2.0
WATCH_PATIENCE_SECONDS = 10.0
"""A daemon that takes longer does not answer, for whoever watches it."""


@click.command()
@click.argument("cache", required=False)
@click.option("--all", "everything", is_flag=True, help="Leave nothing out, however much there is.")
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option(
    "--interval",
    "interval_seconds",
    type=click.FloatRange(0.2, 3600),
    metavar="SECONDS",
    help=f"How long --watch waits in between.  [default: {WATCH_SECONDS:g}]",
)
@json_option
@click.pass_obj
def status(
    desk: Desk, *, cache: str | None, everything: bool, watch: bool, interval_seconds: float | None
) -> None:
    """Tell whether all is well, what runs, and how old the newest backups are; of CACHE or of all.

    The exit code is 0 whatever is wrong: `valkeep check` is for monitoring.
    """
    client = Client(desk.client.path, patience_seconds=WATCH_PATIENCE_SECONDS)
    client = client if watch else desk.client

    def ask() -> tuple[Status, bytes]:
        raw = client.get("/v1/status", {"cache": cache})
        return msgspec.json.decode(raw, type=Status), raw

    def drawn(found: Status, width: int) -> list[str]:
        screen = Screen(width, everything, desk.colours)
        return list((status_cache if cache else status_page).page(screen, found))

    if interval_seconds is not None and not watch:
        raise click.UsageError("--interval says how often --watch asks: say --watch too.")
    if not watch:
        found, raw = ask()
        desk.show(raw, drawn(found, desk.width))
        return
    interval = interval_seconds or WATCH_SECONDS
    from daemon.cli import watch as watching  # noqa: PLC0415 - slow to import, and seldom wanted

    if desk.as_json:
        watching.stream(lambda: ask()[1], interval)
    elif sys.stdout.isatty():
        watching.watch(watching.Watched(lambda: ask()[0], drawn, interval))
    else:
        raise BadRequest(
            "no-terminal",
            "--watch redraws a terminal, and the output is none.",
            "With --json it prints an answer a line; `valkeep events --follow` tells what happens.",
        )
