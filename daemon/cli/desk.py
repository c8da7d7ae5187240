"""What every command has at hand: the daemon's client, the screen, and what the caller said.

Where the answer goes (text or JSON, colours, width) is known here and nowhere else.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

from daemon.errors import BadRequest

if TYPE_CHECKING:
    from daemon.client import Client

SYSTEM_SOCKET = "/run/valkeep/valkeep.sock"

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., None])


class Interrupted(Exception):
    """Ctrl-C while waiting for work that goes on without us; says how to follow it."""


class Desk:
    """One call of the command line."""

    def __init__(
        self,
        environment: Mapping[str, str],
        socket: str | None,
        seconds: Callable[[], float] = lambda: 0.0,
        sleep: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.environment = environment
        self.sleep = sleep
        self.seconds = seconds
        """A clock for what we do ourselves; what the daemon does goes by the daemon's."""
        self._socket = socket
        self.as_json = False

    @property
    def interactive(self) -> bool:
        """Whether a person can be asked."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    @property
    def width(self) -> int:
        """Columns of the terminal, or as ``COLUMNS`` says; 80 where there is none."""
        said = self.environment.get("COLUMNS", "")
        if said.isdecimal():
            return max(40, int(said))
        try:
            return max(40, os.get_terminal_size(sys.stdout.fileno()).columns or 80)
        except (OSError, ValueError):
            return 80

    @property
    def colours(self) -> bool:
        """Whether the answer may have colours: on a terminal, unless something else is said."""
        said = colour_said(self.environment)
        return sys.stdout.isatty() if said is None else said

    @property
    def client(self) -> "Client":
        """The daemon, as far as it answers."""
        from daemon.client import Client  # noqa: PLC0415 - `config` and `--help` need none

        path = self._socket or default_socket(self.environment)
        return Client(path, hook=hook_said(self.environment))

    def _patient(self, patience_seconds: float) -> "Client":
        from daemon.client import Client  # noqa: PLC0415 - see `client`

        hook = hook_said(self.environment)
        return Client(self.client.path, patience_seconds=patience_seconds, hook=hook)

    def ask(
        self, shape: type[T], route: str, **query: str | float | bool | None
    ) -> tuple[T, bytes]:
        """An answer in its shape, and as the daemon wrote it."""
        raw = self.client.get(route, query)
        return msgspec.json.decode(raw, type=shape), raw

    def tell(
        self,
        shape: type[T],
        route: str,
        said: msgspec.Struct,
        patience_seconds: float | None = None,
    ) -> tuple[T, bytes]:
        """The answer to a command or a plan, in its shape, and as the daemon wrote it."""
        client = self.client if patience_seconds is None else self._patient(patience_seconds)
        try:
            body = msgspec.json.encode(said)
        except UnicodeEncodeError:
            hint = "In a pattern ? stands for any byte."
            raise BadRequest("argument", "An argument is no UTF-8 text.", hint) from None
        raw = client.post(route, body)
        return msgspec.json.decode(raw, type=shape), raw

    def show(self, raw: bytes, lines: Iterable[str]) -> None:
        """The answer itself: JSON where it was asked for, else text."""
        if self.as_json:
            click.echo(msgspec.json.format(raw, indent=2))
        # At once: each `echo` is a system call of its own.
        elif text := "\n".join(lines):
            click.echo(text)

    def flowed(self, line: str, *, rest: str = "  ") -> list[str]:
        """A long line as several on a terminal; elsewhere it stays one, for programs like grep."""
        if not sys.stdout.isatty():
            return [line]
        from daemon.cli.wide import wrapped  # noqa: PLC0415 - only on a terminal

        return wrapped(line, self.width, rest=rest) or [line]

    def mark(self, text: str, *, colour: str) -> str:
        """Text in a colour, where there are colours."""
        return click.style(text, fg=colour, bold=True) if self.colours else text

    def note(self, text: str) -> None:
        """Something beside the answer, on stderr."""
        click.echo(text, err=True)


def colour_said(environment: Mapping[str, str]) -> bool | None:
    """What the environment says of colours: never, always, or nothing.

    ``NO_COLOR`` wins; ``CLICOLOR_FORCE`` has them in pipes as well; a dumb terminal has none.
    """
    if environment.get("NO_COLOR"):
        return False
    if environment.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    return False if environment.get("TERM") == "dumb" else None


def hook_said(environment: Mapping[str, str]) -> str | None:
    """The hook in which we are run, and what it is run for; None where nobody says so."""
    of_restore = environment.get("VALKEEP_EVENT", "").endswith("restore")
    work = environment.get("VALKEEP_RESTORE_ID" if of_restore else "VALKEEP_BACKUP_ID", "")
    said = f"{environment.get('VALKEEP_HOOK', '')} {work}"
    return said if re.fullmatch(r"[!-~]+ [!-~]+", said) else None


def default_socket(environment: Mapping[str, str]) -> str:
    """The system's socket, or the one of a daemon that this user runs without a file."""
    if Path(SYSTEM_SOCKET).exists():
        return SYSTEM_SOCKET
    from daemon.config.folders import user_folders  # noqa: PLC0415 - only without a system daemon

    own = user_folders(environment)["runtime_dir"] / "valkeep" / "valkeep.sock"
    return str(own) if own.exists() else SYSTEM_SOCKET


def json_option(command: F) -> F:
    """``--json`` on a command: the daemon's answer as it is."""

    def chosen(context: click.Context, _parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's own
        if value:
            context.find_root().obj.as_json = True

    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=chosen,
        help="Print the daemon's answer as JSON, with exact figures.",
    )(command)
