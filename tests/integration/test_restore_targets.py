"""Restores into every kind of target: what the plan says beforehand, and what comes of it."""

import os
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import anyio
import msgspec
import pytest
from msgspec import Struct

from daemon.answers import PlanAnswer, PlanRequest, RestoreView
from daemon.commands import AddCache, RequestRestore
from daemon.errors import BadRequest
from daemon.valkey.engine import Engine, find_engines
from events.facts import Finding
from events.types import Event, RestorePlanned, RestoreStarted
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.outcome import data_of, is_at_rest, settings_of
from tests.support.poll import until
from tests.support.replicas import asking, listed_online, replica_of, said
from tests.support.restoring import staged, whole
from tests.support.servers import DATABASES, Node, command, fill, free_port, start_node
from tests.support.tampering import tampered

pytestmark = pytest.mark.anyio

BACKUP = "orders/b"


class Stage(Struct, frozen=True):
    """A daemon that has one backup, `orders/b`, the server it is of, and what that holds."""

    daemon: DaemonProcess
    engine: Engine
    source: Node
    vault: Path
    data: tuple[str, bytes]

    async def plan(self, to: str, *force: str, backup: str = BACKUP) -> PlanAnswer:
        """What a restore would do."""
        request = msgspec.json.encode(PlanRequest(backup, to, force=force))
        return msgspec.json.decode(await self.daemon.post("/v1/plans", request), type=PlanAnswer)

    async def restore(self, to: str, *force: str, backup: str = BACKUP) -> RestoreView:
        """Restore it; without a safety backup."""
        request = RequestRestore(backup, to, replace=True, safety_backup=False, force=force)
        accepted = await self.daemon.command(request)
        assert accepted.restore_id is not None
        return await self.daemon.restore_ended(accepted.restore_id)


@pytest.fixture(scope="module")
async def stage(
    nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Stage, None]:
    """One daemon for all targets of this module."""
    engine = next(e for e in await find_engines(os.defpath) if e.kind == "valkey")
    vault = tmp_path_factory.mktemp("v")
    async with (
        start_node(engine, tmp_path_factory.mktemp("s")) as source,
        installation(nursery, directory_vault(vault)) as daemon,
    ):
        async with asking(source) as client:
            await fill(client)
        await daemon.start()
        await daemon.add("orders", url=source.url)
        assert (await daemon.backup("orders", name="b")).phase == "complete"
        yield Stage(daemon, engine, source, vault, await data_of(source))


async def with_old_data(node: Node) -> None:
    """Give a target something to lose."""
    async with asking(node) as client:
        await fill(client, keys=20, prefix="old")


def codes(findings: tuple[Finding, ...]) -> list[str]:
    """The codes of the blockers."""
    return [one.code for one in findings if one.level == "blocker"]


def only(code: str, plan: PlanAnswer) -> Finding:
    """The one finding of this code."""
    (found,) = (one for one in plan.plan.findings if one.code == code)
    return found


@pytest.mark.parametrize(("mode", "aof"), [("swapdb", "no"), ("disabled", "yes")])
async def test_replicas_of_the_target_follow_it(
    stage: Stage, short_path: Path, mode: str, aof: str
) -> None:
    """Attached replicas get the new data and stay, and `min-replicas-to-write` is as it was."""
    name = f"followed-{mode}"
    settings = {"repl_diskless_load": mode, "appendonly": aof, "save": "3600 1"}
    async with (
        start_node(stage.engine, short_path / "p", **settings) as primary,
        replica_of(stage.engine, primary, short_path / "r1") as first,
        replica_of(stage.engine, primary, short_path / "r2") as second,
    ):
        async with asking(primary) as client:
            await fill(client, keys=20, prefix="old")
            await client.config_set("min-replicas-to-write", "1")
        before = await settings_of(primary)
        await stage.daemon.add(name, url=primary.url)
        plan = await stage.plan(name)

        restore = await stage.restore(name)

        assert any("2 replicas stay attached" in line for line in plan.plan.consequences)
        assert any("min-replicas-to-write is 1" in line for line in plan.plan.consequences)
        assert restore.phase == "completed", restore.failure
        assert await settings_of(primary) == before
        for replica in (first, second):

            async def same(replica: Node = replica) -> bool:
                return await data_of(replica) == stage.data

            await until(same, f"the replica on {replica.port} to have the new data")
            assert await said(replica, "master_port") == primary.port
            assert await said(replica, "master_link_status") == "up"
        await listed_online(primary, 2)
        async with asking(primary) as client:
            assert await client.set("written", "again")


