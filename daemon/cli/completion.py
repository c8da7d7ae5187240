"""Completion in the shell: commands, options, and the names that the daemon knows.

The scripts are click's own. Names are asked of the daemon while a person waits with a finger on
the tab key: who is not answered at once gets none, and no error.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module

import click
import msgspec
from click.shell_completion import CompletionItem, get_completion_class

from daemon.answers import BackupDetail, Backups, Caches, Status
from daemon.answers.hooks import HooksAnswer
from daemon.answers.notifications import Notifications
from daemon.cli.desk import default_socket
from daemon.cli.restore_tree import UNDO, WithUndo
from daemon.client import Client, path_of
from daemon.errors import NotFound, ValkeepError

VARIABLE = "_VALKEEP_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
PLACES = {
    "bash": "~/.local/share/bash-completion/completions/valkeep",
    "zsh": "a file `_valkeep` in a folder of $fpath",
    "fish": "~/.config/fish/completions/valkeep.fish",
}
PATIENCE_SECONDS = 1.0
NAMED = ("CACHE", "BACKUP", "VAULT", "HOOK", "CHANNEL")
FILES = ("FILE", "PATH", "LOG", "DIR", "SOURCE")
"""Words for what the shell itself can complete."""
OF_CACHES = ("set", "show", "remove")
"""Commands of `cache` whose NAME is that of a cache there is."""


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    r"""Print the script that completes commands and names in a SHELL.

    \b
    For this session:  eval "$(valkeep completion bash)"
    For good:          valkeep completion bash > FILE
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"There is no completion for {shell}.", context)
    click.echo(kind(context.find_root().command, {}, "valkeep", VARIABLE).source())
    click.echo(f"For good: write it to {PLACES[shell]}", err=True)


class Known(click.ParamType[str]):
    """Text that names something the daemon knows."""

    def __init__(self, what: str, environment: Mapping[str, str]) -> None:
        self.name = what
        self._environment = environment

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin as what was typed."""
        said = ctx.find_root().params.get("socket") or self._environment.get("VALKEEP_SOCKET")
        client = Client(
            said or default_socket(self._environment), patience_seconds=PATIENCE_SECONDS
        )
        names: list[str] = []
        # An option without its value ends click's parsing: what was typed before it is left over.
        typed = [ctx.params.get("reference"), *ctx.args] if "--from" in param.opts else []
        with suppress(ValkeepError, msgspec.MsgspecError):
            for reference in filter(None, typed):
                names += _vaults_of(client, str(reference))
            for what in self.name.split("|") if not names else ():
                names += _names(client, what, by_id=incomplete[:1].isdigit())
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class Zones(click.ParamType[str]):
    """Text that names a time zone."""

    name = "zone"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The zones that this host knows; the daemon's are hardly others."""
        del ctx, param
        from zoneinfo import available_timezones  # noqa: PLC0415 - slow, and seldom wanted

        return [
            CompletionItem(z) for z in sorted(available_timezones()) if z.startswith(incomplete)
        ]


def _vaults_of(client: Client, reference: str) -> Iterator[str]:
    """The vaults that hold a backup, its own first; none for what is no backup."""
    with suppress(NotFound):
        raw = client.get(path_of("backups", reference))
        view = msgspec.json.decode(raw, type=BackupDetail).backup
        yield view.vault
        yield from (copy.vault for copy in view.copies if copy.completed_at is not None)


def _names(client: Client, what: str, *, by_id: bool) -> Iterator[str]:
    match what:
        case "undo":
            yield what
        case "cache":
            caches = msgspec.json.decode(client.get("/v1/caches"), type=Caches)
            yield from (cache.name for cache in caches.caches)
        case "backup":
            backups = msgspec.json.decode(client.get("/v1/backups"), type=Backups)
            found = backups.backups
            names = {one.backup_id if by_id else f"{one.cache}/{one.name}" for one in found}
            yield from sorted(names)
        case "hook":
            hooks = msgspec.json.decode(client.get("/v1/hooks"), type=HooksAnswer)
            yield from (hook.name for hook in hooks.hooks)
        case "channel":
            told = msgspec.json.decode(client.get("/v1/notifications"), type=Notifications)
            yield from (channel.name for channel in told.channels)
        case _:
            status = msgspec.json.decode(client.get("/v1/status"), type=Status)
            yield from (vault.name for vault in status.vaults)


def with_names(command: click.Command, environment: Mapping[str, str]) -> None:
    """Have the arguments of a command that are names look for them, and those below it."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                with_names(below, environment)
    if isinstance(command, WithUndo):
        with_names(getattr(import_module(UNDO.module), UNDO.name), environment)
    for param in command.params:
        kind = _kind(command, param, environment)
        if kind is not None and not isinstance(param.type, click.Choice):
            param.type = kind


def _kind(
    command: click.Command, param: click.Parameter, environment: Mapping[str, str]
) -> "click.ParamType[str] | None":
    """What completes a parameter, told by the word that its help has for it."""
    word = (param.metavar or param.name or "").upper().strip("()")
    if word == "NAME":
        word = "CACHE" if command.name in OF_CACHES else (param.name or "").upper()
    known = [part for part in word.split("|") if part in NAMED]
    if isinstance(command, WithUndo) and "BACKUP" in known:
        known.append(UNDO.name)
    if known:
        return Known("|".join(known).lower(), environment)
    if word in FILES:
        return click.Path()
    return Zones() if word == "TZ" else None
