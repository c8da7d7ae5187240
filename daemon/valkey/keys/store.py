"""The private engine that holds a backup's keys: what it has, and its packs of commands.

Every key is met once, because nobody else writes there. What comes out is passed on as it comes;
only its counts are understood here.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

import msgspec
from msgspec import Struct

from daemon.errors import Permanent
from daemon.valkey.address import Address
from daemon.valkey.connection import Login, Timeouts
from daemon.valkey.dial import open_wire
from daemon.valkey.engine import Engine, version_numbers
from daemon.valkey.keys.answers import Answers
from daemon.valkey.keys.scripts import PACK, PIECE
from daemon.valkey.resp import NotResp, encode
from daemon.valkey.wire import Lost, Wire

SINCE = (7, 0)
"""Of Redis and Valkey: older ones do not tell when a key ends, and write no such scripts."""
IMPORTS_SINCE = (8, 1)
"""Valkey since then shows keys that have expired, in import mode, to who says that it imports."""
AS_REPLICA = ("--replicaof", "127.0.0.1", "1")
"""A replica keeps what has expired while it loads a file, whoever it is told to follow. [tried]"""


class Options(Struct, frozen=True):
    """What stays as it is for a whole pass of `PACK`; `bytes` and `most` bound one pack.

    Packs are as large as a processor's cache likes best: with 512 KiB the engine takes a quarter
    more of its time. [tried]

    `group` is how many strings may be read at once. Those are set by `MSET` or `SET`, everything
    else by `RESTORE`: one command, after which a key is all new. 0 leaves it to `RESTORE`.
    """

    verb: str
    ttl: str = "keep"
    shift: int = 0
    replace: bool = False
    ways: int = 1
    large: int = 32 << 20
    longest: int = 64 << 20
    group: int = 0
    expires: bool = True
    look: int = 1_500
    bytes: int = 128 << 10
    most: int = 1 << 30


class Choice(Struct, frozen=True):
    """Which keys, as what; `patterns` are Lua's, and `large` are not to be touched whole.

    `lanes` has, for each of a cluster's slots, which of the ways leads to it, from 1 on.
    """

    options: Options
    patterns: tuple[bytes, ...] = ()
    prefix: bytes = b""
    lanes: bytes = b""
    large: tuple[bytes, ...] = ()

    @property
    def words(self) -> tuple[bytes, ...]:
        """The last arguments of the script."""
        options, large = msgspec.msgpack.encode(self.options), _listed(self.large)
        return (options, self.prefix, self.lanes, large, *self.patterns)


class Pack(Struct, frozen=True):
    """What one answer is about; `big` has the keys that are too large, and when they end.

    `sent` are the keys in its commands, of which one may have several.
    """

    chosen: int
    expired: int
    sent: int
    big: tuple[tuple[bytes, int], ...]


class Piece(Struct, frozen=True):
    """A piece of a big key: one command, and where the next one begins (None: nowhere)."""

    cursor: bytes | None
    kind: bytes
    command: bytes


class Store:
    """One connection to a private engine that has loaded its data."""

    def __init__(self, wire: Wire, engine: Engine) -> None:
        self._wire = wire
        self._answers = Answers(wire)
        self.engine = engine
        self._scripts: dict[bytes, bytes] = {}

    async def show_expired(self) -> None:
        """Let what has expired be seen; for an engine that was started `AS_REPLICA`."""
        for words in (
            ("CONFIG", "SET", "import-mode", "yes"),
            ("REPLICAOF", "NO", "ONE"),
            ("CLIENT", "IMPORT-SOURCE", "ON"),
        ):
            await self._simple(*words)

    async def prepare(self) -> None:
        """Load the scripts."""
        for script in (PACK, PIECE):
            await self._wire.send(encode("SCRIPT", "LOAD", script))
            self._scripts[script] = await self._answers.bulk()

    async def databases(self) -> dict[int, tuple[int, int]]:
        """Keys, and those of them that will end, by database."""
        await self._wire.send(encode("INFO", "keyspace"))
        found: dict[int, tuple[int, int]] = {}
        for line in (await self._answers.bulk()).decode().splitlines():
            if line.startswith("db"):
                name, _, figures = line.partition(":")
                said = dict(word.partition("=")[::2] for word in figures.split(","))
                found[int(name[2:])] = (int(said["keys"]), int(said["expires"]))
        return dict(sorted(found.items()))

    async def dataset_bytes(self) -> int:
        """What the data takes of the engine's memory, without what the engine needs itself."""
        await self._wire.send(encode("INFO", "memory"))
        lines = (await self._answers.bulk()).decode().splitlines()
        said = dict(line.partition(":")[::2] for line in lines)
        return int(said.get("used_memory_dataset", "0"))

    async def select(self, database: int) -> None:
        """Turn to another database."""
        await self._simple("SELECT", database)

    async def packs(
        self, choice: Choice, names: tuple[bytes, ...] = ()
    ) -> AsyncGenerator[tuple[Pack, "Ways"], None]:
        """All keys of the selected database in packs, or those of these names alone.

        Read each pack's ways to their end before the next is asked for. The engine makes the
        next one while a pack is passed on.
        """
        cursor, rest = b"0", _listed(names)
        await self._ask(PACK, cursor, rest, *choice.words)
        while True:
            cursor, rest, pack, ways = await self._head(choice.options.ways)
            more = rest or (cursor != b"0" and not names)
            if more:
                await self._ask(PACK, cursor, rest, *choice.words)
            yield pack, ways
            if not more:
                return

    async def piece(self, words: tuple[bytes, ...], cursor: bytes) -> Piece:
        """One piece of a big key; `words` are the last arguments of `PIECE`."""
        await self._ask(PIECE, cursor, b"", *words)
        await self._array(3)
        following, kind, command = [await self._answers.bulk() for _ in range(3)]
        return Piece(following or None, kind, command)

    async def weight(self, key: bytes) -> tuple[int, int]:
        """How many bytes a key takes, and of how many elements it is."""
        await self._wire.send(encode("MEMORY", "USAGE", key) + encode("TYPE", key))
        size = await self._answers.number(b":")
        kind = (await self._answers.line())[1:]
        ask = {b"list": "LLEN", b"set": "SCARD", b"hash": "HLEN", b"zset": "ZCARD"}.get(kind)
        if ask is None:
            return size, 1
        await self._wire.send(encode(ask, key))
        return size, await self._answers.number(b":")

    async def _ask(self, script: bytes, *words: bytes) -> None:
        await self._wire.send(encode("EVALSHA", self._scripts[script], 0, *words))

    async def _array(self, length: int) -> None:
        line = await self._answers.line()
        if line[:1] == b"-":
            raise Permanent(
                "engine-script",
                f"{self.engine.label} could not pack the keys: "
                f"{line[1:200].decode(errors='replace')}",
                "Please report this: the backup itself is good, restore by replication instead.",
            )
        if line != b"*%d" % length:
            raise NotResp("an array of another length")

    async def _head(self, ways: int) -> tuple[bytes, bytes, Pack, "Ways"]:
        await self._array(6 + 2 * ways)
        cursor, rest = await self._answers.bulk(), await self._answers.bulk()
        chosen, expired, sent = [await self._answers.number(b":") for _ in range(3)]
        length = await self._answers.number(b"*")
        words = [await self._answers.bulk() for _ in range(length)]
        big = tuple((words[n], int(words[n + 1])) for n in range(0, length, 2))
        return cursor, rest, Pack(chosen, expired, sent, big), Ways(self._answers, ways)

    async def _simple(self, *words: str | int) -> None:
        await self._wire.send(encode(*words))
        if (line := await self._answers.line()) != b"+OK":
            raise Permanent(
                "engine-script",
                f"{self.engine.label} refused {words[0]}: {line[1:200].decode(errors='replace')}",
                "Please report this: the backup itself is good, restore by replication instead.",
            )


