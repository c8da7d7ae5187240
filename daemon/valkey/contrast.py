"""Two loaded data sets held against each other, key by key, in memory that does not grow.

Knows what each kind of difference is. A key is on a side when it is in its data and its TTL had
not ended at that side's instant. Names are handed on as they are found, and counted here.
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from itertools import repeat
from typing import NamedTuple

from msgspec import Struct, field

from daemon.errors import Transient
from daemon.valkey.asking import bulk
from daemon.valkey.keyspace import (
    NO_EXPIRY,
    NO_KEY,
    NONE,
    Held,
    Keyspace,
    Looked,
    question,
    types_question,
    without_expiry,
)
from daemon.valkey.patterns import matcher
from events.differences import ComparisonWish, Difference, KeyCounts

SECOND_MS = 1_000
BATCH_KEYS = 10_000
BATCH_BYTES = 1 << 20
_STREAM = b"stream"
_NOTHING = Held(0, 0)


class Name(NamedTuple):
    """One key that differs."""

    difference: Difference
    database: int
    key: bytes
    type: str


class Side(NamedTuple):
    """One data set, and the instant at which it is compared, in Unix milliseconds."""

    data: Keyspace
    at_ms: int


class Tally(Struct):
    """Counts that grow."""

    same: int = 0
    added: int = 0
    removed: int = 0
    expired: int = 0
    changed: int = 0
    ttl: int = 0

    def counts(self) -> KeyCounts:
        """As they are now."""
        return KeyCounts(self.same, self.added, self.removed, self.expired, self.changed, self.ttl)

    def count(self, difference: Difference) -> None:
        """One more."""
        setattr(self, difference, getattr(self, difference) + 1)

    def add(self, other: "Tally") -> None:
        """All of another one's."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Contrast(Struct):
    """What differs; `looked_at` counts the keys of both sides as they are gone through."""

    databases: dict[int, Tally] = field(default_factory=dict)
    types: dict[str, Tally] = field(default_factory=dict)
    functions_differ: bool = False
    keys: int = 0
    looked_at: int = 0

    @property
    def total(self) -> Tally:
        """Over all databases."""
        total = Tally()
        for tally in self.databases.values():
            total.add(tally)
        return total


class Comparing:
    """One comparison; go through `steps` to its end, then `found` is whole."""

    def __init__(self, wish: ComparisonWish, *, first: Side, second: Side) -> None:
        self._first = first
        self._second = second
        self._wish = wish
        patterns = [pattern.encode() for pattern in wish.patterns]
        self._pattern = patterns[0] if len(patterns) == 1 else None
        self._filter = matcher(patterns) if len(patterns) > 1 else None
        self.found = Contrast()

    async def steps(self) -> AsyncGenerator[list[Name], None]:
        """The names of keys that differ, as they are found; often none. Use under `aclosing`."""
        found, data = self.found, (self._first.data, self._second.data)
        firsts, seconds = [await one.databases() for one in data]
        functions = [await one.functions() for one in data]
        found.functions_differ = functions[0] != functions[1]
        wanted = self._wish.database
        databases = [d for d in sorted({*firsts, *seconds}) if wanted is None or d == wanted]
        all_held = [(firsts.get(d, _NOTHING), seconds.get(d, _NOTHING)) for d in databases]
        found.keys = sum(first.keys + second.keys for first, second in all_held)
        for database, (first, second) in zip(databases, all_held, strict=True):
            one = _Database(self, database, first=first, second=second)
            for side in (self._first, self._second):
                await side.data.select(database)
            async with aclosing(one.compare()) as steps:
                async for names in steps:
                    yield names

    async def batches(self, data: Keyspace, held: Held) -> AsyncGenerator[list[bytes], None]:
        """All wanted keys of a side, in portions that one question can hold.

        Raises `Transient("unstable")` when there were more or fewer than the engine counts.
        """
        cursor, seen = b"0", 0
        while True:
            cursor, keys = await data.scan(cursor, self._pattern)
            self.found.looked_at += len(keys)
            seen += len(keys)
            if self._filter is not None:
                keys = [key for key in keys if self._filter.fullmatch(key)]
            for batch in _portions(keys):
                yield batch
            if cursor == b"0":
                break
        if data.sees_expired and self._pattern is None and seen != held.keys:
            raise _unstable(seen, keys=held.keys)

    @property
    def sides(self) -> tuple[Side, Side]:
        """What is compared."""
        return self._first, self._second


class _Seen(NamedTuple):
    """One key on one side; `alive` says that it counts as there."""

    digest: bytes
    expiry: int
    alive: bool

    @property
    def value(self) -> int:
        """What it holds, as a number."""
        has_expiry = self.expiry >= 0
        return without_expiry(self.digest) if has_expiry else int(self.digest, 16)


