"""What differs, for people: counts first, each key's name in the spelling of valkey-cli. Pure."""

from base64 import b64decode
from collections.abc import Iterator, Sequence

from daemon.answers.comparison import ComparisonView
from daemon.cli.table import Column, facts, table
from daemon.cli.words import elapsed, instant, plural
from daemon.commands import DifferingKey
from events.differences import Difference, KeyCounts

SIGNS: dict[Difference, str] = {
    "added": "+",
    "removed": "-",
    "expired": "x",
    "changed": "~",
    "ttl": "t",
}
WORDS: dict[Difference, str] = {
    "added": "only in the second",
    "removed": "only in the first",
    "expired": "only in the first: their TTL ended in between",
    "changed": "another value",
    "ttl": "another TTL, or one no more, and the same value",
}
_SHORT = {9: "\\t", 10: "\\n", 13: "\\r", 7: "\\a", 8: "\\b", 34: '\\"', 92: "\\\\"}


def page(view: ComparisonView, width: int) -> Iterator[str]:
    """The result of a comparison that has completed."""
    result = view.result
    if result is None:
        yield f"{view.first} and {view.second} are still being compared."
        return
    counts = result.counts
    differing = sum(getattr(counts, kind) for kind in SIGNS)
    same = "" if differing else "nothing differs"
    told = same or f"{plural(differing, 'key')} of {differing + counts.same:,} differ"
    yield f"From {view.first} to {view.second}: {told}."
    yield from facts(list(_pairs(view, counts)), indent="  ", width=width)
    if len(result.databases) > 1:
        yield ""
        rows = [(f"db{number}", one) for number, one in sorted(result.databases.items())]
        yield from _table(rows, (*SIGNS, "same"), width)
    if result.types:
        yield ""
        yield from _table(list(result.types.items()), tuple(SIGNS), width)


def name_line(name: DifferingKey) -> str:
    """``~ db0 hash "orders:1"``."""
    raw = name.key.encode() if name.key is not None else b64decode(name.key_base64 or "")
    return f"{SIGNS[name.difference]} db{name.database} {name.type} {quoted(raw)}"


def quoted(key: bytes) -> str:
    r"""A key as valkey-cli shows one: in quotes, what cannot be seen as ``\x00``."""
    return '"' + "".join(_sign(byte) for byte in key) + '"'


def _sign(byte: int) -> str:
    if byte in _SHORT:
        return _SHORT[byte]
    return chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}"


def _pairs(view: ComparisonView, counts: KeyCounts) -> Iterator[tuple[str, str]]:
    result = view.result
    for kind, sign in SIGNS.items():
        number: int = getattr(counts, kind)
        yield f"{sign} {kind}", f"{number:,}  {WORDS[kind] if number else ''}".rstrip()
    yield "= same", f"{counts.same:,}"
    if result is None:
        return
    if result.functions_differ:
        yield "functions", "differ: `FUNCTION LIST` is not the same on both sides"
    yield "first", f"{view.first}, of {instant(result.first_at)}"
    yield "second", f"{view.second}, of {instant(result.second_at)}"
    took = f"{elapsed(result.seconds)}, of which {elapsed(result.load_seconds)} to load both"
    yield "took", f"{took}, by {result.engine}"
    for note in result.notes:
        yield "note", note


def _table(rows: Sequence[tuple[str, KeyCounts]], kinds: tuple[str, ...], width: int) -> list[str]:
    """Counts by database or type."""
    columns = [Column(""), *(Column(kind, rank=1, right=True) for kind in kinds)]
    cells = [(name, *(f"{getattr(one, kind):,}" for kind in kinds)) for name, one in rows]
    return table(columns, cells, width)
