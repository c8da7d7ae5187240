"""Tables that fit the width there is. Pure.

Nothing is cut off: when a table is too wide, the columns that matter least are left out, and
at last the first column takes a line of its own.
"""

from collections.abc import Sequence

from msgspec import Struct

_GAP = "  "


class Column(Struct, frozen=True):
    """One column. Those with the highest `rank` go first when there is no room; 0 never goes."""

    head: str
    rank: int = 0
    right: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Lines of a table, its heads first; nothing when there are no rows."""
    if not rows:
        return []
    cells = [[column.head for column in columns], *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    kept = _fitting(columns, widths, width)
    tall = sum(widths[i] + len(_GAP) for i in kept) - len(_GAP) > width
    lines: list[str] = []
    for row in cells:
        if tall:
            lines.append(row[kept[0]])
            lines.append("    " + _line(columns, row, widths=widths, kept=kept[1:]))
        else:
            lines.append(_line(columns, row, widths=widths, kept=kept))
    return lines


def _fitting(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int]:
    kept = list(range(len(columns)))
    while sum(widths[i] + len(_GAP) for i in kept) - len(_GAP) > width:
        least = max(kept, key=lambda i: columns[i].rank)
        if columns[least].rank == 0:
            break
        kept.remove(least)
    return kept


def _line(
    columns: Sequence[Column], row: Sequence[str], *, widths: Sequence[int], kept: Sequence[int]
) -> str:
    return _GAP.join(
        row[i].rjust(widths[i]) if columns[i].right else row[i].ljust(widths[i]) for i in kept
    ).rstrip()


def facts(pairs: Sequence[tuple[str, str]], *, indent: str = "") -> list[str]:
    """``name  value`` lines with the values below each other; empty values are left out."""
    shown = [(name, value) for name, value in pairs if value not in ("", "-")]
    widest = max((len(name) for name, _ in shown), default=0)
    return [f"{indent}{name.ljust(widest)}{_GAP}{value}" for name, value in shown]
