"""The manual page, made of the commands themselves: what `--help` says is what it says.

Writes roff for `man`, or Markdown for the documentation. Knows no command by name.
"""

import re
from collections.abc import Iterator
from importlib import import_module

import click
from msgspec import Struct

from daemon.cli.examples import EXAMPLES
from daemon.cli.restore_tree import UNDO, WithUndo

_EXITS = (
    ("0", "Done, or accepted."),
    ("1", "It failed, the time of --timeout is over, or the event log cannot be written."),
    ("2", "Bad usage."),
    ("3", "Refused by a rule, by rights, or by a blocker of the plan."),
    ("4", "Not found."),
    ("5", "The daemon cannot be reached, or has gone while it was waited for."),
    ("130", "Ctrl-C; what was asked for goes on, unless it is said otherwise."),
)
_ABOUT = (
    "Backups of Valkey and Redis OSS that are known to restore. One daemon makes them, by hand and "
    "by schedule, streams them to a directory or to S3, proves that they load, restores them into "
    "running caches, and keeps a tamper-evident log of all of it. These commands talk to it over a "
    "local Unix socket; who may do what is told from the caller's user and groups."
)
_FILES = (
    ("/etc/valkeep/valkeep.toml", "The configuration; valkeep config init prints an example."),
    ("/run/valkeep/valkeep.sock", "The daemon's socket; --socket or VALKEEP_SOCKET names another."),
    ("/var/lib/valkeep", "The event log and the spool."),
)


class Entry(Struct, frozen=True):
    """One command: its path, its usage, what it does, its options, its examples."""

    path: str
    usage: str
    told: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    examples: tuple[str, ...]


@click.command()
@click.option("--markdown", is_flag=True, help="As Markdown in place of a page for man.")
@click.pass_context
def manual(context: click.Context, markdown: bool) -> None:  # noqa: FBT001 - click's own
    """Print the manual page, which is made of the commands themselves."""
    root = context.find_root()
    entries = tuple(_entries(root.command, "", click.Context(root.command, info_name="valkeep")))
    click.echo("\n".join(_markdown(entries) if markdown else _roff(entries)))


def _entries(command: click.Command, path: str, context: click.Context) -> Iterator[Entry]:
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                inner = click.Context(below, info_name=name, parent=context)
                yield from _entries(below, f"{path} {name}".strip(), inner)
        return
    options = [one for one in command.get_params(context) if isinstance(one, click.Option)]
    records = (one.get_help_record(context) for one in options if "--help" not in one.opts)
    paragraphs = re.split(r"\n\s*\n", (command.help or "").replace("\b\n", "").strip())
    yield Entry(
        path=path,
        usage=" ".join(command.collect_usage_pieces(context)),
        told=tuple(" ".join(paragraph.split()) for paragraph in paragraphs),
        options=tuple(record for record in records if record is not None),
        examples=EXAMPLES.get(path, ()),
    )
    if isinstance(command, WithUndo):
        undo = getattr(import_module(UNDO.module), UNDO.name)
        yield from _entries(undo, f"{path} {UNDO.name}", context)


def _markdown(entries: tuple[Entry, ...]) -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield "Made by `valkeep manual --markdown`, of what `--help` says."
    for entry in entries:
        yield ""
        yield f"## valkeep {entry.path}"
        yield ""
        yield f"`valkeep {entry.path} {entry.usage}`"
        for paragraph in entry.told:
            yield ""
            yield paragraph.replace("<", "&lt;")
        yield ""
        yield "| option | what it does |"
        yield "|---|---|"
        for name, told in entry.options:
            yield f"| `{_cell(name)}` | {_cell(told)} |"
        if entry.examples:
            yield ""
            yield "```sh"
            yield from entry.examples
            yield "```"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _roff(entries: tuple[Entry, ...]) -> Iterator[str]:
    yield '.TH VALKEEP 1 "" "Valkeep" "User commands"'
    yield ".SH NAME"
    yield r"valkeep \- backups of Valkey that are known to restore"
    yield ".SH SYNOPSIS"
    yield r"\fBvalkeep\fR [\fB\-\-socket\fR \fIPATH\fR] \fICOMMAND\fR ..."
    yield ".SH DESCRIPTION"
    yield _text(_ABOUT)
    yield ".SH COMMANDS"
    for entry in entries:
        yield f".SS valkeep {_text(entry.path)} {_text(entry.usage)}"
        for number, paragraph in enumerate(entry.told):
            if number:
                yield ".PP"
            yield _text(paragraph)
        for name, told in entry.options:
            yield from _item(name, told=told)
        for example in entry.examples:
            yield from (".PP", ".RS", ".nf", _text(example), ".fi", ".RE")
    yield ".SH EXIT STATUS"
    for code, told in _EXITS:
        yield from _item(code, told=told)
    yield ".PP"
    yield _text("check alone follows monitoring: 0 ok, 1 warning, 2 critical, 3 unknown.")
    yield ".SH FILES"
    for file, told in _FILES:
        yield from _item(file, told=told)


def _item(head: str, *, told: str) -> Iterator[str]:
    yield ".TP"
    yield rf"\fB{_text(head)}\fR"
    yield _text(told)


def _text(text: str) -> str:
    """As roff takes it for plain text, whatever a line begins with."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped
