"""Two engines held against each other, compared with a naive model that has all in memory."""

import os
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from typing import NamedTuple

import anyio
import pytest
import redis.asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from daemon.errors import Transient
from daemon.valkey.contrast import BATCH_KEYS, Comparing, Contrast, Name, Side
from daemon.valkey.engine import PrivateServer, find_engines, private_server
from daemon.valkey.keyspace import OPTIONS, Keyspace, keyspace
from daemon.valkey.loader import Loaded, Room, rdb_loader
from events.differences import ComparisonWish, KeyCounts
from tests.support.servers import LIBRARY, command

pytestmark = pytest.mark.anyio

SOON = 4_102_444_800_000
"""Expiries are near the year 2100, and so are the instants that are compared."""
FIRST_AT, SECOND_AT = SOON + 3_000, SOON + 6_000

SETTINGS = {"enable-debug-command": "yes", "hash-max-listpack-entries": "4"}


class Pair(NamedTuple):
    """Two engines, each with a connection that writes and one that compares."""

    servers: tuple[PrivateServer, PrivateServer]
    clients: tuple[redis.asyncio.Redis, redis.asyncio.Redis]
    spaces: tuple[Keyspace, Keyspace]

    async def empty(self) -> None:
        """Nothing is in either."""
        for client in self.clients:
            await command(client, "FLUSHALL")

    async def compare(self, wish: ComparisonWish = ComparisonWish()) -> tuple[Contrast, list[Name]]:  # noqa: B008
        """What differs, and the names of it."""
        first, second = self.spaces
        comparing = Comparing(wish, first=Side(first, FIRST_AT), second=Side(second, SECOND_AT))
        names: list[Name] = []
        async with aclosing(comparing.steps()) as steps:
            async for some in steps:
                names += some
        return comparing.found, names


@pytest.fixture(scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Pair, None]:
    """Two engines of the best kind there is."""
    engine = (await find_engines(os.defpath))[0]
    async with AsyncExitStack() as stack:
        servers, clients, spaces = [], [], []
        for _ in range(2):
            place = tmp_path_factory.mktemp("e")
            server = await stack.enter_async_context(private_server(engine, place, SETTINGS))
            servers.append(server)
            clients.append(server.client())
            stack.push_async_callback(clients[-1].aclose)
            spaces.append(await stack.enter_async_context(keyspace(engine, server.socket)))
        yield Pair((servers[0], servers[1]), (clients[0], clients[1]), (spaces[0], spaces[1]))


class Value(NamedTuple):
    """A value of some kind, written in the order of its parts."""

    kind: str
    parts: tuple[str, ...]
    expiry: int | None


AB = Value("string", ("a", "b"), None)
LATE = {(0, b"a"): Value("string", ("a",), SOON + 9_000)}
Data = Mapping[tuple[int, bytes], Value]
Drawn = dict[tuple[int, bytes], Value]
Ends = dict[tuple[int, bytes], int | None]

kinds = st.sampled_from(["string", "list", "set", "zset", "hash", "stream"])
parts = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=6, unique=True).map(tuple)
expiries = st.none() | st.integers(0, 9).map(lambda n: SOON + n * 1_000)
keys = st.tuples(st.sampled_from([0, 3]), st.sampled_from([b"a", b"ab", b"b\xff", b"c*", b"\r\n"]))
values = st.builds(Value, kinds, parts, expiries)
data = st.dictionaries(keys, values, max_size=6)
wishes = st.builds(
    ComparisonWish,
    st.sampled_from([(), ("a*",), ("a*", "?b"), ("[^a]*",), ("c\\*", "*b")]),
    st.sampled_from([None, None, 0, 3]),
)


