"""The one form of every error: what happened, where and why below it, and what to do.

On stderr, and with ``--json`` as one line of JSON there, in the words of the API. Knows how
click words a slip, and says it our way, with the nearest name that there is.
"""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from daemon.cli.wide import wrapped
from daemon.cli.words import sentence

if TYPE_CHECKING:
    from daemon.errors import ValkeepError

USAGE = "usage"
NARROWEST = 40
UNTOLD = 80
"""Columns of a terminal that says 0, as serial lines do."""


def tell(error: "ValkeepError", *, as_json: bool, colour: bool | None = None) -> None:
    """Say on stderr what went wrong; `colour` is what was said of colours, if anything."""
    if as_json:
        _tell_json(error)
        return
    columns = terminal_width()
    first, *rest = error.message.splitlines() or [""]
    lines = wrapped(sentence(first) or error.code, columns, first="error: ", rest="  ")
    lines[0] = lines[0].replace("error:", click.style("error:", fg="red", bold=True), 1)
    for more in rest:
        lines += wrapped(more.strip(), columns, first="  ", rest="    ")
    if error.hint:
        # Further lines of a hint are commands and lists, laid out by whoever wrote them.
        first, *rest = sentence(error.hint).splitlines()
        hint = wrapped(first, columns, first="  hint: ", rest="    ")
        hint[0] = hint[0].replace("hint:", click.style("hint:", bold=True), 1)
        lines += [*hint, *rest]
    for line in lines:
        click.echo(line, err=True, color=colour)


def terminal_width() -> int:
    """Columns of the terminal that errors go to; elsewhere each stays on a line of its own."""
    try:
        return max(NARROWEST, os.get_terminal_size(sys.stderr.fileno()).columns or UNTOLD)
    except (OSError, ValueError):
        return sys.maxsize


def _tell_json(error: "ValkeepError") -> None:
    import msgspec  # noqa: PLC0415 - who misspells a word needs none of it

    told = {"code": error.code, "message": error.message, "hint": error.hint}
    click.echo(msgspec.json.encode({"error": told}), err=True)


def path_of(root: click.Command, arguments: Sequence[str]) -> str:
    """The command that these words mean, as far as they name one: ``valkeep backup list``."""
    command, path = root, "valkeep"
    for word in arguments:
        if not isinstance(command, click.Group):
            break
        below = None if word.startswith("-") else command.get_command(click.Context(command), word)
        if below is not None:
            command, path = below, f"{path} {word}"
    return path


def misuse(error: click.ClickException, path: str) -> "ValkeepError":
    """Bad usage of the command at `path` as an error of ours, with what was probably meant."""
    from daemon.errors import BadRequest  # noqa: PLC0415 - only for a slip

    context = error.ctx if isinstance(error, click.UsageError) else None
    message, meant = _worded(error, context)
    path = context.command_path if context else path
    hint = f"{meant} " if meant else ""
    return BadRequest(USAGE, message, f"{hint}`{path} --help` tells how it is used.")


def _worded(error: click.ClickException, context: click.Context | None) -> tuple[str, str]:
    from daemon.near import meant  # noqa: PLC0415 - only for a slip

    message = error.format_message()
    if isinstance(error, click.NoSuchOption):
        known = _options(context) if context else ()
        return f"There is no option {error.option_name!r}.", meant(error.option_name, known)
    if isinstance(error, NoSuchCommand):
        return message, meant(error.said, error.known)
    if isinstance(error, click.MissingParameter):
        return _missing(error), ""
    if isinstance(error, click.BadParameter):
        return _unfit(error, message)
    return message, ""


class NoSuchCommand(click.UsageError):
    """A word where a command is wanted, and no command of that name."""

    def __init__(self, said: str, known: Sequence[str], ctx: click.Context | None) -> None:
        super().__init__(f"There is no command {said!r}.", ctx)
        self.said = said
        self.known = known


def _options(context: click.Context) -> Iterator[str]:
    for param in context.command.get_params(context):
        if isinstance(param, click.Option):
            yield from (*param.opts, *param.secondary_opts)


def _missing(error: click.MissingParameter) -> str:
    param = error.param
    if isinstance(param, click.Option):
        return f"{param.opts[-1]} is missing."
    what = param.make_metavar(error.ctx) if param is not None and error.ctx is not None else ""
    return f"{what} is missing." if what else error.format_message()


def _unfit(error: click.BadParameter, message: str) -> tuple[str, str]:
    """A value that cannot be, told with the option that it was given to."""
    from daemon.near import meant  # noqa: PLC0415 - only for a slip

    param, said = error.param, message.partition(": ")[2] or message
    where = _named(param, error.ctx)
    word = re.match(r"'(.*)' is not", said)
    if param is not None and isinstance(param.type, click.Choice) and word is not None:
        allowed = [str(choice) for choice in param.type.choices]
        told = f"{where}: {word[1]!r} is none of {', '.join(allowed)}."
        return told, meant(word[1], allowed)
    said = re.sub(r"is not a valid integer( range)?\.", "is no whole number.", said)
    said = re.sub(r"is not a valid float( range)?\.", "is no number.", said)
    said = re.sub(r"in the range (\d+)<=x<=(\d+)\.", r"from \1 to \2.", said)
    said = re.sub(r"in the range x>=(\d+)\.", r"\1 or more.", said)
    return f"{where}: {said}" if where else said, ""


def _named(param: click.Parameter | None, context: click.Context | None) -> str:
    if isinstance(param, click.Option):
        return param.opts[-1]
    if param is None or context is None:
        return ""
    return param.make_metavar(context)
