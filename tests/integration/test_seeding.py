"""Restores by replication into real servers: whole and durable, or the old data is in place."""

import os
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest
from redis.exceptions import ResponseError

from daemon.errors import Permanent, Transient
from daemon.valkey.address import parse
from daemon.valkey.connection import Credentials, Login, open_node
from daemon.valkey.durable import evicted
from daemon.valkey.engine import Engine, find_engines
from daemon.valkey.listener import Door, listening
from daemon.valkey.primary import Access
from daemon.valkey.seeder import Patience
from daemon.valkey.target_facts import LOOPBACK, entry, route, target_facts, try_listener
from events.facts import TrialFacts
from tests.support.poll import until
from tests.support.restoring import (
    NAMES,
    ONE_TIME,
    QUICK,
    Stage,
    pieces,
    restore,
    source,
    staged,
    whole,
)
from tests.support.servers import Node, command, digest, fill, start_node

pytestmark = pytest.mark.anyio

HELD = (
    "min-replicas-to-write",
    "min-replicas-max-lag",
    "replica-read-only",
    "repl-diskless-load",
    "masterauth",
)


class Dump(tuple[bytes, tuple[str, bytes]]):
    """A dump's bytes, and the digest of the server that it was taken from."""

    __slots__ = ()


@pytest.fixture(
    scope="module",
    params=["valkey", pytest.param("redis", marks=pytest.mark.debian("redis-server"))],
)
async def engine(request: pytest.FixtureRequest) -> Engine:
    """Each family of engines in turn."""
    return next(e for e in await find_engines(os.defpath) if e.kind == request.param)