async def test_a_rewrite_under_way_gives_way(stage: Stage, short_path: Path) -> None:
    """A target that rewrites its append-only file when the restore comes ends with a whole one."""
    slow = {"appendonly": "yes", "rdb_key_save_delay": "30000"}
    async with start_node(stage.engine, short_path, **slow) as node:
        await with_old_data(node)
        async with asking(node) as client:
            await command(client, "BGREWRITEAOF")
        await stage.daemon.add("rewriting", url=node.url)
        plan = await stage.plan("rewriting")
        assert any("just now" in line for line in plan.plan.consequences)
        async with asking(node) as client:
            await command(client, "CONFIG", "SET", "rdb-key-save-delay", "0")

        restore = await stage.restore("rewriting")

        assert restore.phase == "completed", restore.failure
        assert "Killing running AOF rewrite child" in (short_path / "engine.log").read_text()
        await node.kill()
        await node.start()
        assert await data_of(node) == stage.data


@pytest.mark.parametrize(
    ("mode", "aof", "comes_back"),
    [("disabled", "no", "new"), ("disabled", "yes", "old"), ("swapdb", "no", "old")],
)
async def test_a_target_that_dies_while_it_loads_comes_back_as_the_plan_says(
    stage: Stage, short_path: Path, mode: str, aof: str, comes_back: str
) -> None:
    """Killed in the middle of the load it has the new data without AOF in disabled mode only."""
    slow = {"key_load_delay": "3000", "loading_process_events_interval_bytes": "1024"}
    async with start_node(stage.engine, short_path, appendonly=aof, **slow) as node:
        await with_old_data(node)
        old = await data_of(node)
        async with asking(node) as client, asking(stage.source) as source:
            await client.save()
            await source.save()

            async def loads() -> bool:
                return bool((await client.info("persistence"))["loading"])

            dump = (stage.source.directory / "dump.rdb").read_bytes()
            async with staged(node, mode) as held, anyio.create_task_group() as tasks:
                tasks.start_soon(held.seeder.serve, len(dump), whole(dump))
                await held.target.replicate_from(held.hold, held.entry)
                await until(loads, "the target to load")
                await node.kill()
                tasks.cancel_scope.cancel()
        node.settings["key-load-delay"] = "0"
        await node.start()
        assert await data_of(node) == (stage.data if comes_back == "new" else old)


async def test_a_user_with_just_the_rights_is_enough(stage: Stage, short_path: Path) -> None:
    """Behind a password an ACL user is refused with the line that helps, and then restores."""
    secret = short_path / "password"
    secret.write_text("opensesame")
    secret.chmod(0o600)
    async with start_node(stage.engine, short_path / "n", requirepass="hunter2") as node:
        await with_old_data(node)
        async with asking(node) as client:
            await command(client, "ACL", "SETUSER", "keeper", "on", ">opensesame", "~*", "+info")
            url = f"valkey://keeper@127.0.0.1:{node.port}"
            added = AddCache("guarded", url, password_file=str(secret), probe=False)
            await stage.daemon.command(added)
            refused = await stage.restore("guarded")
            line = only("auth", await stage.plan("guarded")).hint.removeprefix("On the target: ")
            await command(client, *line.split())
            settings = await settings_of(node)

        restore = await stage.restore("guarded")

        assert refused.failure is not None
        assert refused.failure.code == "auth"
        assert restore.phase == "completed", restore.failure
        assert await data_of(node) == stage.data
        await is_at_rest(node, settings)


