"""One census: slice after slice of a private engine's keys, until all are seen or time is over.

Knows how much to ask for at a time, and when to stop. Databases are gone through side by side, so
that what was seen when time is over is the same share of each.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import anyio
from msgspec import Struct, field

from daemon.valkey.asking import Asking, asking
from daemon.valkey.census.answer import read
from daemon.valkey.census.pace import Pace
from daemon.valkey.census.prefixes import MOST_NODES, Prefix, Prefixes
from daemon.valkey.census.scripts import SLICE
from daemon.valkey.census.tally import (
    MOST_LARGE,
    MOST_PREFIXES,
    Large,
    Largest,
    Slice,
    Tally,
    facts,
    prefixes,
)
from daemon.valkey.engine import Engine
from daemon.valkey.keyspace import Held, Keyspace
from events.keyspace import KeyspaceFacts

NAME_BYTES = 1_024
"""So much of a key's name is kept."""
SAMPLES = 100
"""So many elements of a value are weighed, the others are taken to be like them."""
BIG_SAMPLES = 1_000
"""The same of keys of `BIG_BYTES` and more."""
MANY_SAMPLES = 20_000
"""The same of the largest keys at the end."""
BIG_BYTES = 64 << 10
"""Keys from there on are looked at one by one, also when time is short."""
GIANT_SHARE = 1_000
"""A key with this part of all memory, or more, never stands for others."""
DEPTH = 5
"""Parts of a name, at most."""
LEAST_SHARE = 1_000
"""A beginning is told from this part of all bytes on."""


_USED = re.compile(r"used_memory:(\d+)")


class Bounds(Struct, frozen=True):
    """How long it may take, and whether names are wanted."""

    seconds: float
    names: bool = True


class Standing(NamedTuple):
    """How far a census is."""

    counted: int
    keys: int


class Census(Struct, frozen=True):
    """What was found: figures, and if they were wanted names."""

    facts: KeyspaceFacts
    by_bytes: list[Large] = field(default_factory=list)
    by_elements: list[Large] = field(default_factory=list)
    prefixes: dict[int, list[Prefix]] = field(default_factory=dict)
    least_bytes: int = 0
    """Beginnings with less than that are not among the `prefixes`."""


async def counted(
    engine: Engine, socket: str, bounds: Bounds, sign: Callable[[Standing], None]
) -> Census:
    """Count the keys of a private engine that has loaded its data.

    Calls `sign` after every slice. Raises `Transient` or `Permanent`.
    """
    async with asking(socket, label=engine.label) as line:
        held = await Keyspace(line, sees_expired=False).databases()
        counting = _Counting(line, bounds, held, sign)
        await counting.look()
        await counting.run()
        return await counting.census()


class _Counting:
    """One census under way."""

    def __init__(
        self, line: Asking, bounds: Bounds, held: dict[int, Held], sign: Callable[[Standing], None]
    ) -> None:
        self._line = line
        self._bounds = bounds
        nodes = max(20, MOST_NODES // max(1, len(held)))
        self._tallies = {
            number: Tally(one.keys, prefixes=Prefixes(most_nodes=nodes))
            for number, one in held.items()
        }
        self._expires = {number: bool(one.expires) for number, one in held.items()}
        self._cursors = dict.fromkeys(held, b"0")
        self._began = anyio.current_time()
        self._pace = Pace()
        self._sign = sign
        self._told = 0
        self._giant_bytes = 1 << 53
        self._heaviest = Largest("size")
        self._longest = Largest("elements")

    async def look(self) -> None:
        """How large a giant is here."""
        told = _USED.search(str(await self._line.ask("INFO", "memory")))
        if told is not None:
            self._giant_bytes = max(BIG_BYTES, int(told[1]) // GIANT_SHARE)

    async def run(self) -> None:
        """Go through all databases, the one that is behind the others first.

        Some keys of each are looked at even when there is no time.
        """
        while behind := [n for n, tally in self._tallies.items() if not tally.ended]:
            database = min(behind, key=lambda n: self._tallies[n].share)
            if self._left() <= 0 and self._tallies[database].scanned:
                return
            await self._block(database)

    async def _block(self, database: int) -> None:
        """A slice that is looked at, and as many that are only weighed as time demands.

        It leaves half of the time to others.
        """
        tally, until = self._tallies[database], self._left() / 2
        others: list[Slice] = []
        first = await self._slice(database, light=False)
        for _ in range(self._pace.light_slices(self._keys_left(), self._left())):
            if tally.ended or self._left() <= until:
                break
            others.append(await self._slice(database, light=True))
        tally.add(first, others)

    async def _slice(self, database: int, *, light: bool) -> Slice:
        began = anyio.current_time()
        words = (
            *(database, self._cursors[database], self._pace.count, int(self._expires[database])),
            *(self._heaviest.least, self._longest.least, MOST_LARGE, NAME_BYTES, SAMPLES, DEPTH),
            *(int(self._bounds.names), BIG_BYTES, self._giant_bytes),
            *(int(light), BIG_SAMPLES),
        )
        answer, found = read(database, await self._line.ask("EVAL", SLICE, 0, *words))
        self._heaviest.add(found.biggest)
        self._longest.add(found.longest)
        self._cursors[database] = answer.cursor
        self._tallies[database].ended = answer.cursor == b"0"
        seconds = anyio.current_time() - began
        self._pace.took(seconds, answer.scanned, name_bytes=answer.name_bytes, light=light)
        self._told += found.scanned
        all_keys = sum(tally.keys for tally in self._tallies.values())
        self._sign(Standing(self._told, all_keys))
        return found

    def _left(self) -> float:
        return self._bounds.seconds - (anyio.current_time() - self._began)

    def _keys_left(self) -> int:
        return sum(max(0, one.keys - one.scanned) for one in self._tallies.values())

    async def census(self) -> Census:
        """What was found."""
        by_bytes = [await self._weighed(one) for one in self._heaviest.first()]
        by_elements = [await self._weighed(one) for one in self._longest.first()]
        told = facts(self._tallies, anyio.current_time() - self._began)
        least = max(1, told.total.bytes // LEAST_SHARE)
        rows = prefixes(self._tallies, least) if self._bounds.names else {}
        all_rows = sorted((row.size for some in rows.values() for row in some), reverse=True)
        if len(all_rows) > MOST_PREFIXES:
            least = all_rows[MOST_PREFIXES - 1]
            rows = {n: [row for row in some if row.size >= least] for n, some in rows.items()}
        return Census(
            facts=told,
            by_bytes=sorted(by_bytes, reverse=True),
            by_elements=by_elements,
            prefixes=rows,
            least_bytes=least,
        )

    async def _weighed(self, key: Large) -> Large:
        """The same with more of its elements looked at, if it can still be named."""
        if key.type == "string" or key.name_bytes > len(key.name):
            return key
        await self._line.ask("SELECT", key.database)
        found = await self._line.ask("MEMORY", "USAGE", key.name, "SAMPLES", MANY_SAMPLES)
        return key._replace(size=found) if isinstance(found, int) else key
