"""Which node a snapshot is taken from, with real primaries, replicas and what befalls them."""

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import anyio
import pytest
import redis
from msgspec import Struct, structs

from daemon.errors import Failed, Transient
from daemon.valkey.connection import Timeouts, login
from daemon.valkey.engine import Engine, find_engines
from daemon.valkey.fork import Room
from daemon.valkey.survey import Survey
from events.facts import CacheSettings, NodeChoice, NodeFacts, SourceKind
from tests.support.poll import until
from tests.support.replicas import (
    asking,
    caught_up,
    configured,
    in_step,
    listed_online,
    promote,
    replica_of,
    said,
)
from tests.support.servers import Node, command, digest, fill, free_port, start_node
from tests.support.sources import (
    PATIENT,
    Board,
    P,
    Snap,
    T,
    caches,
    loaded,
    settings,
    take,
    threads,
)
from tests.support.tampering import tampered
from tests.support.tls import HERE, Authority, speaking_tls, tls_url

pytestmark = pytest.mark.anyio

QUICK = structs.replace(PATIENT, look=0.4)
PASSWORD = "hunter 2"


class Family(Struct):
    """A primary, two replicas of it, and a replica of the second one."""

    primary: Node
    first: Node
    second: Node
    chained: Node


@pytest.fixture(scope="module")
async def engine() -> Engine:
    """The wheel's engine."""
    return (await find_engines(""))[0]


@pytest.fixture(scope="module")
async def family(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Family, None]:
    """All in step; tests leave it as they found it."""
    home = tmp_path_factory.mktemp("family")
    async with (
        start_node(engine, home / "p") as primary,
        replica_of(engine, primary, home / "a") as first,
        replica_of(engine, primary, home / "b") as second,
        replica_of(engine, second, home / "c") as chained,
    ):
        async with asking(primary) as client:
            await fill(client, keys=50)
        await listed_online(primary, 2)
        await listed_online(second, 1)
        await caught_up(primary)
        await caught_up(second)
        yield Family(primary, first, second, chained)


def cache(node: Node, wanted: NodeChoice, source: SourceKind = "replication") -> CacheSettings:
    """A cache whose URL names that node."""
    return structs.replace(settings(node.url, source), node=wanted)


def place(node: Node) -> str:
    """Its address as facts have it."""
    return f"127.0.0.1:{node.port}"


async def chosen(asked: CacheSettings, timeouts: Timeouts = QUICK) -> NodeFacts:
    """The node that a probe says a backup would be taken from."""
    found = (await caches(timeouts=timeouts).probe(asked)).node
    assert found is not None
    return found


async def snapped(asked: CacheSettings, password: str | None = None) -> tuple[Snap, NodeFacts]:
    """A snapshot, and the node that its facts name."""
    snap = await take(caches(password, QUICK), asked)
    assert snap.facts.node is not None
    return snap, snap.facts.node


async def refused(asked: CacheSettings) -> Failed:
    """What a snapshot fails with."""
    with pytest.raises(Failed) as raised:
        await take(caches(timeouts=QUICK), asked)
    assert raised.value.hint
    return raised.value


@pytest.mark.parametrize("named", ["primary", "first", "chained"])
async def test_a_replica_in_step_is_found_from_any_node(
    family: Family, named: str, engine: Engine, tmp_path: Path
) -> None:
    """Whichever node the URL names, a replica gives the whole data, and the facts name it."""
    snap, node = await snapped(cache(getattr(family, named), "prefer-replica"))
    assert node.role == snap.facts.server.role == "replica"
    assert node.lag_bytes == 0
    assert f"behind the primary {place(family.primary)}" in node.reason
    replicas = {place(one): one for one in (family.first, family.second, family.chained)}
    taken_from = replicas[node.address]
    assert snap.facts.server.run_id == await said(taken_from, "run_id")
    assert snap.facts.server.replication_id == await said(family.primary, "master_replid")
    async with asking(family.primary) as client:
        assert await digest(client) == await loaded(engine, snap.data, tmp_path / "loaded")


