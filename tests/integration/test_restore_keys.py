"""Restores by keys between real servers: every kind of value, filters, conflicts, lives of keys."""

import hashlib
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from daemon.answers import BackupDetail
from daemon.commands import AddCache
from daemon.valkey.engine import Engine, find_engines
from daemon.valkey.keys.globs import lua_pattern
from events.moves import KeysMoved, KeysWish
from tests.support.by_keys import emptied, held, plan_of, restored
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.poll import until
from tests.support.replicas import asking, configured
from tests.support.servers import DATABASES, FAR_FUTURE, Node, command, fill, start_node
from tests.support.tls import HERE, Authority, speaking_tls, tls_url

pytestmark = pytest.mark.anyio

MIB = 1 << 20


@pytest.fixture(scope="module")
async def source(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Node, None]:
    """A server with every kind of value, and some keys that are over right after the backup."""
    async with start_node(engine, tmp_path_factory.mktemp("s")) as node:
        async with asking(node) as client:
            await fill(client, keys=2_000)
            many = [hashlib.shake_128(bytes([n % 250, n // 250])).digest(3_000) for n in range(999)]
            await client.hset("big:hash", mapping={one[:9]: one for one in many})
            await client.rpush("big:list", *many)
            await client.sadd("big:set", *many)
            await client.zadd("big:zset", {one: n / 7 for n, one in enumerate(many)})
            await client.pexpireat("big:zset", FAR_FUTURE * 1000)
            await client.set("big:string", b"".join(many))
            await client.setrange("big:zeros", 3 * MIB, "end")
            await client.xgroup_create("big:nothing", "readers", id="0", mkstream=True)
        yield node


@pytest.fixture(scope="module")
async def shared(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Node, None]:
    """The target of most tests."""
    async with start_node(engine, tmp_path_factory.mktemp("t")) as node:
        yield node


@pytest.fixture
async def target(shared: Node) -> Node:
    """The target, with nothing in it."""
    await emptied(shared)
    return shared


@pytest.fixture(scope="module")
async def daemon(
    nursery: Nursery,
    source: Node,
    shared: Node,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[DaemonProcess, None]:
    """A daemon that knows both, with a backup `all` of the source, and `brief` of short lives."""
    vault = directory_vault(tmp_path_factory.mktemp("vault"))
    async with installation(nursery, vault) as daemon:
        await daemon.start()
        await daemon.add("source", url=source.url)
        await daemon.add("target", url=shared.url)
        backup = await daemon.backup("source", name="all")
        assert backup.phase == "complete", backup.failure
        yield daemon


async def test_every_kind_of_value_goes_over(
    daemon: DaemonProcess, source: Node, target: Node
) -> None:
    """All keys of all databases are on the target, each value as the source wrote it down."""
    restore = await restored(daemon, "source/all", KeysWish())

    assert restore.phase == "completed", restore.failure
    for database in DATABASES:
        assert await held(source, database) == await held(target, database)
    assert restore.result is not None
    moved = restore.result.moved
    assert moved is not None
    assert moved.written == moved.chosen == sum(restore.result.keys.values())
    assert () == moved.refused
    async with asking(target) as client:
        assert [] == await client.function_list()


@pytest.fixture
async def brief(daemon: DaemonProcess, engine: Engine, short_path: Path) -> str:
    """A backup of keys of which two have ended by now, one ends in 2100, and one stays."""
    async with start_node(engine, short_path) as node:
        async with asking(node) as client:
            await client.set("stays", "s")
            await client.set("later", "l", pxat=FAR_FUTURE * 1000)
            await client.hset("over", "f", "v")
            await client.set("gone", "g", px=600)
            await client.pexpire("over", 600)
        cache = f"brief-{short_path.name}"
        await daemon.add(cache, url=node.url)
        backup = await daemon.backup(cache, name="b")
        assert backup.phase == "complete", backup.failure

        async def over() -> bool:
            async with asking(node) as client:
                return int(await client.exists("over", "gone")) == 0

        await until(over, "the short lives to be over")
    return backup.backup_id


async def test_lives_are_kept_shifted_or_stripped(
    daemon: DaemonProcess, target: Node, brief: str
) -> None:
    """What has ended since stays away with `keep`, and is brought by `shift` and by `strip`."""
    kept = await restored(daemon, brief, KeysWish())
    assert kept.result is not None
    assert KeysMoved(chosen=4, written=2, expired=2) == kept.result.moved
    assert await ends(target) == {b"stays": -1, b"later": FAR_FUTURE * 1000}

    await emptied(target)
    stripped = await restored(daemon, brief, KeysWish(ttl="strip"))
    assert stripped.result is not None
    assert KeysMoved(chosen=4, written=4) == stripped.result.moved
    assert await ends(target) == dict.fromkeys((b"stays", b"later", b"over", b"gone"), -1)

    await emptied(target)
    shifted = await restored(daemon, brief, KeysWish(ttl="shift"))
    assert shifted.result is not None
    assert shifted.result.moved is not None
    assert shifted.result.moved.expired == 0
    later = (await ends(target))[b"later"] - FAR_FUTURE * 1000
    assert 0 < later < 60_000


async def ends(node: Node) -> dict[bytes, int]:
    """When each key ends."""
    return {key: one.ends_at for key, one in (await held(node)).items()}


@pytest.mark.parametrize("ours", ["string", "list", "nothing"])
async def test_conflicts_are_settled_as_was_said(
    daemon: DaemonProcess, source: Node, target: Node, ours: str
) -> None:
    """Existing keys are replaced whole, or left as they are, or stop everything beforehand."""
    async with asking(target) as client:
        if ours == "string":
            await client.set("k:list", "ours")
            await client.set("k:1", "ours")
        elif ours == "list":
            await client.rpush("k:list", "ours")
            await client.rpush("k:1", "ours")
    before, wish = await held(target), KeysWish(patterns=("k:*",), database=0)
    new = {key: one for key, one in (await held(source)).items() if key.startswith(b"k:")}

    failed = await restored(daemon, "source/all", wish)
    if ours == "nothing":
        assert failed.phase == "completed"
        assert new == await held(target)
        return
    assert failed.failure is not None
    assert ("failed", "conflict") == (failed.phase, failed.failure.code)
    assert before == await held(target)

    skipped = await restored(daemon, "source/all", replace(wish, on_conflict="skip"))
    assert skipped.result is not None
    assert skipped.result.moved is not None
    assert (2, len(new) - 2) == (skipped.result.moved.skipped, skipped.result.moved.written)
    assert new | before == await held(target)

    done = await restored(daemon, "source/all", replace(wish, on_conflict="replace"))
    assert done.phase == "completed"
    assert new == await held(target)


async def test_only_chosen_keys_go_over_under_their_new_names(
    daemon: DaemonProcess, source: Node, target: Node
) -> None:
    """Patterns, a database and a prefix choose keys and name them; everything else stays away."""
    patterns = ("k:1[0-4]?", "k:*list", r"k:nul*")
    wish = KeysWish(patterns=patterns, database=3, rename_prefix="old:")

    plan = await plan_of(daemon, "source/all", wish)
    restore = await restored(daemon, "source/all", wish)

    of = source.client(3)
    wanted = {key for pattern in patterns for key in await of.keys(pattern)}
    await of.aclose()
    there = await held(target, 3)
    assert wanted == {key.removeprefix(b"old:") for key in there}
    assert all(key.startswith(b"old:") for key in there)
    assert {} == await held(target, 0)
    assert restore.result is not None
    assert plan.plan.keys is not None
    assert len(wanted) == plan.plan.keys.chosen == plan.plan.keys.written
    assert plan.plan.keys == replace(restore.result.moved or KeysMoved())


async def test_plan_counts_what_is_there_already(daemon: DaemonProcess, target: Node) -> None:
    """The plan says how many keys are chosen and how many the target has, and changes nothing."""
    async with asking(target) as client:
        await client.mset({"k:1": "1", "k:2": "2", "other": "3"})
    wish = KeysWish(patterns=("k:?",), database=0, on_conflict="skip")

    found = (await plan_of(daemon, "source/all", wish)).plan

    assert KeysMoved(chosen=10, existing=2, written=8, skipped=2) == found.keys
    assert ("keys", True, 3) == (found.method, found.safety_backup, found.target_keys)
    assert {b"k:1", b"k:2", b"other"} == set(await held(target))


async def test_values_beyond_one_command_go_over_by_element(
    daemon: DaemonProcess, source: Node, target: Node
) -> None:
    """Where `proto-max-bulk-len` is 1 MB, values of 3 MB are put together and renamed at once."""
    wish = KeysWish(patterns=("big:*",), on_conflict="replace")
    async with asking(target) as client:
        await client.set("big:hash", "ours")
    async with configured(target, proto_max_bulk_len=str(MIB)):
        restore = await restored(daemon, "source/all", wish)

    assert restore.result is not None, restore.failure
    moved = restore.result.moved
    assert moved is not None
    new = {key: one for key, one in (await held(source)).items() if key.startswith(b"big:")}
    del new[b"big:string"]
    assert new == await held(target)
    assert (7, 6, 4) == (moved.chosen, moved.written, moved.by_element)
    assert ("db0 big:string: ERR string exceeds maximum allowed size (proto-max-bulk-len)",) == (
        moved.refused
    )


async def test_safety_backup_is_made_and_writes_go_on(daemon: DaemonProcess, target: Node) -> None:
    """A target with keys is backed up first, and the result says how much it wrote since."""
    async with asking(target) as client:
        await client.set("mine", "m")
    wish = KeysWish(patterns=("k:1",), database=0)

    restore = await restored(daemon, "source/all", wish, safety=True)

    assert restore.result is not None, restore.failure
    assert restore.safety is not None
    assert restore.safety.phase == "complete"
    assert restore.result.lost_offset_bytes is not None
    assert {b"mine", b"k:1"} == set(await held(target))


async def test_damaged_backup_writes_no_key(
    daemon: DaemonProcess, source: Node, target: Node
) -> None:
    """All of the stored bytes are checked before the first key goes over (R5)."""
    backup = await daemon.backup("source", name="damaged")
    (place,) = (await daemon.get(BackupDetail, "backups", backup.backup_id)).objects
    stored = anyio.Path(place.removeprefix("file://"))
    data = bytearray(await stored.read_bytes())
    data[-100] ^= 1
    await stored.write_bytes(data)

    restore = await restored(daemon, backup.backup_id, KeysWish())

    assert restore.failure is not None
    assert ("failed", "block-damaged") == (restore.phase, restore.failure.code)
    assert {} == await held(target)


async def test_pace_is_kept(daemon: DaemonProcess, target: Node) -> None:
    """With a rate, keys take at least as long as it says."""
    wish = KeysWish(patterns=("k:1?",), database=0, keys_per_second=20)

    restore = await restored(daemon, "source/all", wish)

    assert restore.result is not None, restore.failure
    assert restore.result.served_seconds >= 0.5
    assert len(await held(target)) == 10


@pytest.mark.debian("redis-server")
async def test_redis_gets_its_own_keys_and_refuses_newer_ones(
    daemon: DaemonProcess, short_path: Path
) -> None:
    """Redis 7.0 takes, in TLS, what a Redis packs; what only Valkey can read is a blocker."""
    redis = next(one for one in await find_engines(os.defpath) if one.kind == "redis")
    authority = Authority(short_path)
    speaks = speaking_tls(authority, authority.issue("server", *HERE), clients="no")
    async with start_node(redis, short_path, **speaks) as node:
        async with asking(node) as client:
            await fill(client, keys=20)
        before = await held(node, 3)
        await daemon.command(AddCache("redis", tls_url(node), tls_ca_file=authority.ca_file))
        backup = await daemon.backup("redis", name="own")
        assert backup.phase == "complete", backup.failure
        await emptied(node)

        refused = await restored(daemon, "source/all", KeysWish(), to="redis")
        done = await restored(daemon, backup.backup_id, KeysWish(), to="redis")

        assert refused.failure is not None
        assert "rdb-version" == refused.failure.code
        assert done.phase == "completed", done.failure
        assert before == await held(node, 3)


GLOBS = (
    "*", "", "a*", "*a", "a?c", "??", "[abc]", "[^abc]", "[a-c]x", "[c-a]x", "a[", "a[b", "[]x",
    "[^]", "[a-", "[\\]]", "\\*", "a\\", "\\[x]", "**b**", "%a", "a.c", "a-c", "^a", "a$", "[%a]",
    "[a-]", "a[^\\]]c", "(*)", "?",
)  # fmt: skip
NAMES = (
    b"a", b"b", b"ab", b"abc", b"a.c", b"a-c", b"axc", b"x", b"ax", b"bx", b"cx", b"dx", b"a[",
    b"]", b"*", b"[x]", b"a\\", b"%a", b"^a", b"a$", b"a\0c", b"\0", b"\xff", b"a\xffc", b"-",
    b"%", b"(b)", b"\n", b"a]c", b"abbb",
)  # fmt: skip


async def test_patterns_choose_what_the_engine_itself_would(target: Node) -> None:
    """However odd a glob is, as a Lua pattern it fits the same names as in `KEYS`."""
    script = "local n = {} for i = 2, #ARGV do if string.find(ARGV[i], ARGV[1]) then "
    script += "n[#n + 1] = ARGV[i] end end return n"
    async with asking(target) as client:
        await client.mset(dict.fromkeys(NAMES, b""))
        for glob in GLOBS:
            wanted = set(await client.keys(glob))
            found = await command(client, "EVAL", script, 0, lua_pattern(glob.encode()), *NAMES)
            assert isinstance(found, list)
            assert (glob, wanted) == (glob, set(found))
