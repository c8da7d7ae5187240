"""The flags of `valkeep restore --new`, apart from what it does: that is imported when wanted."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from daemon.cli.desk import Desk, F

_FLAGS = ("port", "bind", "start_command", "register")
_FITTING = (
    *_FLAGS,
    "new",
    "reference",
    "vault",
    "plan_only",
    "force",
    "safety_backup",
    "yes",
    "wait",
)
"""What a new server has a use for, and what means nothing to it and does no harm."""


def new_server_options(command: F) -> F:
    """``--new DIR`` and what goes with it."""
    for option in (
        click.option(
            "--register", metavar="NAME", help="With --new: add the new server as this cache."
        ),
        click.option(
            "--start-command",
            metavar="COMMAND",
            help="With --new: how it is started; {conf}, {dir} and {port} are filled in, and no "
            "shell sees it.",
        ),
        click.option("--bind", metavar="ADDRESS", help="With --new: where it listens (127.0.0.1)."),
        click.option(
            "--port",
            type=click.IntRange(1, 65_535),
            metavar="PORT",
            help="With --new: the port it listens on.",
        ),
        click.option(
            "--new",
            metavar="DIR",
            help="Start a new server in this directory, which is empty or is not there yet.",
        ),
    ):
        command = option(command)
    return command


def only_with_new(given: Mapping[str, object]) -> None:
    """Refuse flags that mean something with ``--new`` alone."""
    for name in _FLAGS:
        if given.get(name) is not None:
            raise click.UsageError(f"--{name.replace('_', '-')} goes with --new DIR.")


def restore_new(desk: Desk, given: Mapping[str, object]) -> None:
    """Make the new server that these flags describe."""
    for flag in _of_others(given):
        raise click.UsageError(f"{flag} does not go with --new DIR.")
    if given.get("port") is None:
        raise click.UsageError("Say which port the new server listens on: --port PORT.")
    from daemon.cli.new import new_server  # noqa: PLC0415 - it has much to import
    from daemon.cli.new.wish import wanted  # noqa: PLC0415

    new_server(desk, wanted(given, Path.cwd()))


def _of_others(given: Mapping[str, object]) -> Iterator[str]:
    """The flags that were given and have no meaning here."""
    for parameter in click.get_current_context().command.params:
        name = parameter.name or ""
        if name not in _FITTING and given.get(name):
            yield parameter.opts[0]
