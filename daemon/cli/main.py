"""`valkeep`: the root of the command line, and its composition root.

The environment is read here, once; errors of every kind become one form on stderr and the
exit codes of DESIGN 8.
"""

import errno
import io
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress

import click
import msgspec

from daemon.cli.complaint import misuse, path_of, tell
from daemon.cli.desk import Desk, Interrupted, colour_said
from daemon.cli.tree import Branch, Tree
from daemon.errors import (
    BadRequest,
    Failed,
    Forbidden,
    NotFound,
    Rejected,
    Unreachable,
    ValkeepError,
)

CTRL_C = 130
"""What a shell says of a process that ended by Ctrl-C."""
BROKEN_PIPE = 141
"""What a shell says of a process whose reader went away."""
USAGE = 2
JSON = "--json"
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
"""What stdout says that lies on a full or broken disk."""
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
        "report": Branch("daemon.cli.report.command", "report", "Make a page of the last days."),
        "hooks": Branch("daemon.cli.hooks", "hooks", "Commands of yours, before and after."),
        "notify": Branch("daemon.cli.notify", "notify", "Who is told of what, and does it arrive?"),
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
    socket = socket or environment.get("VALKEEP_SOCKET")
    context.obj = Desk(environment, socket, time.monotonic, time.sleep)
    context.color = colour_said(environment)


@cli.command()
@click.option("--keep", is_flag=True, help="Leave the server and the daemon running.")
@click.pass_obj
def demo(desk: Desk, keep: bool) -> None:  # noqa: FBT001
    """Play a tour: private server, backup, accident, restore, proof."""
    from daemon.cli.demo import run  # noqa: PLC0415 - only the tour needs an engine

    raise click.exceptions.Exit(run(desk.environment, keep=keep))


def main() -> None:
    """Run one command, and exit as DESIGN 8 says."""
    _reopen()
    for stream in (sys.stdout, sys.stderr):
        # Names and reasons come from anywhere: what a terminal cannot show must not end us.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError as error:
        code = _unwritable(error, as_json=JSON in sys.argv[1:])
    sys.exit(code)


def _reopen() -> None:
    """Put /dev/null where a standard descriptor is closed, so that no file of ours gets it.

    What a program or a library says on 1 or 2 would land in it: the socket, or the log.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
            os.set_inheritable(descriptor, True)  # noqa: FBT003
            setattr(sys, name, os.fdopen(descriptor, mode, closefd=False))


def run(arguments: list[str]) -> int:
    """Run one command; its exit code, with errors told on stderr."""
    if COMPLETING in os.environ:
        with suppress(click.ClickException, ValkeepError):
            return _completed(arguments)
        return 0
    as_json = JSON in arguments
    try:
        code = cli.main(arguments, prog_name="valkeep", standalone_mode=False)
    except ValkeepError as error:
        return _refused(error, as_json=as_json)
    except Interrupted as interrupted:
        return _interrupted(interrupted, as_json=as_json)
    except click.exceptions.Abort:
        return CTRL_C
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return USAGE
    except click.ClickException as error:
        return _refused(misuse(error, path_of(cli, arguments)), as_json=as_json)
    except (OSError, UnicodeEncodeError) as error:
        return _impossible(error, as_json=as_json)
    except msgspec.MsgspecError as error:
        return _refused(_not_understood(error), as_json=as_json)
    return code if isinstance(code, int) else 0


def _completed(arguments: list[str]) -> int:
    """Answer a shell; what is typed so far may be wrong, and that is not the moment to say so."""
    from daemon.cli.completion import with_names  # noqa: PLC0415 - only for the shell
    from daemon.cli.shells import put_right  # noqa: PLC0415

    put_right()
    with_names(cli, os.environ)
    code = cli.main(arguments, prog_name="valkeep", standalone_mode=False)
    return code if isinstance(code, int) else 0


def _refused(error: ValkeepError, *, as_json: bool) -> int:
    tell(error, as_json=as_json, colour=colour_said(os.environ))
    return next((exit_ for kind, exit_ in EXITS.items() if isinstance(error, kind)), 1)


def _interrupted(interrupted: Interrupted, *, as_json: bool) -> int:
    if as_json:
        tell(Failed("interrupted", str(interrupted), ""), as_json=True)
    else:
        # The terminal has put its own sign for Ctrl-C on the present line.
        click.echo(f"\n{interrupted}", err=True)
    return CTRL_C


def _not_understood(error: msgspec.MsgspecError) -> ValkeepError:
    return Failed(
        "answer",
        f"The daemon's answer is not understood: {error}.",
        "Run the same version of the daemon and of the command line; `valkeep status` tells the "
        "daemon's, `valkeep --version` ours.",
    )


def _impossible(error: OSError | UnicodeEncodeError, *, as_json: bool) -> int:
    """What this host refuses to us ourselves, where no command had a better word for it."""
    if isinstance(error, UnicodeEncodeError):
        hint = "Names of caches and backups are ASCII; give a file whose name is UTF-8."
        slip = BadRequest("argument", "An argument is no UTF-8 text.", hint)
        return _refused(slip, as_json=as_json)
    if error.errno in UNWRITABLE:
        return _unwritable(error, as_json=as_json)
    return _refused(_not_possible(error), as_json=as_json)


def _not_possible(error: OSError) -> ValkeepError:
    try:
        here = os.getcwd()  # noqa: PTH109 - only whether there is one
    except OSError:
        hint = "Go to one that is there (`cd ~`), and give the command again."
        return Failed("no-folder", "The folder that this was typed in is gone.", hint)
    of = f"{error.filename}: " if error.filename else ""
    told = f"This host refuses it: {of}{error.strerror or error}."
    return Failed("host", told, f"It was typed in {here}; `valkeep status` tells of the daemon.")


def _unwritable(error: OSError, *, as_json: bool) -> int:
    """What is still to be printed cannot be; closing stdout must not say so once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        # The reader has gone: nothing is left to be said.
        return BROKEN_PIPE
    told = f"The answer cannot be printed: {(error.strerror or str(error)).lower()}."
    hint = "What was asked for may be done: `valkeep events` tells."
    return _refused(Failed("stdout", told, hint), as_json=as_json)


def _print_version(context: click.Context) -> None:
    click.echo(f"valkeep {_version()}")
    context.exit()


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - slow, and seldom wanted

    return version("valkeep")