async def test_too_little_maxmemory_is_refused_and_counted_when_forced(
    stage: Stage, short_path: Path
) -> None:
    """A target that changed after its plan is refused by the deed; forced, evictions are told."""
    async with start_node(stage.engine, short_path, maxmemory_policy="allkeys-lru") as node:
        await with_old_data(node)
        await stage.daemon.add("narrow", url=node.url)
        fits = await stage.plan("narrow")
        async with asking(node) as client:
            await client.config_set("maxmemory", str(1 << 20))
        old = await data_of(node)
        begun = len(await stage.daemon.events())

        refused = await stage.restore("narrow")

        events = (await stage.daemon.events())[begun:]
        assert (fits.blockers, refused.phase) == ((), "failed")
        assert refused.failure is not None
        assert (refused.failure.code, "1,048,576" in refused.failure.message) == ("memory", True)
        assert await data_of(node) == old
        assert not any(isinstance(one, RestoreStarted) for one in events)
        assert [["memory"]] == [codes(e.plan.findings) for e in plans(events)]

        forced = await stage.restore("narrow", "memory")

        events = (await stage.daemon.events())[begun:]
        assert forced.result is not None
        assert forced.result.evicted_keys > 0
        assert any("maxmemory is too small" in line for line in forced.result.warnings)
        assert [(), ("memory",)] == [e.forced for e in plans(events)]


def plans(events: list[Event]) -> list[RestorePlanned]:
    """The plans in the log."""
    return [event for event in events if isinstance(event, RestorePlanned)]


async def test_missing_databases_are_never_forced(stage: Stage, short_path: Path) -> None:
    """A target without the backup's highest database is refused whatever is said, and untouched."""
    async with start_node(stage.engine, short_path, databases="9") as node:
        await stage.daemon.add("shallow", url=node.url)
        refused = await stage.restore("shallow")

        assert refused.failure is not None
        assert refused.failure.code == "databases"
        assert "database 9; the target has 9, 0 to 8" in refused.failure.message
        with pytest.raises(BadRequest, match="databases cannot be forced"):
            await stage.restore("shallow", "databases")
        assert node.running()