class _Database:
    """The comparison of one database, which both sides have selected."""

    def __init__(self, whole: Comparing, number: int, *, first: Held, second: Held) -> None:
        self._whole = whole
        self._number = number
        self._expiries = bool(first.expires or second.expires)
        self._firsts, self._seconds = first, second
        self._shared_keys = 0
        self._first, self._second = whole.sides
        self._tally = whole.found.databases.setdefault(number, Tally())

    async def compare(self) -> AsyncGenerator[list[Name], None]:
        """Everything that is on the first side, then what is on the second alone."""
        async with aclosing(self._whole.batches(self._first.data, self._firsts)) as batches:
            async for keys in batches:
                yield self._counted(await self._shared(keys))
        if self._shared_keys == self._seconds.keys:
            return  # Those are all that the second has.
        async with aclosing(self._whole.batches(self._second.data, self._seconds)) as batches:
            async for keys in batches:
                yield self._counted(await self._added(keys))

    def _counted(self, names: list[Name]) -> list[Name]:
        types = self._whole.found.types
        for name in names:
            self._tally.count(name.difference)
            types.setdefault(name.type, Tally()).count(name.difference)
        return names

    async def _shared(self, keys: list[bytes]) -> list[Name]:
        first, second = self._first.data, self._second.data
        bulks = [bulk(key) for key in keys]
        asked = question(bulks, expiries=self._expiries)
        await first.look(asked + types_question(bulks))
        await second.look(asked)
        ours = await first.looked(len(keys), expiries=self._expiries, types=True)
        theirs = await second.looked(len(keys), expiries=self._expiries, types=False)
        self._shared_keys += len(keys) - theirs.digests.count(NONE)
        if self._all_same(ours, theirs=theirs):
            self._tally.same += len(keys)
            return []
        names: list[Name] = []
        rows = zip(_seen(ours, self._first), _seen(theirs, self._second), ours.types, strict=True)
        for key, (one, other, kind) in zip(keys, rows, strict=True):
            difference = await self._judged(key, one, other=other, is_stream=kind == _STREAM)
            if difference is not None:
                names.append(Name(difference, self._number, key, kind.decode()))
        return names

    def _all_same(self, ours: Looked, *, theirs: Looked) -> bool:
        """The usual case, without a look at any key of its own."""
        if ours.digests != theirs.digests or _STREAM in ours.types:
            return False
        if ours.expiries != theirs.expiries:
            return False
        ends = [int(one) for one in ours.expiries or () if one != b"-1"]
        return not ends or min(ends) > max(self._first.at_ms, self._second.at_ms)

    async def _judged(
        self, key: bytes, one: _Seen, *, other: _Seen, is_stream: bool
    ) -> Difference | None:
        """How a key of the first side differs; what is on neither, or the same, does not."""
        if not other.alive:
            return self._gone(one, other=other) if one.alive else None
        if not one.alive:
            return "added"
        differs = one.value != other.value
        if not differs and is_stream:
            differs = await self._groups_differ(key)
        if differs:
            return "changed"
        if one.expiry != other.expiry:
            return "ttl"
        self._tally.same += 1
        return None

    def _gone(self, one: _Seen, *, other: _Seen) -> Difference:
        """Whether its TTL, the old or a newer one, had ended by the second instant.

        An RDB tells its instant in whole seconds: what ended in that very second was removed.
        """
        ended = 0 <= one.expiry < self._second.at_ms + SECOND_MS or other.digest != NONE
        return "expired" if ended else "removed"

    async def _groups_differ(self, key: bytes) -> bool:
        return await self._first.data.stream(key) != await self._second.data.stream(key)

    async def _added(self, keys: list[bytes]) -> list[Name]:
        """Which of these keys of the second side the first has not in its data at all."""
        there = await self._first.data.present(keys)
        new = [key for key, found in zip(keys, there, strict=True) if not found]
        if not new:
            return []
        bulks = [bulk(key) for key in new]
        asked = question(bulks, expiries=self._expiries)
        await self._second.data.look(asked + types_question(bulks))
        looked = await self._second.data.looked(len(new), expiries=self._expiries, types=True)
        seen = zip(_seen(looked, self._second), looked.types, strict=True)
        return [
            Name("added", self._number, key, kind.decode())
            for key, (one, kind) in zip(new, seen, strict=True)
            if one.alive
        ]


def _seen(looked: Looked, side: Side) -> Iterator[_Seen]:
    expiries = repeat(NO_EXPIRY) if looked.expiries is None else map(int, looked.expiries)
    for digest, expiry in zip(looked.digests, expiries, strict=False):
        there = digest != NONE and expiry != NO_KEY
        yield _Seen(digest, expiry, there and (expiry == NO_EXPIRY or expiry > side.at_ms))


def _unstable(seen: int, *, keys: int) -> Transient:
    return Transient(
        "unstable",
        f"A private engine showed {seen:,} keys of a database that has {keys:,}.",
        "Ask again; if it comes back, please report it with the version of the engine.",
    )


def _portions(keys: list[bytes]) -> Iterator[list[bytes]]:
    """The keys in portions of so many keys and so many bytes at most; a huge one goes alone."""
    portion: list[bytes] = []
    size = 0
    for key in keys:
        if portion and (len(portion) >= BATCH_KEYS or size + len(key) > BATCH_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(key)
        size += len(key)
    if portion:
        yield portion
