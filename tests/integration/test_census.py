"""A census inside real engines: against what they say themselves, and what may go wrong in it."""

import os
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import NamedTuple

import pytest
import redis.asyncio

from daemon.actors.verify.census import CensusTaker, Served, Told
from daemon.actors.verify.shelf import KeyspaceShelf
from daemon.board import Board
from daemon.errors import Transient
from daemon.ledger import Ledger
from daemon.ports import Progress
from daemon.valkey.census import Bounds, Census, Standing, counted, counting
from daemon.valkey.census.counting import BIG_BYTES, BIG_SAMPLES, SAMPLES
from daemon.valkey.census.pace import Pace
from daemon.valkey.engine import PrivateServer, find_engines, private_server
from projections import catalog
from projections.catalog import Backup
from tests.simulation.virtual import CountedIds
from tests.support.api import SetClock, log_of
from tests.support.offload import THREADS
from tests.support.samples import B1, ORDERS, complete, registered
from tests.support.servers import command

pytestmark = pytest.mark.anyio

AMPLE = Bounds(60.0)
DAY = 86_400
ODD = b"odd \r\n\0\xff:1"


class Place(NamedTuple):
    """A running engine, and a connection to it."""

    server: PrivateServer
    client: redis.asyncio.Redis

    async def census(self, bounds: Bounds = AMPLE) -> Census:
        """A census of it."""
        signs: list[Standing] = []
        found = await counted(self.server.engine, self.server.socket, bounds, signs.append)
        assert not found.facts.keys or signs
        return found


@pytest.fixture(
    scope="module",
    params=["valkey", pytest.param("redis", marks=pytest.mark.debian("redis-server"))],
)
async def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Place, None]:
    """An engine of either kind."""
    engine = next(e for e in await find_engines(os.defpath) if e.kind == request.param)
    async with private_server(engine, tmp_path_factory.mktemp("e"), {}) as server:
        client = server.client()
        yield Place(server, client)
        await client.aclose()