@pytest.mark.parametrize("named", ["primary", "first", "chained"])
async def test_the_primary_is_found_from_any_node(family: Family, named: str) -> None:
    """Who wants the primary gets it, also by the URL of a replica's replica."""
    snap, node = await snapped(cache(getattr(family, named), "primary"))
    assert (node.role, node.address) == ("primary", place(family.primary))
    assert snap.facts.server.run_id == await said(family.primary, "run_id")


async def test_a_lone_primary_is_taken_and_why_is_told(engine: Engine, tmp_path: Path) -> None:
    """Without replicas it is the primary; who insists on a replica gets none."""
    async with start_node(engine, tmp_path) as node:
        found = await chosen(cache(node, "prefer-replica"))
        assert found == NodeFacts(place(node), "primary", "it has no replicas")
        error = await refused(cache(node, "replica"))
    assert isinstance(error, Transient)
    assert error.code == "no-replica"


async def test_frozen_replicas_are_passed_over_in_time(family: Family) -> None:
    """A replica that answers nothing costs a short time, and the reason names it."""
    family.first.pause()
    try:
        found = await chosen(cache(family.primary, "prefer-replica"))
        assert found.role == "replica"
        assert found.address != place(family.first)
        family.second.pause()
        begun = anyio.current_time()
        found = await chosen(cache(family.primary, "prefer-replica"))
        assert anyio.current_time() - begun < 5 * QUICK.look
        assert (found.role, found.address) == ("primary", place(family.primary))
        for node in (family.first, family.second):
            assert f"{node.url} did not answer INFO in time" in found.reason
        assert (await refused(cache(family.primary, "replica"))).code == "no-replica"
    finally:
        family.first.resume()
        family.second.resume()


async def test_a_replica_that_lags_is_not_taken(engine: Engine, tmp_path: Path) -> None:
    """A replica that is linked but far behind is passed over, with how far."""
    held = False

    def hold(data: bytes) -> bytes:
        return b"" if held else data

    async with (
        start_node(engine, tmp_path / "p") as primary,
        tampered(primary.port, to_client=hold) as slow,
        replica_of(engine, primary, tmp_path / "r", replicaof=f"127.0.0.1 {slow}") as replica,
    ):
        await listed_online(primary, 1)
        assert (await chosen(cache(primary, "replica"))).address == place(replica)
        held = True
        async with asking(primary) as client:
            await client.set("large", bytes(40 << 20))
        found = await chosen(cache(primary, "prefer-replica"))
        assert found.role == "primary"
        assert f"{place(replica)} is 40.0 MiB behind" in found.reason


async def test_what_was_written_before_is_in_the_backup(engine: Engine, tmp_path: Path) -> None:
    """A replica that is a little behind is waited for, and passed over if it does not come."""
    kept, held = bytearray(), False

    def hold(data: bytes) -> bytes:
        kept.extend(data)
        if held:
            return b""
        whole = bytes(kept)
        kept.clear()
        return whole

    async with (
        start_node(engine, tmp_path / "p") as primary,
        asking(primary) as client,
        tampered(primary.port, to_client=hold) as slow,
    ):
        following = {"replicaof": f"127.0.0.1 {slow}"}
        async with replica_of(engine, primary, tmp_path / "r", **following) as replica:
            await listed_online(primary, 1)
            held = True
            await client.set("written", "just before")
            found = await chosen(cache(primary, "prefer-replica"))
            assert (found.role, found.address) == ("primary", place(primary))
            assert f"{place(replica)} has not caught up with its primary" in found.reason
            held = False
            await client.set("written", "again")
            snap, node = await snapped(cache(primary, "prefer-replica"))
            assert node.address == place(replica)
            assert b"again" in snap.data


async def test_an_announced_address_that_leads_nowhere(engine: Engine, tmp_path: Path) -> None:
    """A replica behind another network's address is passed over; the primary gives the data."""
    nowhere = "1"  # nobody listens there
    async with (
        start_node(engine, tmp_path / "p") as primary,
        replica_of(engine, primary, tmp_path / "r", replica_announce_port=nowhere) as replica,
    ):
        await listed_online(primary, 1)
        _, found = await snapped(cache(primary, "prefer-replica"))
        assert found.role == "primary"
        assert f"127.0.0.1:{nowhere} cannot be reached: nothing listens there" in found.reason
        # The URL itself is a way to it that we know.
        assert (await chosen(cache(replica, "prefer-replica"))).address == place(replica)


