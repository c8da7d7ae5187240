"""Tables that fit the width there is. Pure.

Nothing is cut off: when a table is too wide, the columns that matter least are left out, and
at last names that are too long take lines of their own.
"""

from collections.abc import Sequence

from msgspec import Struct

from daemon.cli import wide

_GAP = "  "
_FEW = 0.25
"""If no more than this part of the names are long, no column is left out because of them."""
_OF_NAMES = 0.4
"""So much of the width names may take where not all have room."""


class Column(Struct, frozen=True):
    """One column. Those with the highest `rank` go first when there is no room; 0 never goes."""

    head: str
    rank: int = 0
    right: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Lines of a table, its heads first; nothing when there are no rows."""
    return [line for lines in grouped(columns, rows, width) for line in lines]


def grouped(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int
) -> list[list[str]]:
    """The same, but the lines of each row by themselves: the heads' first, then the rows'."""
    if not rows:
        return []
    cells = [[column.head for column in columns], *[list(row) for row in rows]]
    widths = [max(wide.width(row[i]) for row in cells) for i in range(len(columns))]
    ranks = [column.rank for column in columns]
    kept = _fitting(widths, width, ranks=ranks)
    short = max(wide.width(columns[0].head), int(width * _OF_NAMES))
    names = [wide.width(row[0]) for row in cells]
    few = len(kept) < len(columns) and 0 < sum(n > short for n in names) <= len(rows) * _FEW
    if few or _total(widths, kept=kept) > width:
        # Long names get lines of their own, and the others are a table.
        widths[0] = max(name for name in names if name <= short)
        kept = _fitting(widths, width, ranks=[0, *ranks[1:]])
    return [_lines(columns, row, widths=widths, kept=kept) for row in cells]


def _fitting(widths: Sequence[int], room: int, *, ranks: Sequence[int]) -> list[int]:
    kept = list(range(len(widths)))
    while _total(widths, kept=kept) > room:
        least = max(kept, key=lambda i: ranks[i])
        if ranks[least] == 0:
            break
        kept.remove(least)
    return kept


def _lines(
    columns: Sequence[Column], row: Sequence[str], *, widths: Sequence[int], kept: Sequence[int]
) -> list[str]:
    """One line; two where the name is longer than its column."""
    if wide.width(row[0]) <= widths[0]:
        return [_line(columns, row, widths=widths, kept=kept)]
    rest = ["", *row[1:]]
    return [row[0], _line(columns, rest, widths=widths, kept=kept)]


def _total(widths: Sequence[int], *, kept: Sequence[int]) -> int:
    return sum(widths[i] + len(_GAP) for i in kept) - len(_GAP)


def _line(
    columns: Sequence[Column], row: Sequence[str], *, widths: Sequence[int], kept: Sequence[int]
) -> str:
    cells = (wide.padded(row[i], widths[i], right=columns[i].right) for i in kept)
    return _GAP.join(cells).rstrip()


def facts(
    pairs: Sequence[tuple[str, str]], *, indent: str = "", width: int | None = None
) -> list[str]:
    """``name  value`` lines with the values below each other; empty values are left out.

    A value that is too long goes on below itself, between its words.
    """
    shown = [(name, value) for name, value in pairs if value not in ("", "-")]
    widest = max((len(name) for name, _ in shown), default=0)
    lines: list[str] = []
    for name, value in shown:
        first = f"{indent}{name.ljust(widest)}{_GAP}"
        below = " " * len(first)
        lines += wide.wrapped(value, width, first=first, rest=below) if width else [first + value]
    return lines