async def test_a_limit_of_memory_chooses_the_load_mode(stage: Stage, short_path: Path) -> None:
    """A target in swapdb mode whose maxmemory holds one data set but not both is told the other."""
    settings = {"repl_diskless_load": "swapdb", "maxmemory_policy": "noeviction"}
    async with start_node(stage.engine, short_path, **settings) as node:
        await with_old_data(node)
        async with asking(node) as client, asking(stage.source) as source:
            new = (await source.info("memory"))["used_memory"]
            old = (await client.info("memory"))["used_memory"]
            await stage.daemon.add("tight", url=node.url)
            wide = (await stage.plan("tight")).plan
            await client.config_set("maxmemory", str(new + old // 2))
        held = await settings_of(node)
        plan = (await stage.plan("tight")).plan

        restore = await stage.restore("tight")

        assert (wide.load_mode, plan.load_mode) == ("swapdb", "disabled")
        assert any("its maxmemory is" in line for line in plan.consequences)
        assert restore.phase == "completed", restore.failure
        assert restore.result is not None
        assert restore.result.evicted_keys == 0
        assert await data_of(node) == stage.data
        await is_at_rest(node, held)


async def test_replicas_clusters_and_sentinels_are_never_targets(
    stage: Stage, short_path: Path
) -> None:
    """Each is refused by its code, whatever is forced; where keys would do, the hint says so."""
    async with (
        start_node(stage.engine, short_path / "p") as primary,
        replica_of(stage.engine, primary, short_path / "r") as replica,
        start_node(
            stage.engine, short_path / "c", cluster_enabled="yes", cluster_port=str(free_port())
        ) as cluster,
        asking(primary) as client,
    ):
        for name, node in (("watched", primary), ("follower", replica), ("sharded", cluster)):
            added = AddCache(name, node.url, probe=False)
            await stage.daemon.command(added)
        follower, sharded = await stage.plan("follower"), await stage.plan("sharded")
        client.connection_pool.connection_kwargs["client_name"] = "sentinel-0123abcd-pubsub"
        async with client.pubsub() as sentinel:
            await sentinel.subscribe("__sentinel__:hello")
            watched = await stage.plan("watched")

    assert follower.blockers == ("replica",)
    for plan in (sharded, watched):
        assert "topology" in plan.blockers
        assert "--keys" in only("topology", plan).hint


class WithModule:
    """Answers `MODULE LIST` as a server would that has a module; passes all else on."""

    ANSWER = b"*1\r\n*4\r\n$4\r\nname\r\n$2\r\nbf\r\n$3\r\nver\r\n:20208\r\n"

    def __init__(self) -> None:
        self._asked = False

    def question(self, data: bytes) -> bytes:
        """What a client asks."""
        self._asked |= b"MODULE" in data and b"LIST" in data
        return data

    def answer(self, data: bytes) -> bytes:
        """What the server says to it."""
        asked, self._asked = self._asked, False
        return self.ANSWER if asked and data == b"*0\r\n" else data


async def test_modules_of_the_source_are_wanted_on_the_target(
    stage: Stage, short_path: Path
) -> None:
    """A backup that recorded a module is not restored into a target without it."""
    liar = WithModule()
    ways = {"to_server": liar.question, "to_client": liar.answer}
    async with (
        start_node(stage.engine, short_path) as node,
        tampered(stage.source.port, **ways) as port,
    ):
        await stage.daemon.add("blooming", url=f"valkey://127.0.0.1:{port}", source="replication")
        backup = await stage.daemon.backup("blooming", name="b")
        await stage.daemon.add("plain", url=node.url)

        refused = await stage.restore("plain", backup=backup.backup_id)

        assert refused.failure is not None
        assert (refused.failure.code, "bf" in refused.failure.message) == ("modules", True)
        async with asking(node) as client:
            assert await client.dbsize() == 0


async def values(node: Node) -> dict[tuple[int, bytes], object]:
    """Every key with its digest; sorted sets as they are, for their digests differ by family."""
    found: dict[tuple[int, bytes], object] = {}
    for database in DATABASES:
        client = node.client(database)
        for key in map(_bytes, await client.keys()):
            found[database, key] = (
                await client.zrange(key, 0, -1, withscores=True)
                if key.endswith(b"zset")
                else await command(client, "DEBUG", "DIGEST-VALUE", key)
            )
        await client.aclose()
    return found


def _bytes(key: bytes | str) -> bytes:
    return key.encode() if isinstance(key, str) else key


@pytest.mark.debian("redis-server")
async def test_older_engines_are_refused_and_newer_ones_take_it(
    stage: Stage, short_path: Path
) -> None:
    """Redis 7.0 refuses what Valkey 8 wrote, by code and figures; Valkey takes what Redis wrote."""
    redis = next(e for e in await find_engines(os.defpath) if e.kind == "redis")
    async with (
        start_node(redis, short_path / "r") as old,
        start_node(stage.engine, short_path / "v") as new,
    ):
        async with asking(old) as client:
            await fill(client, keys=30)
        await stage.daemon.add("old", url=old.url)
        await stage.daemon.add("new", url=new.url)
        refused = await stage.plan("old", "engine-version")
        backup = await stage.daemon.backup("old", name="from-redis")

        restore = await stage.restore("new", backup=backup.backup_id)

        assert refused.blockers == ("rdb-version",)
        assert "reads up to 10" in only("rdb-version", refused).message
        assert restore.phase == "completed", restore.failure
        assert restore.plan is not None
        assert codes(restore.plan.findings) == []
        assert await values(new) == await values(old)


async def test_the_plan_sees_damage_in_the_first_block(stage: Stage, short_path: Path) -> None:
    """A bit flipped at the beginning of what is stored blocks the plan, and the deed like it."""
    place = next(stage.vault.glob("caches/orders/*/0000.rdb.zst"))
    whole = place.read_bytes()
    async with start_node(stage.engine, short_path) as node:
        await stage.daemon.add("spare", url=node.url)
        place.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
        try:
            plan, refused = await stage.plan("spare"), await stage.restore("spare")
        finally:
            place.write_bytes(whole)
        healed = await stage.plan("spare")

    assert plan.blockers == ("rdb-checksum",)
    assert "block 1 of 1 does not match its SHA-256" in only("rdb-checksum", plan).message
    assert refused.failure is not None
    assert refused.failure.code == "rdb-checksum"
    assert healed.blockers == ()


async def test_a_plan_tells_time_and_memory(stage: Stage, short_path: Path) -> None:
    """After a first restore of a cache's backup the next plan tells how long it will take."""
    async with start_node(stage.engine, short_path) as node:
        await stage.daemon.add("timed", url=node.url)
        await stage.restore("timed")
        plan = (await stage.plan("timed")).plan
        used: Mapping[str, object]
        async with asking(node) as client:
            used = await client.info("memory")

    assert plan.seconds is not None
    assert 0 < plan.seconds < 30
    assert "a restore into timed took" in plan.seconds_basis
    assert plan.peak_bytes is not None
    assert plan.peak_bytes >= int(str(used["used_memory"])) * 0.8
