"""`valkeep`: the root of the command line, and its composition root.

The environment is read here, once; errors of every kind become one form on stderr and the
exit codes of DESIGN 8.
"""

import os
import sys
from collections.abc import Mapping

import click

from daemon.cli.desk import Desk, Interrupted
from daemon.cli.tree import Branch, Tree
from daemon.cli.words import sentence
from daemon.errors import BadRequest, Forbidden, NotFound, Rejected, Unreachable, ValkeepError

CTRL_C = 130
"""What a shell says of a process that ended by Ctrl-C."""
BROKEN_PIPE = 141
"""What a shell says of a process whose reader went away."""
USAGE = 2
COMPLETING = "_VALKEEP_COMPLETE"
"""Set by a shell that asks how to go on: the variable of click's completion."""

EXITS: Mapping[type[ValkeepError], int] = {
    BadRequest: 2,
    Rejected: 3,
    Forbidden: 3,
    NotFound: 4,
    Unreachable: 5,
}


class Root(Tree):
    """The commands there are."""

    branches: Mapping[str, Branch] = {
        "status": Branch("daemon.cli.status", "status", "Is all well? What runs? How old is what?"),
        "check": Branch("daemon.cli.check", "check", "One line per rule, for monitoring."),
        "doctor": Branch("daemon.cli.doctor", "doctor", "Can every part do its work now?"),
        "schedule": Branch("daemon.cli.schedule", "schedule", "What starts when, in local time."),
        "cache": Branch("daemon.cli.cache", "cache", "Put caches under backup, and look at them."),
        "policy": Branch("daemon.cli.policy", "policy", "When backups are made by themselves."),
        "backup": Branch("daemon.cli.backup", "backup", "Make, list, show and delete backups."),
        "restore": Branch("daemon.cli.restore", "restore", "Restore a backup into a cache."),
        "retention": Branch("daemon.cli.retention", "retention", "Which backups go when, and why."),
        "usage": Branch("daemon.cli.usage", "usage", "What was stored when, and what it cost."),
        "events": Branch("daemon.cli.event", "events", "What happened, by whom and when."),
        "audit": Branch("daemon.cli.audit", "audit", "Prove that nobody edited the history."),
        "recover": Branch("daemon.cli.recover", "recover", "Bring back what a lost log has left."),
        "serve": Branch("daemon.cli.serve", "serve", "Run the daemon."),
        "config": Branch("daemon.cli.configuration", "config", "Check or begin a configuration."),
        "manual": Branch("daemon.cli.manual", "manual", "Print the manual page."),
        "completion": Branch("daemon.cli.completion", "completion", "Complete names in the shell."),
    }


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--socket", metavar="PATH", help="The daemon's socket (else VALKEEP_SOCKET, else the usual)."
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, wanted: _print_version(context) if wanted else None,
    help="Print the version.",
)
@click.pass_context
def cli(context: click.Context, socket: str | None) -> None:
    """Backups of Valkey that are known to restore."""
    environment = os.environ
    context.obj = Desk(environment, socket or environment.get("VALKEEP_SOCKET"))


@cli.command()
@click.option("--keep", is_flag=True, help="Leave the server and the daemon running.")
@click.pass_obj
def demo(desk: Desk, keep: bool) -> None:  # noqa: FBT001
    """Play a tour: private server, backup, accident, restore, proof."""
    from daemon.cli.demo import run  # noqa: PLC0415 - only the tour needs an engine

    raise click.exceptions.Exit(run(desk.environment, keep=keep))


def main() -> None:
    """Run one command, and exit as DESIGN 8 says."""
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone: nothing is left to be said, and closing must not say so either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = BROKEN_PIPE
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; its exit code, with errors told on stderr."""
    if COMPLETING in os.environ:
        from daemon.cli.completion import with_names  # noqa: PLC0415 - only for the shell

        with_names(cli, os.environ)
    try:
        code = cli.main(arguments, prog_name="valkeep", standalone_mode=False)
    except ValkeepError as error:
        _tell(error.message, hint=error.hint)
        return next((exit_ for kind, exit_ in EXITS.items() if isinstance(error, kind)), 1)
    except Interrupted as interrupted:
        click.echo(f"\n{interrupted}", err=True)
        return CTRL_C
    except click.exceptions.Abort:
        return CTRL_C
    except click.ClickException as error:
        return _misused(error)
    return code if isinstance(code, int) else 0


def _tell(message: str, *, hint: str) -> None:
    """The one form of every error: what happened, where and why below it, and what to do."""
    first, *rest = message.splitlines() or [""]
    click.echo(f"error: {sentence(first)}", err=True)
    for line in rest:
        click.echo(f"  {line.strip()}", err=True)
    if hint:
        click.echo(f"  hint: {sentence(hint)}", err=True)


def _misused(error: click.ClickException) -> int:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "valkeep"
    _tell(error.format_message(), hint=f"`{path} --help` tells how it is used.")
    return USAGE


def _print_version(context: click.Context) -> None:
    click.echo(f"valkeep {_version()}")
    context.exit()


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - slow, and seldom wanted

    return version("valkeep")
