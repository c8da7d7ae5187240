"""The data that a private engine has loaded, asked in bulk: keys, digests, expiries, types.

`DEBUG DIGEST-VALUE` is a sum of SHA-1 over what a value holds, whatever its encoding; for sets
and hashes the order does not matter [tried: Valkey 8.1.8, Redis 7.0.15]. It mixes in whether the
key has an expiry, which is taken out again, and says nothing of a stream's groups.
"""

import hashlib
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from msgspec import Struct

from daemon.valkey.asking import Asking, Reply, asking, bulk, each
from daemon.valkey.engine import Engine, version_numbers

OPTIONS = ("--enable-debug-command", "yes", "--replicaof", "127.0.0.1", "1")
"""For an engine that is to be compared: a replica keeps keys while it loads that have expired.

There is nothing at that address, least of all in a network of its own without an interface."""
OLDEST = (7, 0)
"""From here on there are `PEXPIRETIME` and the setting that allows `DEBUG`."""
NONE = b"0" * 40
"""The digest of a key that is not there."""
NO_EXPIRY, NO_KEY = -1, -2
SCAN_BYTES = 1 << 20
"""About so many bytes of keys are scanned at a time, by what the keys before them took."""
SCAN_COUNT = (10, 1_000, 10_000)
"""At least, at first, and at most so many keys."""
PENDING = 10_000
"""So many pending entries of each consumer of a stream are compared one by one."""

_HAS_EXPIRY = int.from_bytes(hashlib.sha1(b"!!expire!!", usedforsecurity=False).digest())
_KEYS = re.compile(r"db(\d+):keys=(\d+),expires=(\d+)")
_LAYOUT = frozenset({b"radix-tree-keys", b"radix-tree-nodes", b"entries"})
_POLLED = frozenset({b"seen-time", b"active-time", b"idle", b"inactive"})


class Held(NamedTuple):
    """How many keys a database has, and how many of them have an expiry."""

    keys: int
    expires: int


class Looked(Struct, frozen=True):
    """What there is under some keys, in their order; raw, as lines of replies.

    `expiries` is None where no key of the database has one.
    """

    digests: list[bytes]
    expiries: list[bytes] | None
    types: list[bytes]


class Keyspace:
    """One loaded data set; ask it in turn, never two things at a time."""

    def __init__(self, asking: Asking, *, sees_expired: bool) -> None:
        self._asking = asking
        self._count = SCAN_COUNT[1]
        self.sees_expired = sees_expired

    async def databases(self) -> dict[int, Held]:
        """The databases that hold anything."""
        told = _KEYS.findall(_text(await self._asking.ask("INFO", "keyspace")))
        return {int(number): Held(int(keys), int(expires)) for number, keys, expires in told}

    async def functions(self) -> Reply:
        """All functions, as one value that can be compared."""
        return await self._asking.ask("FUNCTION", "DUMP")

    async def select(self, database: int) -> None:
        """What is asked from now on is of this database."""
        await self._asking.ask("SELECT", database)

    async def scan(self, cursor: bytes, pattern: bytes | None) -> tuple[bytes, list[bytes]]:
        """Some keys, and the cursor for the next ones: ``0`` after the last.

        Nothing is written meanwhile, so no table shrinks, and no key comes twice.
        """
        words = () if pattern is None else ("MATCH", pattern)
        found = await self._asking.ask("SCAN", cursor, *words, "COUNT", self._count)
        match found:
            case [bytes() as after, list() as keys]:
                found_keys = [key for key in keys if isinstance(key, bytes)]
                self._count = _next_count(found_keys, self._count)
                return after, found_keys
        raise TypeError("SCAN answers with a cursor and keys")

    async def look(self, question: bytes) -> None:
        """Ask a `question`, and perhaps `types_question`; `looked` gives the answer.

        Apart, so that two engines work at the same time, and the same bytes go to both.
        """
        await self._asking.send(question)

    async def looked(self, count: int, *, expiries: bool, types: bool) -> Looked:
        """The answer about so many keys."""
        lines = await self._asking.lines(1 + count * (1 + expiries + types))
        at = 1 + count
        digests, rest = lines[1:at], lines[at:]
        return Looked(
            digests=[line[1:] for line in digests],
            expiries=[line[1:] for line in rest[:count]] if expiries else None,
            types=[line[1:] for line in rest[-count:]] if types else [],
        )

    async def present(self, keys: Sequence[bytes]) -> list[bool]:
        """Which of these keys there are, expired or not."""
        bulks = [bulk(key) for key in keys]
        await self._asking.send(b"*%d\r\n$6\r\nEXISTS\r\n" % (len(keys) + 1) + b"".join(bulks))
        if await self._asking.reply() == len(keys):
            return [True] * len(keys)
        await self.look(question(bulks, expiries=False))
        found = await self.looked(len(keys), expiries=False, types=False)
        return [digest != NONE for digest in found.digests]

    async def stream(self, key: bytes) -> Reply:
        """What a stream has beside its entries, without what tells only how it is stored.

        When its consumers last polled is left out: that changes with nothing else.
        """
        found = await self._asking.ask("XINFO", "STREAM", key, "FULL", "COUNT", PENDING)
        return _without(found, _LAYOUT | _POLLED)


def _next_count(keys: Sequence[bytes], count: int) -> int:
    """How many keys to ask for, so that they fit; a pattern may have left out most of them."""
    least, _, most = SCAN_COUNT
    if not keys:
        return count
    return max(least, min(most, count * 2, SCAN_BYTES * len(keys) // sum(map(len, keys), 1)))


def question(bulks: Sequence[bytes], *, expiries: bool) -> bytes:
    """What there is under some keys, each as commands hold it."""
    head = b"*%d\r\n$5\r\nDEBUG\r\n$12\r\nDIGEST-VALUE\r\n" % (len(bulks) + 2)
    ends = each(b"PEXPIRETIME", bulks) if expiries else b""
    return head + b"".join(bulks) + ends


def types_question(bulks: Sequence[bytes]) -> bytes:
    """Of which types they are; to be asked after the `question`."""
    return each(b"TYPE", bulks)


def without_expiry(digest: bytes) -> int:
    """The digest of a value alone, from that of a key which has an expiry."""
    return int(digest, 16) ^ _HAS_EXPIRY


@asynccontextmanager
async def keyspace(engine: Engine, socket: str) -> AsyncGenerator[Keyspace, None]:
    """The data of an engine that has loaded it, run with `OPTIONS`; nothing in it expires any more.

    Valkey 8.1 and later also show what had expired by now. Others stay replicas, which remove
    nothing either, and do not show it.
    """
    async with asking(socket, label=engine.label) as line:
        imports = engine.kind == "valkey" and version_numbers(engine.version) >= (8, 1)
        if imports:
            await line.ask("CONFIG", "SET", "import-mode", "yes")
            await line.ask("CLIENT", "IMPORT-SOURCE", "ON")
            await line.ask("REPLICAOF", "NO", "ONE")
        yield Keyspace(line, sees_expired=imports)


def _without(found: Reply, names: frozenset[bytes]) -> Reply:
    """The same without these fields, wherever they are: replies are names and values in turn."""
    if not isinstance(found, list):
        return found
    kept: list[Reply] = []
    items = iter(found)
    for item in items:
        if isinstance(item, bytes) and item in names:
            next(items, None)
        else:
            kept.append(_without(item, names))
    return kept


def _text(found: Reply) -> str:
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else ""
