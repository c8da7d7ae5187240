"""Restores by keys that are cut off, denied or sent to many: what is left, and how it goes on."""

import shlex
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import anyio
import pytest

from daemon.answers import RestoreView
from daemon.commands import RequestRestore
from daemon.valkey.address import parse
from daemon.valkey.connection import Login, Timeouts, open_node
from daemon.valkey.engine import Engine
from daemon.valkey.keys import mover
from daemon.valkey.keys.mover import Mover, Plan, Way
from daemon.valkey.keys.slots import Cluster, cluster
from daemon.valkey.keys.store import open_store
from events.moves import KeysWish
from tests.support.by_keys import Held, emptied, held, restored
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.poll import until
from tests.support.replicas import asking
from tests.support.restoring import Silent
from tests.support.servers import Node, command, fill, free_port, start_node

pytestmark = pytest.mark.anyio

LAST_SLOT = 16_383
PRIMARIES = 3


@pytest.fixture(scope="module")
async def source(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Node, None]:
    """A server with every kind of value."""
    async with start_node(engine, tmp_path_factory.mktemp("s")) as node:
        async with asking(node) as client:
            await fill(client, keys=2_000)
            await client.set("{tag}:one", "1")
            await client.set("odd}name{", "2")
        yield node


@pytest.fixture(scope="module")
async def shared(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Node, None]:
    """A target that appends to a file, and does not know `REPLICAOF` (as managed services do)."""
    settings = {"appendonly": "yes", "rename_command": 'REPLICAOF ""'}
    async with start_node(engine, tmp_path_factory.mktemp("t"), **settings) as node:
        yield node


@pytest.fixture
async def target(shared: Node) -> Node:
    """The target, with nothing in it."""
    if not shared.running():
        await shared.start()
    await emptied(shared)
    return shared


