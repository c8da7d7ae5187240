"""What slices of keys come to, database by database, and what all of them come to. Pure.

Knows that a database whose keys were not all looked at stands for all of them: SCAN goes through
a table by the hash of the names, so what comes first is as good a sample as any.
"""

import heapq
from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct, field

from daemon.valkey.census.prefixes import Prefix, Prefixes, Some
from events.keyspace import TTL_SPANS, KeyAmount, KeyspaceFacts

MOST_LARGE = 20
MOST_PREFIXES = 200


class Large(NamedTuple):
    """One key that is large; `name` may be only the beginning of one that is `name_bytes` long."""

    size: int
    elements: int
    database: int
    name: bytes
    name_bytes: int
    type: str
    encoding: str


class Sum(Struct):
    """Keys, bytes and elements that grow."""

    keys: float = 0
    size: float = 0
    elements: float = 0

    def add(self, more: "Sum", weight: "Weight") -> None:
        """So many more, each of which stands for several."""
        self.keys += more.keys * weight.keys
        self.size += more.size * weight.size
        self.elements += more.elements * weight.keys

    @property
    def amount(self) -> KeyAmount:
        """As they are now."""
        return KeyAmount(round(self.keys), round(self.size), round(self.elements))


class Weight(NamedTuple):
    """What each key stands for, and each byte."""

    keys: float = 1.0
    size: float = 1.0


ITSELF = Weight()


class Sums(Struct):
    """Some keys: by type and encoding, by the number of their TTL's span, and by path."""

    kinds: dict[tuple[str, str], Sum] = field(default_factory=dict)
    spans: dict[int, Sum] = field(default_factory=dict)
    paths: list[tuple[tuple[bytes, ...], Some]] = field(default_factory=list)

    def add(self, more: "Sums", weight: Weight) -> None:
        """So many more, but for their paths."""
        for kind, amount in more.kinds.items():
            self.kinds.setdefault(kind, Sum()).add(amount, weight)
        for span, amount in more.spans.items():
            self.spans.setdefault(span, Sum()).add(amount, weight)

    @property
    def total(self) -> Sum:
        """All of them."""
        total = Sum()
        for one in self.kinds.values():
            total.add(one, ITSELF)
        return total


class Slice(Struct, frozen=True):
    """What one slice of a database comes to; keys that were only weighed are in no sum."""

    scanned: int
    weighed: Sum
    ordinary: Sums
    big: Sums
    giant: Sums
    biggest: list[Large]
    longest: list[Large]


class Tally(Struct):
    """One database so far; `keys` is what it holds in all.

    What is in `sums` and the prefixes stands for what is still to come, too; a giant stands for
    itself alone, for there are no more that are like it.
    """

    keys: int
    scanned: int = 0
    detailed: int = 0
    ended: bool = False
    sums: Sums = field(default_factory=Sums)
    giants: Sums = field(default_factory=Sums)
    prefixes: Prefixes = field(default_factory=Prefixes)

    @property
    def share(self) -> float:
        """How far it is, 1 at the end."""
        return 1.0 if self.ended else min(1.0, self.scanned / max(1, self.keys))

    @property
    def weight(self) -> Weight:
        """What each key of it stands for."""
        factor = 1.0 if self.ended else max(1.0, self.keys / max(1, self.scanned))
        return Weight(factor, factor)

    def add(self, first: Slice, others: list[Slice]) -> None:
        """A slice that was looked at, and others of which ordinary keys were only weighed.

        The ordinary keys of the first stand for those of the others.
        """
        seen, weighed = first.ordinary.total, Sum()
        for one in (first, *others):
            self.scanned += one.scanned
            self.detailed += one.scanned - round(one.weighed.keys)
            weighed.add(one.weighed, ITSELF)
            self._count(one.big, ITSELF)
            self.giants.add(one.giant, ITSELF)
            self.giants.paths += one.giant.paths
        keys = 1 + weighed.keys / seen.keys if seen.keys else 1.0
        size = 1 + weighed.size / seen.size if seen.size else 1.0
        self._count(first.ordinary, Weight(keys, size))

    def _count(self, sums: Sums, weight: Weight) -> None:
        self.sums.add(sums, weight)
        for path, (keys, size, lasting) in sums.paths:
            self.prefixes.add(
                path, Some(keys * weight.keys, size * weight.size, lasting * weight.size)
            )


class Largest:
    """The largest keys of all, by one of their figures."""

    def __init__(self, figure: str) -> None:
        self._figure = figure
        self._heap: list[tuple[int, Large]] = []

    @property
    def least(self) -> int:
        """A key must have more than that to be among them."""
        return self._heap[0][0] if len(self._heap) == MOST_LARGE else 0

    def add(self, found: list[Large]) -> None:
        """Some more keys; one that comes twice counts once."""
        known = {(one.database, one.name) for _, one in self._heap}
        for one in found:
            value: int = getattr(one, self._figure)
            if value <= self.least or (one.database, one.name) in known:
                continue
            push = heapq.heappushpop if len(self._heap) == MOST_LARGE else heapq.heappush
            push(self._heap, (value, one))

    def first(self) -> list[Large]:
        """The largest first."""
        return [one for _, one in sorted(self._heap, reverse=True)]


def facts(tallies: Mapping[int, Tally], seconds: float) -> KeyspaceFacts:
    """All databases in figures."""
    whole, databases = Sums(), {}
    for number, tally in sorted(tallies.items()):
        sums = Sums()
        sums.add(tally.sums, tally.weight)
        sums.add(tally.giants, ITSELF)
        whole.add(sums, ITSELF)
        databases[number] = sums.total.amount
    types: dict[str, Sum] = {}
    for (kind, _), amount in whole.kinds.items():
        types.setdefault(kind, Sum()).add(amount, ITSELF)
    spans = {TTL_SPANS[span - 1]: amount.amount for span, amount in sorted(whole.spans.items())}
    return KeyspaceFacts(
        keys=sum(tally.keys for tally in tallies.values()),
        weighed=sum(tally.scanned for tally in tallies.values()),
        seen=sum(tally.detailed for tally in tallies.values()),
        seconds=round(seconds, 3),
        total=whole.total.amount,
        types={name: types[name].amount for name in sorted(types)},
        encodings={how: amount.amount for (_, how), amount in sorted(whole.kinds.items())},
        databases=databases,
        ttls=spans,
        whole=all(tally.ended for tally in tallies.values()),
    )


def prefixes(tallies: Mapping[int, Tally], least: int) -> dict[int, list[Prefix]]:
    """The beginnings of names with so many bytes at least, by database; to be asked once."""
    found = {}
    for number, tally in sorted(tallies.items()):
        factor = tally.weight.size
        for path, some in tally.giants.paths:
            tally.prefixes.add(path, Some(*(value / factor for value in some)))
        found[number] = tally.prefixes.rows(least, factor=factor)
    return found