@pytest.fixture(scope="module")
async def dump(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Dump:
    """A dump of every kind of value, well above the bytes that are held back."""
    directory: Path = tmp_path_factory.mktemp("source")
    async with start_node(engine, directory, rdbcompression="no") as node:
        client = node.client()
        await fill(client, keys=2_000)
        await command(client, "SAVE")
        expected = await digest(client)
        await client.aclose()
    return Dump(((directory / "dump.rdb").read_bytes(), expected))


async def held(node: Node) -> dict[str, str]:
    """The settings that a restore may touch."""
    client = node.client()
    try:
        found = await client.config_get(*HELD)
        return {str(name): str(value) for name, value in found.items()}
    finally:
        await client.aclose()


async def data_of(node: Node) -> tuple[str, bytes]:
    """The digest of what a node holds."""
    client = node.client()
    try:
        return await digest(client)
    finally:
        await client.aclose()


async def other_data(node: Node) -> tuple[str, bytes]:
    """Fill a node with data of its own; its digest."""
    client = node.client()
    await fill(client, keys=50, prefix="old")
    await client.aclose()
    return await data_of(node)


async def cut(stage: Stage, data: bytes) -> None:
    """Send all but an end that turns out to be damaged."""

    async def damaged() -> AsyncGenerator[bytes, None]:
        async for chunk in pieces(data):
            yield chunk
        raise Permanent("backup-damaged", "a block does not have its hash", "verify the backup")

    await stage.target.replicate_from(stage.hold, stage.entry)
    with pytest.raises(Permanent, match="does not have its hash"):
        await stage.seeder.serve(len(data), source(damaged))


@pytest.mark.parametrize("appendonly", ["no", "yes"])
@pytest.mark.parametrize("load_mode", ["swapdb", "disabled"])
async def test_a_restore_survives_kill_9(
    engine: Engine, dump: Dump, tmp_path: Path, load_mode: str, appendonly: str
) -> None:
    """Data that a restore calls durable is whole after `kill -9`, in each mode, AOF or not."""
    data, expected = dump
    settings = {"save": "3600 1", "appendonly": appendonly}
    async with start_node(engine, tmp_path, **settings) as node:
        await other_data(node)
        untouched = await held(node)
        async with staged(node, load_mode) as stage:
            durability, _ = await restore(stage, data, load_mode)
            assert durability.startswith("durable")
            assert expected == await data_of(node)
            assert untouched == await held(node)
            await node.kill()
        await node.start()
        assert expected == await data_of(node)


async def test_memory_only_is_said_aloud(engine: Engine, dump: Dump, tmp_path: Path) -> None:
    """A target that saves nothing, loading beside its data, ends with the warning sentence."""
    data, expected = dump
    async with start_node(engine, tmp_path) as node:
        await other_data(node)
        async with staged(node, "swapdb") as stage:
            durability, _ = await restore(stage, data, "swapdb")
        assert durability == "in memory only, and an old RDB file would return"
        assert expected == await data_of(node)


@pytest.mark.parametrize("load_mode", ["swapdb", "disabled"])
async def test_damage_found_at_the_end_leaves_the_old_data(
    engine: Engine, dump: Dump, tmp_path: Path, load_mode: str
) -> None:
    """When the source fails after its last byte, the target keeps its data and lives."""
    data, _ = dump
    async with start_node(engine, tmp_path, save="3600 1") as node:
        old = await other_data(node)
        untouched = await held(node)
        async with staged(node, load_mode) as stage:
            await cut(stage, data)
            undone = await stage.target.undo(stage.hold)
        assert node.running()
        assert (old, untouched) == (await data_of(node), await held(node))
        assert (False, ()) == (undone.loaded, undone.notes)
        client = node.client()
        assert await client.set("writes", "are back")
        await client.aclose()


async def test_writes_are_refused_while_held(engine: Engine, tmp_path: Path) -> None:
    """A held target refuses writes and serves reads; let go, it takes writes again."""
    async with start_node(engine, tmp_path, min_replicas_max_lag="0") as node:
        await other_data(node)
        untouched = await held(node)
        client = node.client()
        async with staged(node, "disabled") as stage:
            with pytest.raises(ResponseError, match="Not enough good replicas"):
                await client.set("a", "b")
            assert await client.get("old:1") is not None
            assert await stage.target.thaw(stage.hold) == ()
        assert await client.set("a", "b")
        assert untouched == await held(node)
        await client.aclose()


async def test_undo_may_be_repeated_and_leaves_others_changes(
    engine: Engine, tmp_path: Path
) -> None:
    """What somebody else set meanwhile stays and is told; a second undo changes nothing."""
    async with start_node(engine, tmp_path) as node:
        client = node.client()
        async with staged(node, "swapdb") as stage:
            await stage.target.replicate_from(stage.hold, stage.entry)
            await client.config_set("min-replicas-to-write", "3")
            first = await stage.target.undo(stage.hold)
            second = await stage.target.undo(stage.hold)
        assert first == second
        assert "min-replicas-to-write was changed by somebody else" in first.notes[0]
        assert {
            "min-replicas-to-write": "3",
            "masterauth": "",
            "repl-diskless-load": "disabled",
        } == (await client.config_get("min-replicas-to-write", "masterauth", "repl-diskless-load"))
        assert "master" == (await client.info("replication"))["role"]
        await client.aclose()


async def test_undo_after_the_load_says_so(engine: Engine, dump: Dump, tmp_path: Path) -> None:
    """A target that had loaded everything when we stopped keeps the data, and undo tells it."""
    data, expected = dump
    async with start_node(engine, tmp_path) as node:
        await other_data(node)
        untouched = await held(node)
        async with staged(node, "swapdb") as stage:
            await stage.target.replicate_from(stage.hold, stage.entry)
            await stage.seeder.serve(len(data), whole(data))
            undone = await stage.target.undo(stage.hold)
        assert undone.loaded
        assert (expected, untouched) == (await data_of(node), await held(node))


async def test_undo_leaves_a_restarted_target_alone(engine: Engine, tmp_path: Path) -> None:
    """A target that was restarted has its file's settings: undo finds nothing and says why."""
    async with start_node(engine, tmp_path) as node:
        async with staged(node, "swapdb") as stage:
            await node.kill()
            await node.start()
            with pytest.raises(Transient, match="restarted"):
                await stage.target.check(stage.hold)
            undone = await stage.target.undo(stage.hold)
        assert not undone.loaded
        assert ["restarted" in note for note in undone.notes] == [True]


async def test_own_masterauth_is_used_and_left(engine: Engine, dump: Dump, tmp_path: Path) -> None:
    """A target with a masterauth and masteruser of its own gives them, and keeps them."""
    data, expected = dump
    settings = {"masterauth": "its own", "masteruser": "copier", "replica_read_only": "no"}
    async with start_node(engine, tmp_path, **settings) as node:
        untouched = await held(node)
        async with staged(node, "disabled") as stage:
            assert ("copier", False) == (stage.entry.access.username, stage.entry.one_time)
            assert "masterauth" not in stage.hold.changes
            await restore(stage, data, "disabled")
        assert (expected, untouched) == (await data_of(node), await held(node))


async def test_no_secret_is_in_what_the_log_will_hold(engine: Engine, tmp_path: Path) -> None:
    """What is recorded of a hold does not contain the one-time password."""
    async with start_node(engine, tmp_path) as node, staged(node, "disabled") as stage:
        assert stage.hold.changes["masterauth"].startswith("sha256:")
        assert ONE_TIME not in repr(stage)
        await stage.target.thaw(stage.hold)


async def test_a_wrong_password_gets_nothing(engine: Engine, dump: Dump, tmp_path: Path) -> None:
    """A replica without the right password never gets a byte, and its attempts are told."""
    data, _ = dump
    async with start_node(engine, tmp_path) as node:
        old = await other_data(node)
        quick = Patience(arrival=1.5, tries=1)
        async with staged(node, "swapdb", patience=quick) as stage:
            client = node.client()
            await client.config_set("masterauth", "not this one")
            await command(client, "REPLICAOF", stage.listener.host, stage.listener.port)
            with pytest.raises(Transient, match="wrong password") as caught:
                await stage.seeder.serve(len(data), whole(data))
            await command(client, "REPLICAOF", "NO", "ONE")
            await client.aclose()
        assert "listener" == caught.value.code
        assert old == await data_of(node)


async def test_another_address_is_turned_away(engine: Engine, tmp_path: Path) -> None:
    """A connection from an address that is not the target's is closed before a word."""
    door = Door("127.0.0.1", 0, "127.0.0.1", frozenset({"192.0.2.7"}))
    async with (
        start_node(engine, tmp_path) as node,
        listening(door, Access(ONE_TIME), NAMES) as listener,
    ):
        client = node.client()
        await client.config_set("masterauth", ONE_TIME)
        await command(client, "REPLICAOF", listener.host, listener.port)

        async def turned_away() -> bool:
            return listener.strangers > 0

        await until(turned_away, "the target to be turned away")
        with pytest.raises(Transient, match="came from elsewhere"):
            await listener.replica(0.05)
        await client.aclose()


async def test_a_cut_connection_begins_again(engine: Engine, dump: Dump, tmp_path: Path) -> None:
    """A connection cut on the way is made good: the target comes again and gets all of it."""
    data, expected = dump
    async with start_node(engine, tmp_path) as node:
        await other_data(node)
        async with staged(node, "swapdb") as stage:
            sent: list[int] = []

            async def interrupted() -> AsyncGenerator[bytes, None]:
                sent.append(0)
                async for chunk in pieces(data):
                    sent[-1] += len(chunk)
                    if len(sent) == 1 and sent[0] > len(data) // 2:
                        stage.listener._given[0]._socket.shutdown(socket.SHUT_RDWR)
                    yield chunk

            await stage.target.replicate_from(stage.hold, stage.entry)
            await stage.seeder.serve(len(data), source(interrupted))
            await stage.target.promote(stage.hold)
            await stage.target.thaw(stage.hold)
        assert 2 == len(sent)
        assert expected == await data_of(node)


@pytest.mark.parametrize("load_mode", ["swapdb", "disabled"])
async def test_a_target_killed_while_it_receives_keeps_its_file(
    engine: Engine, dump: Dump, tmp_path: Path, load_mode: str
) -> None:
    """A target that dies on the way comes back with what it had saved; we are told it is gone."""
    data, _ = dump

    async def deadly() -> AsyncGenerator[bytes, None]:
        sent_bytes = 0
        async for chunk in pieces(data):
            sent_bytes += len(chunk)
            if sent_bytes > len(data) // 2 and node.running():
                await node.kill()
            yield chunk

    async with start_node(engine, tmp_path, save="3600 1") as node:
        old = await other_data(node)
        client = node.client()
        await command(client, "SAVE")
        await client.aclose()
        quick = Patience(arrival=0.5)
        async with staged(node, load_mode, patience=quick) as stage:
            await stage.target.replicate_from(stage.hold, stage.entry)
            with pytest.raises(Transient, match="did not come back") as caught:
                await stage.seeder.serve(len(data), source(deadly))
            await node.start()
            undone = await stage.target.undo(stage.hold)
        assert "restore-connection" == caught.value.code
        assert not undone.loaded
        assert old == await data_of(node)


async def test_the_targets_replicas_follow(engine: Engine, dump: Dump, tmp_path: Path) -> None:
    """A replica behind the target has the restored data too, without any help."""
    data, expected = dump
    async with (
        start_node(engine, tmp_path / "target") as node,
        start_node(engine, tmp_path / "behind", replicaof=f"127.0.0.1 {node.port}") as behind,
    ):
        client = behind.client()

        async def in_step() -> bool:
            return bool((await client.info("replication"))["master_link_status"] == "up")

        await until(in_step, "the replica to follow")
        await other_data(node)
        async with staged(node, "swapdb") as stage:
            await restore(stage, data, "swapdb")

        async def followed() -> bool:
            return await in_step() and expected == await digest(client)

        await until(followed, "the replica to have the restored data")
        await client.aclose()


@pytest.mark.parametrize("way", ["tcp", "unix"])
async def test_the_trial_reaches_us_and_leaves_no_trace(
    engine: Engine, tmp_path: Path, way: str
) -> None:
    """The trial proves the way to the listener; role, data and history stay as they were."""
    async with start_node(engine, tmp_path) as node:
        old = await other_data(node)
        url = node.url if way == "tcp" else node.unix_url
        async with open_node(Login(parse(url)), QUICK) as asked:
            seen = await route(asked)
            expected = await entry(asked, ONE_TIME)
            facts = await target_facts(asked, TrialFacts("not-tried"))
            door = Door("127.0.0.1", 0, seen.ours, seen.theirs)
            async with listening(door, expected.access, NAMES) as listener:
                trial = await try_listener(asked, listener, expected.access, NAMES, facts.server)
            again = await target_facts(asked, trial)
        assert "reached" == trial.outcome
        assert (None, True, "disabled") == (again.rights, again.one_time_password, again.load_mode)
        assert facts.server.replication_id == again.server.replication_id
        assert ("primary", old) == (again.server.role, await data_of(node))


async def test_a_trial_that_cannot_arrive_fails(engine: Engine, tmp_path: Path) -> None:
    """Where nothing listens the trial fails, which blocks the restore before it begins."""
    async with start_node(engine, tmp_path) as node:
        await other_data(node)
        async with open_node(Login(parse(node.url)), QUICK) as asked:
            facts = await target_facts(asked, TrialFacts("not-tried"))
            door = Door("127.0.0.1", 0, "127.0.0.1", frozenset({"192.0.2.7"}))
            async with listening(door, Access(ONE_TIME), NAMES) as listener:
                trial = await try_listener(asked, listener, Access(ONE_TIME), NAMES, facts.server)
    assert "failed" == trial.outcome


async def test_a_user_without_rights_is_told_which(engine: Engine, tmp_path: Path) -> None:
    """A user that may not do what a restore needs gets the exact line, and a trial not tried."""
    async with start_node(engine, tmp_path) as node:
        await other_data(node)
        client = node.client()
        await command(
            client, "ACL", "SETUSER", "keeper", "on", ">pw", "~*", "+@all",
            "-config|set", "-replicaof", "-migrate",
        )  # fmt: skip
        await client.aclose()
        where = parse(f"valkey://keeper@127.0.0.1:{node.port}")
        login = Login(where, Credentials("keeper", "pw"))
        async with open_node(login, QUICK) as asked:
            facts = await target_facts(asked, TrialFacts("not-tried"))
            door = Door("127.0.0.1", 0, "127.0.0.1", LOOPBACK)
            async with listening(door, Access(ONE_TIME), NAMES) as listener:
                trial = await try_listener(asked, listener, Access(ONE_TIME), NAMES, facts.server)
        assert "ACL SETUSER keeper +config|set +replicaof" == facts.rights
        assert "not-tried" == trial.outcome


async def test_evictions_after_the_load_are_counted(
    engine: Engine, dump: Dump, tmp_path: Path
) -> None:
    """Keys that a smaller target evicts once it is a primary are counted, not passed over."""
    data, _ = dump
    async with start_node(engine, tmp_path, maxmemory_policy="allkeys-lru") as node:
        client = node.client()
        used = int((await client.info("memory"))["used_memory"])
        await client.config_set("maxmemory", str(used + (256 << 10)))
        async with staged(node, "swapdb") as stage:
            _, earlier = await restore(stage, data, "swapdb")
            with anyio.fail_after(40):
                gone = await evicted(stage.target.node, earlier)
        total = sum(int(value["keys"]) for value in (await client.info("keyspace")).values())
        assert gone > 0
        assert 3 * 2_009 == total + gone
        await client.aclose()


async def test_a_stalled_vault_gives_up_before_the_target_does(
    engine: Engine, dump: Dump, tmp_path: Path
) -> None:
    """A source that stands still is given up in time; the target keeps its old data."""
    data, _ = dump

    async def stalled() -> AsyncGenerator[bytes, None]:
        yield data[: len(data) // 2]
        await anyio.sleep_forever()

    async with start_node(engine, tmp_path) as node:
        old = await other_data(node)
        async with staged(node, "swapdb", patience=Patience(stall=0.3)) as stage:
            await stage.target.replicate_from(stage.hold, stage.entry)
            with pytest.raises(Transient) as caught:
                await stage.seeder.serve(len(data), source(stalled))
            await stage.target.undo(stage.hold)
        assert "vault-stalled" == caught.value.code
        assert old == await data_of(node)