async def test_an_announced_address_that_leads_to_a_stranger(
    engine: Engine, tmp_path: Path
) -> None:
    """Another server under a replica's address is found out by its history, and never read."""
    async with (
        start_node(engine, tmp_path / "p") as primary,
        start_node(engine, tmp_path / "s") as stranger,
        replica_of(engine, stranger, tmp_path / "t") as theirs,
    ):
        announced = {"replica_announce_port": str(theirs.port)}
        async with replica_of(engine, primary, tmp_path / "r", **announced):
            await listed_online(primary, 1)
            found = await chosen(cache(primary, "prefer-replica"))
    assert found.role == "primary"
    assert f"{place(theirs)} follows another history" in found.reason


async def test_a_replica_whose_primary_cannot_be_asked(engine: Engine, tmp_path: Path) -> None:
    """Where the primary refuses us, a replica in step will do, and who wants the primary fails."""
    async with start_node(engine, tmp_path / "p", requirepass=PASSWORD) as primary:
        following = {"masterauth": PASSWORD}
        async with replica_of(engine, primary, tmp_path / "r", **following) as replica:
            _, found = await snapped(cache(replica, "prefer-replica"))
            assert (found.address, found.lag_bytes) == (place(replica), None)
            assert "its primary cannot be asked" in found.reason
            error = await refused(cache(replica, "primary"))
    assert error.code == "no-primary"
    assert primary.url in error.message


async def test_a_replica_that_would_refuse_us_is_passed_over(family: Family) -> None:
    """ACL users are each node's own: where ours lacks a right, the line to type is told."""
    rights = ["on", "nopass", "+@all"]
    for node in (family.primary, family.first, family.second, family.chained):
        async with asking(node) as client:
            less = [] if node is family.primary else ["-psync"]
            await command(client, "ACL", "SETUSER", "b", *rights, *less)
    url = family.primary.url.replace("//", "//b@")
    _, found = await snapped(structs.replace(cache(family.primary, "prefer-replica"), url=url))
    assert found.role == "primary"
    assert f"{place(family.first)} does not let us; there it takes ACL SETUSER b +psync" in (
        found.reason
    )


@pytest.mark.parametrize(
    ("differs", "reason"),
    [
        ({"replica_read_only": "no"}, "takes writes of its own"),
        ({"replica_ignore_maxmemory": "no", "maxmemory": "1gb"}, "evicts keys of its own"),
    ],
)
async def test_a_replica_with_data_of_its_own_is_passed_over(
    family: Family, differs: dict[str, str], reason: str
) -> None:
    """A replica that may differ from its primary is no source for a backup of it."""
    async with configured(family.first, family.second, family.chained, **differs):
        found = await chosen(cache(family.first, "prefer-replica"))
    assert found.role == "primary"
    assert f"{place(family.first)} {reason}" in found.reason


async def test_a_replica_that_is_never_promoted_comes_first(family: Family) -> None:
    """Priority 0 marks a node for work like ours, so it is taken before its equals."""
    for node in (family.first, family.second, family.chained):
        async with configured(node, replica_priority="0"):
            found = await chosen(cache(family.primary, "prefer-replica"))
            assert found.address == place(node)
            assert found.reason.endswith("never to be promoted")


async def test_bgsave_is_asked_of_a_replica_whose_file_can_be_read(family: Family) -> None:
    """The file is the chosen node's own: a replica's here, where the daemon can read it."""
    snap, found = await snapped(cache(family.primary, "replica", "bgsave"))
    assert (found.role, snap.facts.source) == ("replica", "bgsave")
    assert snap.facts.server.replication_id == await said(family.primary, "master_replid")