async def write(client: redis.asyncio.Redis, written: Data) -> None:
    """Put it into an empty server."""
    pipe = client.pipeline(transaction=False)
    for (database, key), value in written.items():
        pipe.execute_command("SELECT", database)
        match value.kind:
            case "string":
                pipe.set(key, "".join(value.parts))
            case "list":
                pipe.rpush(key, *value.parts)
            case "set":
                pipe.sadd(key, *value.parts)
            case "zset":
                pipe.zadd(key, {part: index / 3 for index, part in enumerate(value.parts)})
            case "hash":
                pipe.hset(key, mapping=dict.fromkeys(value.parts, "x"))
            case _:
                for index, part in enumerate(value.parts):
                    pipe.xadd(key, {part: "x"}, id=f"{index + 1}-1")
        if value.expiry is not None:
            pipe.execute_command("PEXPIREAT", key, value.expiry)
    pipe.execute_command("SELECT", 0)
    await pipe.execute()


def meant(value: Value) -> tuple[str, object]:
    """What a value is, however it was written."""
    unordered = value.kind in ("set", "hash")
    return value.kind, frozenset(value.parts) if unordered else value.parts


def there(data: Data, at: int) -> Data:
    """What had not expired."""
    return {key: v for key, v in data.items() if v.expiry is None or v.expiry > at}


def fits(key: bytes, patterns: tuple[str, ...]) -> bool:
    """Whether any pattern fits, one at a time, by hand."""
    rules = {
        "a*": key.startswith(b"a"),
        "?b": len(key) == 2 and key.endswith(b"b"),
        "[^a]*": not key.startswith(b"a"),
        "c\\*": key == b"c*",
        "*b": key.endswith(b"b"),
    }
    return not patterns or any(rules[pattern] for pattern in patterns)


def expected(wish: ComparisonWish, *, first: Data, second: Data) -> tuple[set[Name], int]:
    """The names that differ and how, and how many do not."""
    ours, theirs = there(first, FIRST_AT), there(second, SECOND_AT)
    names, same = set(), 0
    for database, key in {*ours, *theirs}:
        if wish.database not in (None, database) or not fits(key, wish.patterns):
            continue
        one, other = ours.get((database, key)), theirs.get((database, key))
        if one is None:
            assert other is not None
            kind = first[database, key].kind if (database, key) in first else other.kind
            names.add(Name("added", database, key, kind))
        elif other is None:
            ended = one.expiry is not None and one.expiry <= SECOND_AT
            gone = ended or (database, key) in second
            names.add(Name("expired" if gone else "removed", database, key, one.kind))
        elif meant(one) != meant(other):
            names.add(Name("changed", database, key, one.kind))
        elif one.expiry != other.expiry:
            names.add(Name("ttl", database, key, one.kind))
        else:
            same += 1
    return names, same


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@example(first={}, second={}, common=LATE, ends={(0, b"a"): SOON + 8_000}, wish=ComparisonWish())
@example(first={}, second={}, common=LATE, ends={(0, b"a"): SOON + 5_000}, wish=ComparisonWish())
@given(first=data, second=data, common=data, ends=st.dictionaries(keys, expiries), wish=wishes)
async def test_what_differs_is_what_a_naive_model_finds(
    pair: Pair, *, first: Drawn, second: Drawn, common: Drawn, ends: Ends, wish: ComparisonWish
) -> None:
    """Every key is judged as a model judges it that has all in memory, and none twice."""
    second = common | second
    second |= {key: second[key]._replace(expiry=end) for key, end in ends.items() if key in second}
    first = common | first
    await pair.empty()
    await write(pair.clients[0], first)
    await write(pair.clients[1], dict(reversed(second.items())))

    found, names = await pair.compare(wish)

    assert len(names) == len(set(names))
    assert expected(wish, first=first, second=second) == (set(names), found.total.same)
    counted = Counter(name.difference for name in names)
    assert all(getattr(found.total, kind) == number for kind, number in counted.items())