@pytest.fixture(scope="module")
async def trio(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[tuple[Node, ...], None]:
    """A cluster of three primaries, which is ok."""
    async with AsyncExitStack() as stack:
        nodes = []
        for number in range(PRIMARIES):
            place = tmp_path_factory.mktemp(f"c{number}")
            settings = {"cluster_enabled": "yes", "cluster_port": str(free_port())}
            nodes.append(await stack.enter_async_context(start_node(engine, place, **settings)))
        for number, node in enumerate(nodes):
            first, last = LAST_SLOT * number // 3 + (number > 0), LAST_SLOT * (number + 1) // 3
            async with asking(node) as client:
                await command(client, "CLUSTER", "ADDSLOTSRANGE", first, last)
                other = nodes[0]
                bus = other.settings["cluster-port"]
                await command(client, "CLUSTER", "MEET", "127.0.0.1", other.port, bus)
        for node in nodes:
            await until(partial(_is_ok, node), "the cluster to be ok")
        yield tuple(nodes)


async def _is_ok(node: Node) -> bool:
    async with asking(node) as client:
        told = await command(client, "CLUSTER", "INFO")
    text = told.decode() if isinstance(told, bytes) else str(told)
    return "cluster_state:ok" in text and f"cluster_known_nodes:{PRIMARIES}" in text


@pytest.fixture(scope="module")
async def daemon(
    nursery: Nursery,
    source: Node,
    shared: Node,
    trio: tuple[Node, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[DaemonProcess, None]:
    """A daemon that knows them all, with a backup `all` of the source."""
    vault = directory_vault(tmp_path_factory.mktemp("vault"))
    async with installation(nursery, vault) as daemon:
        await daemon.start()
        await daemon.add("source", url=source.url)
        await daemon.add("target", url=shared.url)
        await daemon.add("cluster", url=trio[1].url)
        backup = await daemon.backup("source", name="all")
        assert backup.phase == "complete", backup.failure
        yield daemon


async def test_target_without_replicaof_gets_its_keys(
    daemon: DaemonProcess, source: Node, target: Node
) -> None:
    """Nothing but ordinary commands is needed, and an append-only file has the keys in the end."""
    restore = await restored(daemon, "source/all", KeysWish())

    assert restore.result is not None, restore.failure
    assert "durable: in the append-only file (appendfsync everysec)" == restore.result.durability
    await target.kill()
    await target.start()
    assert await held(source, 9) == await held(target, 9)


async def test_cluster_gets_each_key_where_it_belongs(
    daemon: DaemonProcess, source: Node, trio: tuple[Node, ...]
) -> None:
    """A cluster has database 0 alone; its keys go to the primaries of their slots."""
    await emptied(*trio)
    refused = await restored(daemon, "source/all", KeysWish(), to="cluster")
    assert refused.failure is not None
    assert ("databases", {}) == (refused.failure.code, await together(trio))

    done = await restored(daemon, "source/all", KeysWish(database=0), to="cluster")
    assert done.result is not None, done.failure
    assert await held(source) == await together(trio)
    assert all([await held(node) for node in trio])

    again = await restored(
        daemon, "source/all", KeysWish(database=0, on_conflict="skip"), to="cluster"
    )
    assert again.result is not None, again.failure
    assert again.result.moved is not None
    assert (0, again.result.moved.chosen) == (
        again.result.moved.written,
        again.result.moved.skipped,
    )


async def together(nodes: tuple[Node, ...]) -> dict[bytes, Held]:
    """What the nodes hold between them."""
    found: dict[bytes, Held] = {}
    for node in nodes:
        found |= await held(node)
    return found


async def test_keys_follow_slots_that_have_moved(
    engine: Engine, source: Node, trio: tuple[Node, ...]
) -> None:
    """A primary that sends a key elsewhere is believed: the cluster is asked again who has it."""
    await emptied(*trio)
    login, timeouts = Login(parse(trio[0].url)), Timeouts()
    async with open_node(login, timeouts) as node:
        true = await cluster(node)
    stale = Cluster(true.primaries, bytes(one % PRIMARIES + 1 for one in true.lanes))
    way = Way(login, timeouts, longest=1 << 20, cluster=stale)
    async with open_store(engine, source.socket, timeouts, expired=False) as store:
        moving = Mover(store, way, Plan(KeysWish(), {0: 0}), Silent())
        counts = await moving.count(look=False)
        moved = await moving.move(counts.chosen, plain_bytes=1)

    assert moved.written == moved.chosen == counts.chosen
    assert await held(source) == await together(trio)


async def test_what_is_heavy_is_never_copied_whole(
    engine: Engine, source: Node, target: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of much data every value is weighed first, and the heavy ones go over by element."""
    monkeypatch.setattr(mover, "LIGHT_BYTES", 1)
    monkeypatch.setattr(mover, "LARGE_BYTES", 20_000)
    login, timeouts = Login(parse(target.url)), Timeouts()
    async with open_store(engine, source.socket, timeouts, expired=False) as store:
        moving = Mover(store, Way(login, timeouts), Plan(KeysWish(), {0: 0}), Silent())
        counts = await moving.count(look=True)
        moved = await moving.move(counts.chosen, plain_bytes=1)

    assert (counts.chosen, 0) == (moved.written, counts.there)
    assert moved.by_element >= 2
    assert await held(source) == await held(target)


async def test_user_with_few_rights_is_told_which_lack(
    daemon: DaemonProcess, source: Node, target: Node, tmp_path: Path
) -> None:
    """The plan names the line that grants what is missing, and with it the restore is done."""
    password = tmp_path / "password"
    password.write_text("only-for-keys")
    async with asking(target) as client:
        await command(client, "ACL", "SETUSER", "mover", "on", ">only-for-keys", "+info", "+select")
        url = f"valkey://mover@127.0.0.1:{target.port}"
        await daemon.add("fenced", url=url, password_file=str(password))
        for lacking in ("+restore", "~*"):
            refused = await restored(daemon, "source/all", KeysWish(), to="fenced")
            assert refused.failure is not None
            assert "auth" == refused.failure.code
            line = refused.failure.hint.removeprefix("On the target: ")
            assert lacking in line
            await command(client, *shlex.split(line))

        done = await restored(daemon, "source/all", KeysWish(), to="fenced")
    assert done.phase == "completed", done.failure
    assert await held(source, 3) == await held(target, 3)


async def test_killed_daemon_leaves_keys_and_the_command_goes_on(
    daemon: DaemonProcess, source: Node, target: Node
) -> None:
    """What was written before `kill -9` stays, and the command that is printed brings the rest."""
    assert await daemon.stop() == 0
    await daemon.start(doom="bytes 30000 moving keys")
    wish = KeysWish(database=0, keys_per_second=4_000)
    request = RequestRestore("source/all", "target", method="keys", keys=wish)
    restore_id = (await daemon.command(request)).restore_id
    await daemon.died()
    await daemon.start()

    assert restore_id is not None
    cut = await daemon.restore_ended(restore_id)
    assert cut.failure is not None
    assert ("failed", "interrupted") == (cut.phase, cut.failure.code)
    part, whole = await held(target), await held(source)
    assert 0 < len(part) < len(whole)
    assert part.items() <= whole.items()
    await repeated(daemon, cut)
    assert whole == await held(target)


async def test_target_that_dies_ends_the_restore(
    daemon: DaemonProcess, source: Node, target: Node
) -> None:
    """A target that is killed in the middle fails the restore, which goes on when it is back."""
    wish = KeysWish(database=0, on_conflict="replace", keys_per_second=2_000)
    request = RequestRestore("source/all", "target", replace=True, method="keys", keys=wish)
    restore_id = (await daemon.command(request)).restore_id
    assert restore_id is not None

    async def some() -> bool:
        async with asking(target) as client:
            return int(await client.dbsize()) > 100

    await until(some, "some keys to be there")
    await target.kill()
    cut = await daemon.restore_ended(restore_id)
    assert cut.failure is not None
    assert cut.failure.code in {"target-lost", "cache-unreachable"}

    await target.start()
    await repeated(daemon, cut)
    assert await held(source) == await held(target)


async def repeated(daemon: DaemonProcess, cut: RestoreView) -> None:
    """Type the command that a restore that was cut off has printed."""
    assert cut.command is not None
    assert any("stay on the target" in line for line in cut.by_hand)
    words = shlex.split(cut.command)
    assert "valkeep" == words[0]
    line = [sys.executable, "-m", "daemon.cli", "--socket", str(daemon.socket), *words[1:]]
    done = await anyio.run_process([*line, "--yes", "--wait", "--rate", "0"], check=False)
    assert done.returncode == 0, done.stderr.decode()


async def test_wishes_are_checked_on_the_command_line(daemon: DaemonProcess, target: Node) -> None:
    """The plan is shown with its counts, and no key that is there is replaced unasked."""
    async with asking(target) as client:
        await client.set("k:1", "ours")
    line = [sys.executable, "-m", "daemon.cli", "--socket", str(daemon.socket)]
    wish = ["restore", "source/all", "--to", "target", "--keys", "k:?", "--db", "0"]

    shown = await anyio.run_process([*line, *wish, "--on-conflict", "skip", "--plan"], check=False)
    assert shown.returncode == 0, shown.stderr.decode()
    assert "10 keys" in shown.stdout.decode()

    asked = await anyio.run_process([*line, *wish, "--on-conflict", "replace"], check=False)
    assert asked.returncode == 3
    assert "1 of the keys" in asked.stderr.decode()

    wrong = await anyio.run_process([*line, *wish, "--method", "replication"], check=False)
    assert wrong.returncode == 2
    assert "no flag about keys" in wrong.stderr.decode()
