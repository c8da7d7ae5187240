"""`valkeep config`: check a configuration file, or print one to begin with."""

from pathlib import Path

import click

from daemon.cli.tree import Tree
from daemon.cli.words import plural
from daemon.config import example, load
from daemon.errors import BadRequest


@click.group("config", cls=Tree)
def config() -> None:
    """Check a configuration file, or print an example."""


@config.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Tell everything that is wrong with FILE, with the line."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise BadRequest(
            "config-unreadable", f"{file} cannot be read: {error.strerror}.", "Check the path."
        ) from None
    except UnicodeDecodeError:
        raise BadRequest(
            "config-unreadable", f"{file} is not UTF-8 text.", "Save it as UTF-8."
        ) from None
    found = load(text, file)
    vaults, caches = len(found.vaults), len(found.caches)
    click.echo(f"{file} is in order: {plural(vaults, 'vault')}, {plural(caches, 'cache')}.")
    if found.hooks:
        from daemon.cli.hook_doubts import hook_doubts  # noqa: PLC0415 - only where there are some

        for told in hook_doubts(found, text, file):
            click.echo(told, err=True)


@config.command()
def init() -> None:
    """Print an example with every setting, its default, and a line of why."""
    click.echo(example(), nl=False)
