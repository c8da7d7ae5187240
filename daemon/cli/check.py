"""`valkeep check`: one line per rule and cache, and the exit code that monitoring wants.

Whatever keeps the daemon from answering is a line and a code of its own, never a bare error:
0 ok, 1 warning, 2 critical (nobody answers included), 3 unknown.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

import click
import msgspec

from daemon.answers.check import Checked, CheckLine
from daemon.answers.standing import Level
from daemon.cli.desk import Desk, json_option
from daemon.cli.patience import Span
from daemon.client import Client
from daemon.errors import Unreachable, ValkeepError

EXITS: Mapping[Level, int] = {"ok": 0, "warning": 1, "critical": 2, "unknown": 3}
COLOURS: Mapping[Level, str] = {
    "ok": "green",
    "warning": "yellow",
    "critical": "red",
    "unknown": "magenta",
}
PATIENCE_SECONDS = 10.0
"""What runs a check gives up on it soon: say that nobody answers before it does."""
LEAST_SECONDS = 0.05


@click.command()
@click.argument("cache", required=False)
@click.option(
    "--timeout",
    "patience_seconds",
    type=Span(),
    default=PATIENCE_SECONDS,
    metavar="SPAN",
    help=f"How long the daemon may take to answer: 5, 90s, 2m ({PATIENCE_SECONDS:g}s).",
)
@click.option("--quiet", is_flag=True, help="Leave out what is OK, but for the last line.")
@json_option
@click.pass_obj
def check(desk: Desk, *, cache: str | None, patience_seconds: float, quiet: bool) -> None:
    """Judge CACHE or all: one line per rule, worst first; the last line counts them.

    The exit code is 0 when all is ok, 1 for a warning, 2 for what is critical (also when no
    daemon answers), and 3 when it cannot be told.
    """
    patience_seconds = max(LEAST_SECONDS, patience_seconds)
    found, raw = _answer(Client(desk.client.path, patience_seconds=patience_seconds), cache)
    desk.show(raw, page(desk, found, quiet=quiet))
    raise click.exceptions.Exit(EXITS[found.level])


def _answer(client: Client, cache: str | None) -> tuple[Checked, bytes]:
    """What the daemon says, or what it means that it does not say it."""
    try:
        raw = client.get("/v1/check", {"cache": cache})
        return msgspec.json.decode(raw, type=Checked), raw
    except Unreachable as error:
        return _instead("critical", error)
    except ValkeepError as error:
        return _instead("unknown", error)
    except msgspec.MsgspecError as error:
        hint = "Run the same version of the daemon and the command line."
        told = f"The daemon's answer is not understood: {error}"
        return _instead("unknown", ValkeepError("answer", told, hint))


def _instead(level: Level, error: ValkeepError) -> tuple[Checked, bytes]:
    line = CheckLine(level, "daemon", error.message, None, error.hint, error.code)
    found = Checked(level=level, lines=(line,))
    return found, msgspec.json.encode(found)


def page(desk: Desk, found: Checked, *, quiet: bool = False) -> Iterator[str]:
    """The lines, and what they come to."""
    for line in found.lines:
        if line.level != "ok" or not quiet:
            yield from desk.flowed(_line(desk, line))
    counts = Counter(line.level for line in found.lines)
    levels: tuple[Level, ...] = ("critical", "unknown", "warning", "ok")
    told = ", ".join(f"{counts[level]:,} {level}" for level in levels)
    yield f"{_mark(desk, found.level)} in all: {told}"


def _line(desk: Desk, line: CheckLine) -> str:
    of = f" {line.cache}" if line.cache else ""
    told = f"{_mark(desk, line.level)} {line.rule}{of}: {_flat(line.message).rstrip('.')}"
    return f"{told}; {_going_on(line.hint).rstrip('.')}" if line.hint else told


def _mark(desk: Desk, level: Level) -> str:
    return desk.mark(level.upper(), colour=COLOURS[level])


def _going_on(hint: str) -> str:
    """A sentence of its own as the end of another one; names in capitals stay as they are."""
    text = _flat(hint)
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _flat(text: str) -> str:
    """One line, whoever worded it."""
    return " ".join(text.split())
