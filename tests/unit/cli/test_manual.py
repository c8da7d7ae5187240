"""The manual and the examples: of every command there is, and nothing that is not."""

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from daemon.cli.desk import Desk
from daemon.cli.examples import EXAMPLES
from daemon.cli.main import cli
from daemon.cli.restore_tree import UNDO

PAGE = Path(__file__).parents[3] / "docs" / "commands.md"


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every command."""
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path[-1] if path else "valkeep")
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, (*path, name))
    else:
        yield path


ALL = [" ".join(path) for path in commands(cli)] + [f"restore {UNDO.name}"]


def printed(*words: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("path", ALL)
def test_help_ends_with_an_example(path: str) -> None:
    """Every command shows how it is typed, in 80 columns."""
    told = printed(*path.split(), "--help")
    assert all(f"    {line}\n" in told for line in EXAMPLES[path])
    assert max(map(len, EXAMPLES[path])) <= 76


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_examples_can_be_typed(line: str) -> None:
    """The words of an example are those that the command knows; a pipe is the shell's."""
    inner = line.removeprefix('eval "$(').removesuffix(')"')
    (words,) = [
        part for part in (shlex.split(one) for one in inner.split("|")) if part[0] == "valkeep"
    ]
    words = words[: words.index(">")] if ">" in words else words
    context: click.Context | None = None
    command: click.Command = cli
    rest = words[1:]
    while True:
        context = command.make_context(words[0], rest, context)
        context.obj = Desk({}, None)
        if not isinstance(command, click.Group):
            break
        _, below, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert below is not None
        command = below


def test_manual_is_a_page_for_man() -> None:
    """It has every command, and `man` has nothing against it."""
    page = printed("manual")
    assert all(f".SS valkeep {path} ".replace("-", r"\-") in page for path in ALL)


@pytest.mark.debian("groff")
def test_groff_finds_nothing_wrong() -> None:
    """The program behind `man` sets the page without a warning."""
    told = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z"],
        input=printed("manual"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stderr == ""


def test_reference_is_up_to_date() -> None:
    """`docs/commands.md` is what the commands say: valkeep manual --markdown > docs/commands.md."""
    assert PAGE.read_text(encoding="utf-8") == printed("manual", "--markdown")