async def fill(client: redis.asyncio.Redis) -> None:
    """Keys of all types and sizes in three databases, some of which end."""
    await client.flushall()
    for database in (0, 3, 15):
        await command(client, "SELECT", database)
        users = client.pipeline(transaction=False)
        for n in range(300):
            users.set(f"user:{n}:name", "x" * n, ex=None if n % 3 else DAY // 2)
        await users.execute()
        await client.hset("cart:1", mapping={"a": "1", "b": "2"})
        await client.hset("cart:2", mapping={f"f{n}": "v" * 90 for n in range(700)})
        await client.rpush("queue:mail", *(str(n) * 40 for n in range(900)))
        await client.sadd("numbers", *range(40))
        await client.sadd("online", *(f"u{n}" for n in range(600)))
        await client.zadd("rank", {f"m{n}": n for n in range(500)})
        await client.xadd("log", {"a": "b"})
        await client.pfadd("visits", *range(900))
        await client.geoadd("shops", (13.3, 38.1, "Palermo"))
        await client.set(ODD, "z" * 70_000, ex=40 * DAY)
    await command(client, "SELECT", 0)


class Known(NamedTuple):
    """What the engine says of each key, asked one by one."""

    sizes: dict[tuple[int, bytes], int]
    types: Counter[str]
    encodings: Counter[str]
    ends: int


async def asked(client: redis.asyncio.Redis) -> Known:
    """Ask for every key of every database."""
    known = Known({}, Counter(), Counter(), 0)
    ends = 0
    for database in (0, 3, 15):
        await command(client, "SELECT", database)
        keys = await client.keys("*")
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.memory_usage(key, samples=SAMPLES)
            pipeline.memory_usage(key, samples=BIG_SAMPLES)
            pipeline.type(key)
            pipeline.object("ENCODING", key)
            pipeline.ttl(key)
        answers = iter(await pipeline.execute())
        for key, size, big, kind, encoding, ttl in zip(keys, *[answers] * 5, strict=False):
            known.sizes[database, key] = size if size < BIG_BYTES else big
            known.types[kind.decode()] += 1
            full = kind if kind == encoding else kind + b" " + encoding
            known.encodings[full.decode()] += 1
            ends += ttl > 0
    await command(client, "SELECT", 0)
    return known._replace(ends=ends)


async def test_sums_are_what_the_engine_says_of_each_key(place: Place) -> None:
    """Memory, types, encodings, databases and TTLs agree with asking for each key alone."""
    await fill(place.client)
    known = await asked(place.client)
    found = await place.census()
    facts = found.facts

    assert (len(known.sizes), True, True) == (facts.keys, facts.whole, facts.exact)
    assert sum(known.sizes.values()) == facts.total.bytes
    assert known.types == {name: amount.keys for name, amount in facts.types.items()}
    assert known.encodings == {name: one.keys for name, one in facts.encodings.items()}
    assert 3 * 500 == facts.types["zset"].elements - 3
    assert {"none": facts.keys - known.ends, "1d": 300, "more": 3} == {
        span: amount.keys for span, amount in facts.ttls.items()
    }
    for number, amount in facts.databases.items():
        assert amount.bytes == sum(s for (d, _), s in known.sizes.items() if d == number)
    largest = sorted(known.sizes.values(), reverse=True)
    assert largest[:3] == [one.size for one in found.by_bytes[:3]]
    assert ODD in {one.name for one in found.by_bytes}
    assert ("queue:mail", 900) == (
        found.by_elements[0].name.decode(),
        found.by_elements[0].elements,
    )


async def test_prefixes_have_the_memory_of_their_keys(place: Place) -> None:
    """Each prefix has exactly the keys and bytes of the names that it stands for."""
    await fill(place.client)
    known = await asked(place.client)
    rows = {row.pattern: row for row in (await place.census()).prefixes[3]}

    users = {k: size for (d, k), size in known.sizes.items() if d == 3 and k[:5] == b"user:"}
    for pattern in (b"user:*", b"user:*:*", b"user:*:name"):
        assert (300, sum(users.values())) == (rows[pattern].keys, rows[pattern].size)
    lasting = sum(size for key, size in users.items() if int(key.split(b":")[1]) % 3)
    assert lasting == rows[b"user:*"].lasting
    assert known.sizes[3, b"cart:1"] + known.sizes[3, b"cart:2"] == rows[b"cart:*"].size


PATTERNS = {
    b"user:123": b"user:*",
    b"user:123:cart": b"user:*:cart",
    b"user:bob:cart": b"user:bob:cart",
    b"online": b"online",
    b"123": b"*",
    b"user123": b"user*",
    b"cache:v2:page": b"cache:v*:page",
    b"550e8400-e29b-41d4-a716-446655440000": b"*",
    b"job:550e8400-e29b-41d4-a716-446655440000:log": b"job:*:log",
    b"session:9e107d9d372bb6826bd81d3542a419d6": b"session:*",
    b"token:kJ8sLq2Zt0aPz7Wm3xYb": b"token:*",
    b"mail:someone@example.org": b"mail:*",
    b"stats:2024-11-05": b"stats:*",
    b"stats:2024-11-05:hits": b"stats:*:hits",
    b"{user:7}:cart": b"{user:*}:cart",
    b"app/img/7.png": b"app/img/*.png",
    b"a.b.c7": b"a.b.c*",
    b"my_key_9": b"my_key_*",
    b"a:b:c:d:e:f:g": b"a:b:c:d:*",
    b"a::b": b"a::b",
    b"trail:": b"trail:",
    b"bin:\x00\x01": b"bin:*",
    b"bin:\xff\xfe": b"bin:\xff\xfe",
    b"long:" + b"x" * 41: b"long:*",
    b"": b"",
}
"""Names, and what is told of them: the last prefix that says something of them."""


async def test_ids_in_names_are_told_as_stars(place: Place) -> None:
    """Numbers, uuids, hashes, tokens and addresses are folded; words are kept."""
    told = {}
    for name in PATTERNS:
        await place.client.flushall()
        await place.client.set(name, "v")
        patterns = [row.pattern for row in (await place.census()).prefixes[0]]
        told[name] = patterns[-1] if patterns else b"nothing"

    assert PATTERNS == told


async def test_what_is_only_weighed_keeps_sums_exact(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no time to look at each key, memory in all and the largest keys are exact still."""
    await fill(place.client)
    known = await asked(place.client)
    monkeypatch.setattr(counting, "Pace", InHaste)
    facts = (found := await place.census()).facts

    assert (True, False) == (facts.whole, facts.exact)
    assert facts.seen < facts.weighed == facts.keys
    assert abs(sum(known.sizes.values()) - facts.total.bytes) <= 3 * len(facts.types)
    assert abs(facts.keys - facts.total.keys) <= 3 * len(facts.types)
    large = {key for key, size in known.sizes.items() if size >= BIG_BYTES}
    assert large == {(one.database, one.name) for one in found.by_bytes[: len(large)]}


class InHaste(Pace):
    """Few keys at a time, and most are only weighed."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 20

    def took(self, seconds: float, keys: int, *, name_bytes: int, light: bool) -> None:
        """The pace stays."""

    def light_slices(self, keys: int, seconds: float) -> int:
        """Three quarters of all."""
        assert keys >= 0 <= seconds
        return 3


async def test_without_time_some_keys_stand_for_all(place: Place) -> None:
    """When time is over at once the figures are estimates from some keys, and say so."""
    await place.client.flushall()
    await place.client.mset({f"user:{n}": "x" * 100 for n in range(20_000)})
    facts = (await place.census(Bounds(0.0))).facts

    assert (20_000, False) == (facts.keys, facts.whole)
    assert 0 < facts.seen < 2_000
    assert 20_000 == facts.total.keys == facts.types["string"].keys
    size = await command(place.client, "MEMORY", "USAGE", "user:1234")
    assert isinstance(size, int)
    assert abs(facts.total.bytes / 20_000 - size) < 10


async def test_nothing_at_all_is_counted_as_nothing(place: Place) -> None:
    """A backup without any key has sums of nothing."""
    await place.client.flushall()
    found = await place.census()

    assert (0, 0, True) == (found.facts.keys, found.facts.total.bytes, found.facts.exact)
    assert ([], {}) == (found.by_bytes, found.prefixes)


async def test_without_names_there_is_none(place: Place) -> None:
    """Where names are not wanted, no name leaves the engine."""
    await fill(place.client)
    found = await place.census(Bounds(60.0, names=False))

    assert ([], [], {}) == (found.by_bytes, found.by_elements, found.prefixes)
    assert found.facts.exact


class Killer:
    """Progress that ends the engine at the first sign of life."""

    def __init__(self, server: PrivateServer) -> None:
        self._server = server

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        """Nothing happens yet."""
        assert (name, total_bytes) == ("counting keys", None)

    def advance(self, moved_bytes: int) -> None:
        """It ends."""
        assert 0 == moved_bytes
        self._server.process.kill()


class Bench(NamedTuple):
    """What a receipt's census is taken with."""

    ledger: Ledger
    backup: Backup
    server: PrivateServer

    async def told(self, shelf: Path, progress: Progress) -> Told:
        """What the receipt is told."""
        kept = KeyspaceShelf(shelf, THREADS, self.ledger)
        served = Served(self.backup, self.server.engine, self.server.socket, 1.0, progress)
        return await CensusTaker(kept, 60.0, names=True)(served)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncGenerator[Bench, None]:
    """A backup, and an engine with 20,000 keys."""
    log = await log_of(registered(), *complete(B1, name="one"))
    ledger = Ledger(log, SetClock(), CountedIds(0))
    await ledger.load()
    backup = catalog.get(ledger.state.catalog, ORDERS, B1)
    assert backup is not None
    folder = tmp_path / "e"
    folder.mkdir()
    async with private_server((await find_engines(os.defpath))[0], folder, {}) as server:
        client = server.client()
        await client.mset({f"user:{n}": n for n in range(20_000)})
        await client.aclose()
        yield Bench(ledger, backup, server)


async def test_an_engine_that_ends_costs_no_proof(bench: Bench, tmp_path: Path) -> None:
    """An engine that is killed while its keys are counted leaves a note, and raises nothing."""
    told = await bench.told(tmp_path / "keyspace", Killer(bench.server))

    assert told.facts is None
    assert "its keys were not counted: The private valkey" in told.note
    assert not (tmp_path / "keyspace").exists()


async def test_a_disk_that_takes_no_file_leaves_the_sums(bench: Bench, tmp_path: Path) -> None:
    """Where names cannot be kept the receipt has the sums all the same, and a note."""
    (tmp_path / "keyspace").write_bytes(b"a file is in the way")
    with Board(SetClock()).line("work") as entry:
        told = await bench.told(tmp_path / "keyspace", entry)

    assert told.facts is not None
    assert 20_000 == told.facts.keys
    assert "only sums of its keys were kept: " in told.note


async def test_a_census_of_an_engine_that_is_gone_is_refused(tmp_path: Path) -> None:
    """Where nobody listens the error says so, and is worth another try."""
    engine = (await find_engines(os.defpath))[0]
    with pytest.raises(Transient):
        await counted(engine, str(tmp_path / "nobody.sock"), AMPLE, lambda *_: None)