class Ways:
    """The commands of one pack, way by way; each is to be read to its end."""

    def __init__(self, answers: Answers, ways: int) -> None:
        self._answers = answers
        self.ways = ways

    async def next(self) -> tuple[int, int]:
        """How many commands the next way has, and of how many bytes they are."""
        commands = await self._answers.number(b":")
        return commands, await self._answers.number(b"$")

    def pieces(self, length: int) -> AsyncGenerator[bytes, None]:
        """The bytes of that way; use it under `aclosing`."""
        return self._answers.pieces(length)

    async def skip(self) -> None:
        """Read all away."""
        for _ in range(self.ways):
            _, length = await self.next()
            async with aclosing(self.pieces(length)) as pieces:
                async for _ in pieces:
                    pass


def _listed(names: tuple[bytes, ...]) -> bytes:
    """A list of names as the engine's own MessagePack has it, which is older than our library's."""
    if not names:
        return b""
    words = [b"\xdb" + len(name).to_bytes(4, "big") + name for name in names]
    return b"".join([b"\xdd" + len(names).to_bytes(4, "big"), *words])


def usable(engine: Engine) -> bool:
    """Whether this engine's scripts can do it."""
    return version_numbers(engine.version)[:2] >= SINCE


def shows_expired(engine: Engine) -> bool:
    """Whether keys that have expired can be had from this engine."""
    return engine.kind == "valkey" and version_numbers(engine.version)[:2] >= IMPORTS_SINCE


@asynccontextmanager
async def open_store(
    engine: Engine, socket: str, timeouts: Timeouts, *, expired: bool
) -> AsyncGenerator[Store, None]:
    """The private engine behind this socket, ready to pack.

    `expired` makes it show what has expired: for one that was started `AS_REPLICA`.
    """
    wire = await open_wire(Login(Address(socket=socket)), timeouts.connect)
    try:
        store = Store(wire, engine)
        if expired:
            await store.show_expired()
        await store.prepare()
        yield store
    finally:
        wire.abort()


def ended(engine: Engine, error: Lost | NotResp) -> Permanent:
    """The private engine went away in the middle."""
    return Permanent(
        "engine-ended",
        f"The private {engine.label} that held the keys went away: {error}",
        "Was it killed for want of memory? Free some on Valkeep's host and start again.",
    )
