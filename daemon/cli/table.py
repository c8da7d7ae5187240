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
        lines += _below(first, width, value=value) if width else [first + value]
    return lines


def _below(first: str, width: int, *, value: str) -> list[str]:
    import textwrap  # noqa: PLC0415 - pages need it, lists do not

    return textwrap.wrap(
        value,
        width,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
