"""The tree of commands, each imported only when it is called: that keeps every call quick."""

from collections.abc import Mapping
from importlib import import_module

import click
from msgspec import Struct

from daemon.cli.complaint import NoSuchCommand
from daemon.cli.examples import with_examples


class Branch(Struct, frozen=True):
    """Where a command is, and its line in the help."""

    module: str
    name: str
    help: str


class Tree(click.Group):
    """A group whose commands are known by name until one of them is wanted."""

    branches: Mapping[str, Branch] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order in which they are told."""
        return [*self.branches, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        branch = self.branches.get(cmd_name)
        if branch is None:
            command = super().get_command(ctx, cmd_name)
        else:
            command = getattr(import_module(branch.module), branch.name)
        if not isinstance(command, click.Command):
            return None
        with_examples(command, cmd_name if ctx.parent is None else f"{ctx.info_name} {cmd_name}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help's list, without importing any command."""
        del ctx
        own = [(name, own.get_short_help_str(80)) for name, own in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl([*((n, b.help) for n, b in self.branches.items()), *own])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but with our own refusal where there is none of that name."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            raise NoSuchCommand(name, self.list_commands(ctx), ctx)
        return super().resolve_command(ctx, args)
