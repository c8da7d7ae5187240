"""`valkeep config`: check a configuration file, or print one to begin with."""

from pathlib import Path

import click
import msgspec

from daemon.cli.desk import Desk, json_option
from daemon.cli.tree import Tree
from daemon.cli.words import plural
from daemon.config import example, load
from daemon.config.problem import ConfigError, Problem
from daemon.errors import BadRequest


@click.group("config", cls=Tree)
def config() -> None:
    """Check a configuration file, or print an example."""


@config.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def check(desk: Desk, file: Path) -> None:
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
    try:
        found = load(text, file)
    except ConfigError as error:
        if desk.as_json:
            desk.show(msgspec.json.encode(_Checked(str(file), error.problems)), ())
        raise
    vaults, caches = len(found.vaults), len(found.caches)
    told = f"{file} is in order: {plural(vaults, 'vault')}, {plural(caches, 'cache')}."
    desk.show(msgspec.json.encode(_Checked(str(file), vaults=vaults, caches=caches)), [told])
    if found.hooks:
        from daemon.cli.hook_doubts import hook_doubts  # noqa: PLC0415 - only where there are some

        for told in hook_doubts(found, text, file):
            click.echo(told, err=True)


class _Checked(msgspec.Struct, frozen=True):
    """What ``--json`` prints."""

    file: str
    problems: tuple[Problem, ...] = ()
    vaults: int = 0
    caches: int = 0


@config.command()
def init() -> None:
    """Print an example with every setting, its default, and a line of why."""
    click.echo(example(), nl=False)