async def test_many_keys_are_compared_in_portions(pair: Pair) -> None:
    """More keys than one question holds are each judged once, also where names hold line ends."""
    await pair.empty()
    for number, client in enumerate(pair.clients):
        pipe = client.pipeline(transaction=False)
        for n in range(BATCH_KEYS + 2_000):
            pipe.set(f"{n}\r\n", n if n % 1_000 else number)
        await pipe.execute()
    await pair.clients[0].delete("7\r\n")

    found, names = await pair.compare()
    everything = BATCH_KEYS + 2_000
    assert KeyCounts(same=everything - 13, added=1, changed=12) == found.total.counts()
    assert 13 == len({name.key for name in names})


async def test_functions_are_compared_as_a_whole(pair: Pair) -> None:
    """That functions differ is told, though no key does."""
    await pair.empty()
    await pair.clients[1].function_load(LIBRARY, replace=True)

    found, names = await pair.compare()
    await pair.clients[1].function_delete("warehouse")

    assert (True, []) == (found.functions_differ, names)


async def test_groups_of_a_stream_are_part_of_it(pair: Pair) -> None:
    """A stream with another group position differs; one that was polled for nothing does not."""
    await pair.empty()
    first, second = pair.clients
    for key in ("polled", "read", "grouped"):
        await first.xadd(key, {"a": "1"}, id="1-1")
        await first.xgroup_create(key, "g", id="0")
        await first.xreadgroup("g", "ann", {key: ">"})
        await second.restore(key, 0, await first.dump(key) or b"")
    await second.xreadgroup("g", "ann", {"polled": ">"})
    await second.xack("read", "g", "1-1")
    await second.xgroup_create("grouped", "h", id="0")

    _, names = await pair.compare()
    assert {b"read", b"grouped"} == {name.key for name in names}
    assert {"changed"} == {name.difference for name in names}


async def test_engine_that_is_killed_ends_the_comparison(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """An engine that is gone in the middle is an error that says so, never a result."""
    engine = (await find_engines(os.defpath))[0]
    place, other = tmp_path_factory.mktemp("e"), tmp_path_factory.mktemp("e")
    async with (
        private_server(engine, place, SETTINGS) as first,
        private_server(engine, other, SETTINGS) as second,
        keyspace(engine, first.socket) as ours,
        keyspace(engine, second.socket) as theirs,
    ):
        client = first.client()
        for database in (0, 1):
            await command(client, "SELECT", database)
            await client.set("key", "value")
        await client.aclose()
        sides = {"first": Side(ours, FIRST_AT), "second": Side(theirs, SECOND_AT)}
        async with aclosing(Comparing(ComparisonWish(), **sides).steps()) as steps:
            assert 1 == len(await anext(steps))
            second.process.kill()
            with pytest.raises(Transient) as caught:
                await anext(steps)

    assert "engine-ended" == caught.value.code


@pytest.mark.debian("redis-server")
async def test_older_engine_tells_what_it_does_not_see(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """An engine without import mode compares what has not expired, and says that it is blind."""
    engine = next(e for e in await find_engines(os.defpath) if e.kind == "redis")
    place = tmp_path_factory.mktemp("r")
    async with private_server(engine, place, {"enable-debug-command": "yes"}) as server:
        client = server.client()
        await write(client, {(0, b"a"): Value("hash", ("a",), None), (3, b"b"): AB})
        await client.set("soon", "x", px=1)
        await client.save()
        await client.aclose()
    rdb = await anyio.Path(place / "dump.rdb").read_bytes()
    room = Room(directory=place / "l", memory_bytes=1 << 30, options=OPTIONS)
    async with rdb_loader(engine, room) as first, rdb_loader(engine, room) as second:
        for loader in (first, second):
            await loader.feed(rdb)
            assert isinstance(await loader.verdict(), Loaded)
        async with (
            keyspace(engine, first.socket) as ours,
            keyspace(engine, second.socket) as theirs,
        ):
            sides = {"first": Side(ours, FIRST_AT), "second": Side(theirs, SECOND_AT)}
            comparing = Comparing(ComparisonWish(), **sides)
            async with aclosing(comparing.steps()) as steps:
                assert [] == [name async for names in steps for name in names]
    assert not ours.sees_expired
    assert KeyCounts(same=2) == comparing.found.total.counts()
