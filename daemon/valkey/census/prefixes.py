"""How much lies under which beginning of keys' names, in memory that does not grow. Pure.

Knows names as paths: parts that end with their separator, ids among them already told as ``*``.
A level with too many names keeps the heaviest, and takes the others together under ``*``: sums
stay exact at every level above, and what a name that came back may lack is known.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct, field

STAR = b"*"
CHILDREN = 64
"""More names than that on one level are taken for ids."""
KEPT = 32
"""So many of them, the heaviest, keep their names."""
MOST_NODES = 5_000
MANY = 12
"""From here on the light names of a level are told together."""
SEPARATORS = b":/|#._-"


class Prefix(NamedTuple):
    """All keys that a pattern fits; `lasting` are the bytes of those that have no expiry.

    `lacking` bytes at most are counted under ``*`` instead, for want of memory; that is told of
    prefixes in which nothing stands for several.
    """

    pattern: bytes
    keys: int
    size: int
    lasting: int
    lacking: int


class Some(NamedTuple):
    """Some keys, as they are added."""

    keys: float
    size: float
    lasting: float = 0


class Node(Struct):
    """One beginning, with all that is below it; `folded` bounds what any name below may lack."""

    keys: float = 0
    size: float = 0
    lasting: float = 0
    lacking: float = 0
    folded: float = 0
    children: "dict[bytes, Node]" = field(default_factory=dict)

    def add(self, more: "Some | Node") -> None:
        """So many more keys."""
        self.keys += more.keys
        self.size += more.size
        self.lasting += more.lasting


class Prefixes:
    """The beginnings of all names of one database."""

    def __init__(self, *, most_nodes: int = MOST_NODES) -> None:
        self._root = Node()
        self._nodes = 1
        self._most_nodes = most_nodes

    @property
    def nodes(self) -> int:
        """How many beginnings are kept now."""
        return self._nodes

    def add(self, path: Sequence[bytes], some: Some) -> None:
        """Some more keys whose names have this path."""
        node = self._root
        node.add(some)
        for part in path:
            node = self._below(node, part)
            node.add(some)
        if self._nodes > self._most_nodes:
            self._prune()

    def _below(self, node: Node, part: bytes) -> Node:
        child = node.children.get(part)
        if child is None:
            if len(node.children) >= CHILDREN:
                self._nodes -= _taken_together(node)
            child = node.children[part] = Node(lacking=node.folded + node.lacking)
            self._nodes += 1
        return child

    def _prune(self) -> None:
        """Take light names together, everywhere, until half of the nodes are gone."""
        light = max(1.0, self._root.size / self._most_nodes)
        while self._nodes > self._most_nodes // 2 and light < 2 * self._root.size + 2:
            self._nodes -= _folded_below(self._root, light)
            light *= 4

    def rows(self, least: float, *, factor: float = 1.0) -> list[Prefix]:
        """All beginnings with so many bytes at least, each before what is below it.

        Each key that was added stands for `factor` keys.
        Only to be asked at the end: names that are too light to be told are taken together.
        """
        return [
            Prefix(pattern, *(round(factor * value) for value in figures))
            for pattern, figures in _rows(self._root, _Path(), max(1.0, least / factor))
        ]


def _is_star(part: bytes) -> bool:
    return part == STAR or (len(part) == 2 and part[:1] == STAR and part[1] in SEPARATORS)


def _star(part: bytes) -> bytes:
    """What a name is called together with others: a part that goes on keeps its separator."""
    return STAR + part[-1:] if part and part[-1] in SEPARATORS else STAR


def _fold(node: Node, part: bytes) -> int:
    """Take one name of a level together with the nameless ones; how many nodes fewer there are."""
    child = node.children.pop(part)
    node.folded = max(node.folded, child.size + child.lacking)
    star = _star(part)
    there = node.children.get(star)
    if there is None:
        node.children[star] = child
        return 0
    return _merge(there, other=child)


def _merge(into: Node, *, other: Node) -> int:
    """Add a node and all below it to a nameless one; how many nodes fewer there are."""
    fewer = 1
    into.add(other)
    for part, child in other.children.items():
        there = into.children.get(part)
        if there is None:
            into.children[part] = child
        else:
            fewer += _merge(there, other=child)
    if len(into.children) > CHILDREN:
        fewer += _taken_together(into)
    return fewer


def _taken_together(node: Node) -> int:
    """Let only the heaviest on a level keep their names; how many nodes fewer there are."""
    named = [part for part in node.children if not _is_star(part)]
    named.sort(key=lambda part: node.children[part].size, reverse=True)
    return sum(_fold(node, part) for part in named[KEPT:])


def _folded_below(node: Node, light: float) -> int:
    """Take names together that have less than so much, on every level."""
    fewer = 0
    named = [part for part in node.children if not _is_star(part)]
    for part in named:
        if len(named) > 1 and node.children[part].size < light:
            fewer += _fold(node, part)
    return fewer + sum(_folded_below(child, light) for child in list(node.children.values()))


class _Path(NamedTuple):
    """Where a node is; `named` says that no part of it stands for several."""

    name: bytes = b""
    named: bool = True

    def then(self, part: bytes) -> "_Path":
        """One part further."""
        return _Path(self.name + part, self.named and not _is_star(part))


def _rows(node: Node, path: _Path, least: float) -> Iterator[tuple[bytes, tuple[float, ...]]]:
    light = [
        part
        for part, child in node.children.items()
        if not _is_star(part) and child.size < max(least, node.size / 50)
    ]
    if len(light) >= MANY:
        for part in light:
            _fold(node, part)
    heavy = sorted(node.children.items(), key=lambda one: (-one[1].size, one[0]))
    for part, child in heavy:
        if child.size < least or (part == STAR and path.name):
            continue  # What is left is what the row above has more than those below it.
        below = path.then(part)
        pattern = below.name + (STAR if child.children else b"")
        lacking = child.lacking if below.named else 0
        yield pattern, (child.keys, child.size, child.lasting, lacking)
        yield from _rows(child, below, least)
