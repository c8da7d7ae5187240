"""The reference of settings: types and defaults from the program, words from the example file."""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from daemon.app.running import AT_ONCE, AT_RESTART
from daemon.config import example
from daemon.config.document import _BELOW, _NAMED, _SECTIONS
from daemon.config.rules import LATER
from tests.docs.markdown import MADE, table
from tests.docs.words import Field, told

_HEADER = re.compile(r"(?:# )?\[([a-z_]+(?:\.[a-z_-]+)*)\]")
_SETTING = re.compile(r"(?:# )?([a-z_]+) = (.*?)\s*")
_CHOICES = re.compile(r'"[^"]*"( \| "[^"]*")*')

INTRO = """\
# Configuration

One file in TOML, `/etc/valkeep/valkeep.toml` unless `valkeep serve --config FILE` names another.
`valkeep config init` prints an example with every setting, `valkeep config check FILE` tells
everything that is wrong with a file, each with its line. Without a file and without root the daemon
uses folders of your own (see [quickstart.md](quickstart.md#a-trial-without-root)).

No secret is ever written in it: a `…_file` names a file, an `…_env` an environment variable that
holds one. Both are read again at each connection.

`systemctl reload valkeep` (or `SIGHUP`) reads it again. A file with a mistake in it changes
nothing, and the daemon's log says what is wrong. Each section tells whether a reload takes its
settings over, or the next start; a change that waits for a start is named in the log at the reload.
"""


class Note(Struct, frozen=True):
    """A paragraph of the example that belongs to no single setting."""

    text: str


class Row(Struct, frozen=True):
    """One setting: its name, the words above it, and the example's text after the equals sign."""

    name: str
    words: str
    text: str


class Section(Struct):
    """One section of the example, in its order."""

    header: str
    items: list[Note | Row]


def page() -> str:
    """The whole page."""
    lines = [line for section in sections() for line in _section(section)]
    return "\n".join([*MADE, INTRO, *lines]).rstrip() + "\n"


def sections() -> tuple[Section, ...]:
    """The example as it is written."""
    found: list[Section] = []
    above: list[str] = []
    words = ""
    for line in [*example().splitlines(), ""]:
        if header := _HEADER.fullmatch(line):
            found.append(Section(header[1], _notes(above)))
            above, words = [], ""
        elif found and (setting := _SETTING.fullmatch(line)):
            words = _said(above) or words
            above = []
            found[-1].items.append(Row(setting[1], words, setting[2]))
        elif line.startswith("# "):
            above.append(line.removeprefix("# "))
        elif not line:
            if found:
                found[-1].items += _notes(above)
            above, words = [], ""
    return tuple(found)


def _notes(lines: list[str]) -> list[Note | Row]:
    return [Note(" ".join(lines))] if lines else []


def _said(lines: list[str]) -> str:
    """The words above a setting; which values it may have stands in the table anyway."""
    words = [line for line in lines if not _CHOICES.fullmatch(line)]
    return " ".join(words or lines)


def shape_of(header: str) -> type[Struct]:
    """The shape of the section of that name."""
    kind, *names = header.split(".")
    shape = _NAMED.get(kind, _SECTIONS[kind])
    for name in names[1:]:
        shape = _BELOW[shape][name]
    return shape


def shown(header: str) -> str:
    """The section's header with ``NAME`` in place of the example's name."""
    kind, *names = header.split(".")
    return ".".join([kind, "NAME", *names[1:]]) if kind in _NAMED and names else header


def wanted(shape: type[Struct]) -> Mapping[str, Field]:
    """The settings of a section that can be used now."""
    later = {setting.rpartition(".")[2] for setting in LATER}
    return {field.name: field for field in told(shape) if field.name not in later}


def _section(section: Section) -> Iterator[str]:
    kind = section.header.split(".")[0]
    fields = wanted(shape_of(section.header))
    yield from (f"## [{shown(section.header)}]", "")
    if kind in AT_RESTART:
        yield "Taken over when the daemon starts."
    else:
        yield "Taken over by a reload, and when the daemon starts."
    yield ""
    rows: list[list[str]] = []
    before = Row("", "", "")
    for item in section.items:
        if isinstance(item, Note):
            yield from _settings(rows)
            rows = []
            yield from (_linked(item.text), "")
            continue
        same = item.words == before.words
        rows.append(_row(kind, item, fields[item.name], as_before=before.name if same else ""))
        before = before if same else item
    yield from _settings(rows)


def _settings(rows: list[list[str]]) -> Iterator[str]:
    yield from table(["setting", "type", "default", "what, and why"], rows)


def _row(kind: str, row: Row, field: Field, *, as_before: str) -> list[str]:
    sample = re.sub(r"\s+#.*", "", row.text)
    default = field.default if field.default != "–" else f"none; such as `{sample}`"
    if field.default == "required":
        default = f"required; such as `{sample}`"
    words = f"See `{as_before}`." if as_before else _linked(row.words)
    if kind in AT_RESTART and row.name in AT_ONCE:
        words += " A reload takes it over."
    return [f"`{row.name}`", field.kind, default, words]


def _linked(words: str) -> str:
    """The example speaks of pages from the top of the repository."""
    return re.sub(r"docs/([\w-]+\.md)", r"[\1](\1)", words.replace("|", "\\|"))
