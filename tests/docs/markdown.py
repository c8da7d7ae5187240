"""Markdown in pieces: tables, blocks, and the anchors that its headings get."""

import re
from collections.abc import Iterable, Iterator, Sequence

MADE = (
    "<!-- Made of the program by `make docs`: change the words in the source, not here. -->",
    "",
)
"""How every generated page begins."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table with an empty line after it; nothing at all without rows."""
    lines = [_row(row) for row in rows]
    if lines:
        yield _row(head)
        yield "|---" * len(head) + "|"
        yield from lines
        yield ""


def block(language: str, *lines: str, not_run: str = "") -> Iterator[str]:
    """A block of code; with a reason, marked as one that no test types."""
    if not_run:
        yield f"<!-- not run: {not_run} -->"
    yield from (f"```{language}", *lines, "```", "")


def anchor(heading: str) -> str:
    """What follows ``#`` in a link to a heading, as the common renderers make it."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip()).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")
