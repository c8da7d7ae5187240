"""How `restore BACKUP` and `restore undo CACHE` stand beside each other.

A backup is an id or CACHE/NAME, so the bare word `undo` is never one.
"""

from importlib import import_module

import click

from daemon.cli.complaint import NoSuchCommand
from daemon.cli.examples import with_examples
from daemon.cli.tree import Branch

WORD = "undo"
UNDO = Branch("daemon.cli.undo", "undo", "Take the newest restore into a cache back.")
_BEFORE = ("--json",)
"""What may come before the word; any other option may have a value."""


class WithUndo(click.Command):
    """A command that gives way to `undo` where that is its first word."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: object,
    ) -> click.Context:
        """As click does, for the command that is meant."""
        at = next((n for n, word in enumerate(args) if word not in _BEFORE), len(args))
        if args[at : at + 1] == [WORD]:
            command = getattr(import_module(UNDO.module), UNDO.name)
            if isinstance(command, click.Command):
                with_examples(command, f"{info_name} {WORD}")
                rest = [*args[:at], *args[at + 1 :]]
                return command.make_context(f"{info_name} {WORD}", rest, parent, **extra)
        _near_miss(args[at:], parent)
        return super().make_context(info_name, args, parent, **extra)


def _near_miss(words: list[str], parent: click.Context | None) -> None:
    """``restore udno shop``: two words and no option is no restore, and may be a slip."""
    from daemon.near import nearest  # noqa: PLC0415 - seldom wanted

    bare = [word for word in words if not word.startswith("-")]
    is_target_said = any(word.startswith(("--to", "--new", "--file")) for word in words)
    if len(bare) == 2 and not is_target_said and nearest(bare[0], [WORD]):
        raise NoSuchCommand(f"restore {bare[0]}", [f"restore {WORD}"], parent)
