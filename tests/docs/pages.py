"""Every page of the documentation, those that are made, and the blocks of code in them."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

from click.testing import CliRunner
from msgspec import Struct

from daemon.cli.main import cli
from tests.docs import api, configuration, events

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def commands() -> str:
    """The page of commands, which the command line prints itself."""
    return CliRunner().invoke(cli, ["manual", "--markdown"]).output


GENERATED: Mapping[str, Callable[[], str]] = {
    "api.md": api.page,
    "commands.md": commands,
    "configuration.md": configuration.page,
    "events.md": events.page,
}
"""By the name in ``docs/``: what the page must be."""

_BLOCK = re.compile(
    r"(?P<mark>^ *<!-- not run: (?P<reason>.*?) -->\n+)?"
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<body>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)
_HERE = re.compile(r"<<'(\w+)'")
_PROMPT = re.compile(r"[$#] ")


class Step(Struct, frozen=True):
    """One command of a block as it is written, and what is shown of its answer."""

    command: str
    shown: tuple[str, ...]


class Block(Struct, frozen=True):
    """One block of code: where it begins, its section, and why it is not run, if it is not."""

    page: str
    line: int
    language: str
    section: str
    not_run: str
    lines: tuple[str, ...]

    @property
    def place(self) -> str:
        """Where a reader finds it."""
        return f"{self.page}:{self.line}"

    @property
    def steps(self) -> tuple[Step, ...]:
        """Its commands in order; a line that ends with a backslash goes on."""
        return tuple(_steps(self.lines))


def paths() -> tuple[Path, ...]:
    """The README and every page of ``docs/``."""
    return (ROOT / "README.md", *sorted(DOCS.glob("*.md")))


@cache
def blocks(path: Path) -> tuple[Block, ...]:
    """All blocks of code of a page."""
    text = path.read_text(encoding="utf-8")
    return tuple(_block(path, text, found) for found in _BLOCK.finditer(text))


def headings(text: str) -> list[str]:
    """All headings of a page, code left out."""
    return re.findall(r"^#{1,6} (.+)$", _BLOCK.sub("", text), re.MULTILINE)


def _block(path: Path, text: str, found: re.Match[str]) -> Block:
    before = text[: found.start("language")]
    above = re.findall(r"^## (.+)$", before, re.MULTILINE)
    indent = len(found["indent"])
    return Block(
        page=str(path.relative_to(ROOT)),
        line=before.count("\n") + 1,
        language=found["language"],
        section=above[-1] if above else "",
        not_run=found["reason"] or "",
        lines=tuple(line[indent:] for line in found["body"].splitlines()),
    )


def _is_open(command: list[str]) -> bool:
    """Whether a text that is given in place has not come to its end."""
    marked = _HERE.search(command[0])
    return marked is not None and marked[1] not in command


def _steps(lines: tuple[str, ...]) -> Iterator[Step]:
    command: list[str] = []
    shown: list[str] = []
    for line in lines:
        goes_on = bool(command) and (command[-1].endswith("\\") or _is_open(command))
        if _PROMPT.match(line) and not goes_on:
            if command:
                yield Step("\n".join(command), tuple(shown))
            command, shown = [line[2:]], []
        elif goes_on:
            command.append(line)
        else:
            shown.append(line)
    if command:
        yield Step("\n".join(command), tuple(shown))