async def test_a_name_of_several_nodes_is_one_of_them_throughout(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a name's addresses the first that answers counts, and stays for the whole snapshot."""

    async def found(*_: object, **__: object) -> list[tuple[object, ...]]:
        hosts = ("127.0.0.9", "127.0.0.1")  # The first is nobody's.
        return [(0, 0, 0, "", (host, family.primary.port)) for host in hosts]

    asked = cache(family.primary, "primary")
    asked = structs.replace(asked, url=asked.url.replace("127.0.0.1", "nodes.example"))
    with monkeypatch.context() as names:
        names.setattr(anyio, "getaddrinfo", found)
        found_by = Survey(login(asked, lambda _: None), QUICK)
        home = await found_by.home()
    assert home.place == place(family.primary)
    assert home.run_id == await said(family.primary, "run_id")


async def test_the_probe_tells_the_node_and_stays_a_look_at_the_url(family: Family) -> None:
    """A probe's server is the URL's; the node, source and rights are of a backup taken now."""
    probe = await caches(timeouts=QUICK).probe(cache(family.primary, "prefer-replica"))
    assert (probe.server.role, probe.server.replicas) == ("primary", 2)
    assert probe.node is not None
    assert probe.node.role == "replica"
    assert probe.missing_rights is None


async def fill_large(node: Node) -> None:
    """More data than any socket buffer holds, stored as it is."""
    async with asking(node) as client:
        await command(client, "DEBUG", "POPULATE", 2000, "large", 16_000)


@asynccontextmanager
async def large_pair(
    engine: Engine, directory: Path, **slow: str
) -> AsyncGenerator[tuple[Node, Node]]:
    """A primary with much data and its replica, in step."""
    raw = {"rdbcompression": "no"}
    async with start_node(engine, directory / "p", **raw) as primary:
        await fill_large(primary)
        async with replica_of(engine, primary, directory / "r", **raw, **slow) as replica:
            await listed_online(primary, 1)
            yield primary, replica


@pytest.mark.parametrize("source", ["replication", "bgsave"])
async def test_a_promotion_in_the_middle_fails_the_attempt(
    engine: Engine, source: SourceKind, tmp_path: Path
) -> None:
    """A replica that is promoted meanwhile gives no backup; the next attempt chooses anew."""
    async with large_pair(engine, tmp_path, rdb_key_save_delay="500") as (primary, replica):

        async def saving() -> bool:
            return await said(replica, "rdb_bgsave_in_progress") == 1

        async def promoted() -> None:
            await until(saving, "the replica to fork")
            await promote(replica)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(promoted)
            error = await refused(cache(primary, "prefer-replica", source))
        assert isinstance(error, Transient)
        assert error.code == "failed-over"
        assert f"{place(replica)} was promoted" in error.message
        _, found = await snapped(cache(primary, "prefer-replica", source))
        assert found.address == place(primary)


class Promoting(Board):
    """Promotes a node in the moment that a snapshot connects to it, after it was chosen."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        """See `Board.phase`."""
        super().phase(name, total_bytes)
        if name == "connecting":
            with redis.Redis(port=self._node.port) as client:
                client.replicaof("NO", "ONE")


async def test_a_promotion_before_or_after_the_bytes_fails_the_attempt(
    engine: Engine, tmp_path: Path
) -> None:
    """The history of the choice is held against the answer to PSYNC, and the end against both."""
    async with large_pair(engine, tmp_path) as (primary, replica):
        asked, ours = cache(primary, "replica"), caches(timeouts=QUICK)
        with pytest.raises(Transient) as raised:
            async with ours.snapshot(asked, Promoting(replica)):
                pass
        assert raised.value.code == "failed-over"
        assert "changed its replication id" in raised.value.message

        async with asking(replica) as client:
            await command(client, "REPLICAOF", "127.0.0.1", primary.port)
        await in_step(replica)
        await listed_online(primary, 1)
        async with ours.snapshot(asked, Board()) as snapshot, aclosing(snapshot.chunks()) as chunks:
            async for _ in chunks:
                pass
            await promote(replica)
            with pytest.raises(Transient) as raised:
                await snapshot.facts()
        assert raised.value.code == "failed-over"


async def test_a_primary_killed_in_the_middle_leaves_its_replicas_snapshot(
    engine: Engine, tmp_path: Path
) -> None:
    """A snapshot of a replica outlives the primary; the next attempt says that it is gone."""
    async with large_pair(engine, tmp_path) as (primary, replica):
        async with (
            caches(timeouts=QUICK).snapshot(cache(replica, "replica"), Board()) as snapshot,
            aclosing(snapshot.chunks()) as chunks,
        ):
            assert await anext(chunks)
            await primary.kill()
            async for _ in chunks:
                pass
            facts = await snapshot.facts()
        assert facts.server.run_id == await said(replica, "run_id")

        async def alone() -> bool:
            return await said(replica, "master_link_status") == "down"

        await until(alone, "the replica to notice")
        error = await refused(cache(replica, "prefer-replica"))
    assert isinstance(error, Transient)
    assert error.code == "replica-unlinked"
    assert primary.url in error.message


async def test_one_snapshot_at_a_time_on_one_host(engine: Engine, tmp_path: Path) -> None:
    """Whatever it is called, a host has one snapshot at a time; only a safety backup comes in."""
    async with (
        start_node(engine, tmp_path / "a") as one,
        start_node(engine, tmp_path / "b") as two,
    ):
        ours, board = caches(timeouts=QUICK), Board()
        names = settings(two.url.replace("127.0.0.1", "localhost")), settings(two.unix_url)
        ended: list[str] = []

        async def waiting(asked: CacheSettings) -> None:
            async with ours.snapshot(asked, board):
                ended.append(asked.url)

        async def both_wait() -> bool:
            return len([phase for phase in board.phases if phase.startswith("waiting: ")]) == 2

        async with anyio.create_task_group() as tasks, ours.snapshot(settings(one.url), Board()):
            for asked in names:
                tasks.start_soon(waiting, asked)
            await until(both_wait, "both to wait")
            async with ours.snapshot(settings(two.url), Board(), safety=True):
                assert ended == []
        assert sorted(ended) == sorted(asked.url for asked in names)
        assert "waiting: another snapshot runs on host localhost" in board.phases


async def test_a_fork_that_memory_cannot_bear_is_refused(engine: Engine, tmp_path: Path) -> None:
    """With too little memory on this host no fork is made, and the figures are told."""

    async def scarce(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        found = await threads(function, *args, **kwargs)
        if isinstance(found, Room):
            found = structs.replace(found, available_bytes=1000)
        return found

    async with start_node(engine, tmp_path) as node:
        with pytest.raises(Transient) as raised:
            await take(caches(timeouts=QUICK, offload=scarce), settings(node.url))
        assert await said(node, "total_forks") == 0
        # Writes are refused while a safety backup is made: its fork costs next to nothing.
        async with caches(offload=scarce).snapshot(settings(node.url), Board(), safety=True):
            assert await said(node, "total_forks") == 1
        assert (await take(caches(timeouts=QUICK), settings(node.url))).data
    assert raised.value.code == "memory"
    assert "1000 bytes can be had on this host" in raised.value.message


@pytest.mark.debian("redis-server")
@pytest.mark.parametrize("named", ["primary", "replica"])
async def test_replicas_are_found_in_tls_with_the_same_login(named: str, tmp_path: Path) -> None:
    """Password, authority and certificate hold for each node, whose own name is verified."""
    engine = next(found for found in await find_engines(os.defpath) if found.kind == "redis")
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("node", *HERE)
    secret = {"requirepass": PASSWORD, "masterauth": PASSWORD, "tls_replication": "yes"}
    common = speaking_tls(authority, pair, clients="yes", **secret)
    async with start_node(engine, tmp_path / "p", **common) as primary:
        mine = {"tls_port": str(free_port())}
        above = {"replicaof": f"127.0.0.1 {primary.settings['tls-port']}"}
        async with replica_of(engine, primary, tmp_path / "r", **(common | mine | above)) as one:
            await listed_online(primary, 1)
            asked = structs.replace(
                cache(primary if named == "primary" else one, "prefer-replica"),
                url=tls_url(primary if named == "primary" else one),
                tls_ca_file=authority.ca_file,
                tls_cert_file=pair.cert_file,
                tls_key_file=pair.key_file,
            )
            _, found = await snapped(asked, PASSWORD)
            assert (found.role, found.address) == ("replica", f"127.0.0.1:{mine['tls_port']}")
            renamed = structs.replace(asked, tls_server_name="localhost")
            _, found = await snapped(renamed, PASSWORD)
            assert found.role == "replica"
