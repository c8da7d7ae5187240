"""`valkeep restore --new`: a backup becomes a new server, or nothing is left of the try."""

import os
import signal
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path

import anyio
import msgspec
import pytest
from anyio import to_thread
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream
from msgspec import Struct

from daemon.answers import CacheDetail
from daemon.cli.new.page import NewServerMade, NewServerPlan
from daemon.valkey.engine import Engine, find_engines
from events.transfers import ExportCompleted, ExportFailed, ExportRequested
from tests.support.api import typed
from tests.support.autos import typing
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.new_servers import New, running
from tests.support.nursery import Nursery
from tests.support.servers import Node, command, digest, fill, free_port, start_node

pytestmark = pytest.mark.anyio

Exported = ExportRequested | ExportCompleted | ExportFailed

SETTINGS = {
    "databases": "20",
    "maxmemory": "500000000",
    "maxmemory-policy": "allkeys-lru",
    "hash-max-listpack-entries": "64",
    "notify-keyspace-events": "AKE",
}


class House(Struct, frozen=True):
    """A daemon, and the server whose backups it has: `plain`, and `aof` of an AOF writer."""

    daemon: DaemonProcess
    node: Node
    vault: Path
    held: tuple[str, bytes]
    keys: dict[int, int]

    @property
    def engine(self) -> Engine:
        """What the server is."""
        return self.node.engine


@pytest.fixture(scope="module")
async def house(
    nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[House, None]:
    """One for all tests of this file: none of them changes it."""
    engine = (await find_engines(os.defpath))[0]
    vault = tmp_path_factory.mktemp("v")
    async with (
        installation(nursery, directory_vault(vault), {"PATH": os.defpath}) as daemon,
        start_node(engine, tmp_path_factory.mktemp("n"), **SETTINGS) as node,
    ):
        client = node.client()
        await fill(client, keys=400)
        await command(client, "ACL", "SETUSER", "app", "on", "nopass", "+@read")
        held = await digest(client)
        keys = {int(db[2:]): int(f["keys"]) for db, f in (await client.info("keyspace")).items()}
        await daemon.start()
        await daemon.add("orders", url=node.url)
        assert "complete" == (await daemon.backup("orders", name="plain")).phase
        await client.config_set("appendonly", "yes")
        assert "complete" == (await daemon.backup("orders", name="aof")).phase
        await client.aclose()
        yield House(daemon, node, vault, held, keys)


@pytest.fixture
async def new(short_path: Path) -> AsyncGenerator[New, None]:
    """A place for a new server, which is ended afterwards if there is one."""
    place = New(short_path / "new", free_port())
    yield place
    await place.kill()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C reaches programs that are started here, also where whoever runs us ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


async def test_a_new_server_serves_the_backup(house: House, new: New) -> None:
    """R1: the new server has the backup's keys and settings, and becomes a cache if asked."""
    words = ("restore", "orders/plain", *new.words, "--register", "fresh")
    printed = await typing(house.daemon, *words)

    assert 0o700 == new.directory.stat().st_mode & 0o777
    assert 0o600 == (new.directory / "dump.rdb").stat().st_mode & 0o777
    found = {name: await new.setting(name) for name in SETTINGS}
    assert SETTINGS == found
    assert ("no", "") == (await new.setting("appendonly"), await new.setting("save"))
    assert "ACL users of the backup's server, to be made anew: app" in printed.out
    assert f"process {new.pid}" in printed.out
    fresh = (await house.daemon.get(CacheDetail, "caches", "fresh")).cache
    assert fresh.probe is not None
    assert house.keys == fresh.probe.server.keys
    assert fresh.settings.url == f"valkey://127.0.0.1:{new.port}"
    exports = [e for e in await house.daemon.events() if isinstance(e, Exported)]
    opened, ended = exports[-2:]
    assert isinstance(opened, ExportRequested)
    assert isinstance(ended, ExportCompleted)
    assert ("client", f"new server {new.directory}") == (opened.kind, opened.destination)


async def test_an_append_only_file_outlives_a_kill(house: House, new: New) -> None:
    """R6: with AOF the new server has it written when the command ends: kill -9 loses nothing."""
    words = ("restore", "orders/aof", *new.words, "--start-command", debugging(house), "--json")
    made = msgspec.json.decode((await typing(house.daemon, *words)).out, type=NewServerMade)
    assert (new.pid, new.port, house.keys) == (made.pid, made.port, made.keys)
    assert house.held == await new.holds()
    await new.kill()

    await anyio.run_process([w.replace("{conf}", new.conf) for w in debugging(house).split()])

    assert house.held == await new.served()
    assert "yes" == await new.setting("appendonly")


async def test_a_plan_touches_nothing(house: House, new: New) -> None:
    """--plan tells engine, settings and room, exact with --json, and makes nothing."""
    printed = await typing(house.daemon, "restore", "orders/aof", *new.words, "--plan", "--json")
    plan = msgspec.json.decode(printed.out, type=NewServerPlan)

    assert (20, True, ()) == (plan.databases, plan.append_only, plan.blockers)
    assert house.engine.label == plan.engine
    assert not new.directory.exists()
    shown = await typing(house.daemon, "restore", "orders/aof", *new.words, "--plan")
    assert f"into a new server in {new.directory}" in shown.out
    assert [] == [line for line in shown.out.splitlines() if len(line) > 80 and "/" not in line]


async def test_what_is_refused_makes_nothing(house: House, new: New, short_path: Path) -> None:
    """A taken port, a directory that is not empty or has no parent, a cache's name that exists."""
    for words, told in (
        ((*new.words[:3], str(house.node.port)), "cannot be used: address already in use"),
        (("--new", str(house.node.directory), *new.words[2:]), "is not empty"),
        (("--new", f"{short_path}/no/new", *new.words[2:]), "There is no directory"),
        ((*new.words, "--register", "orders"), "There is a cache 'orders' already"),
    ):
        refused = await typing(house.daemon, "restore", "orders/plain", *words, code=3)
        assert told in refused.err
    assert not any(os.scandir(short_path))


async def test_a_start_command_is_checked_before_anything_is_made(house: House, new: New) -> None:
    """A program that is not there, an unknown placeholder and bad quoting are bad usage."""
    for template, told in (
        ("valkey-sever {conf}", "There is no program 'valkey-sever'"),
        ("valkey-server {cnof}", "did you mean {conf}?"),
        ("valkey-server 'x", "cannot be split"),
        ("valkey-server --port 1", "names neither {conf} nor {dir}"),
    ):
        words = ("restore", "orders/plain", *new.words, "--start-command", template)
        refused = await typing(house.daemon, *words, code=2)
        assert told in refused.err
    assert not new.directory.exists()


@pytest.mark.debian("redis-server")
async def test_an_engine_that_is_too_old_is_refused(house: House, new: New) -> None:
    """R2: Redis 7.0 cannot read what Valkey 8 wrote, which is said before anything is made."""
    words = ("--start-command", "redis-server {conf} --daemonize yes", "--force", "rdb-version")
    refused = await typing(house.daemon, "restore", "orders/plain", *new.words, *words, code=3)

    assert "BLOCKER rdb-version" in refused.err
    assert "redis 7.0" in refused.err
    assert not new.directory.exists()


@pytest.mark.debian("redis-server")
async def test_a_backup_of_redis_becomes_either(house: House, short_path: Path) -> None:
    """R2: what Redis 7.0 wrote is served by itself and by a Valkey, with AOF in both."""
    redis = next(e for e in await find_engines(os.defpath) if e.kind == "redis")
    async with start_node(redis, short_path / "r", appendonly="yes") as node:
        client = node.client()
        await fill(client, keys=20)
        held = await digest(client)
        await client.aclose()
        await house.daemon.add("old", url=node.url)
        assert "complete" == (await house.daemon.backup("old", name="b")).phase

    for engine in (redis, house.engine):
        new = New(short_path / engine.kind, free_port())
        start = f"{engine.server} {{conf}} --enable-debug-command local --daemonize yes"
        words = ("restore", "old/b", *new.words, "--start-command", start)
        try:
            printed = await typing(house.daemon, *words, "--json")
            made = msgspec.json.decode(printed.out, type=NewServerMade)
            assert {0: 29, 3: 29, 9: 29} == made.keys
            assert ("engine-version" in printed.err) == (engine.kind == "valkey")
            # The two tell different digests of the same sorted set, and equal ones of all else.
            assert engine.kind == "valkey" or held == await new.holds()
            assert "yes" == await new.setting("appendonly")
        finally:
            await new.kill()


async def test_a_server_that_does_not_come_up_leaves_nothing(house: House, new: New) -> None:
    """What it printed is told, and what was made goes; a directory that was there stays."""
    words = ("restore", "orders/plain", *new.words, "--start-command")
    wrong = await typing(house.daemon, *words, usual(house, "--no-such 1"), code=1)
    assert "no-such" in wrong.err
    assert not new.directory.exists()

    new.directory.mkdir()
    # It goes into the background, and ends there: nobody has that many file descriptors' names.
    late = usual(house, "--daemonize yes", "--loadmodule /no/such/module.so")
    ended = await typing(house.daemon, *words, late, code=1)
    assert "/no/such/module.so" in ended.err
    assert [] == list(new.directory.iterdir())


async def test_what_is_damaged_never_becomes_a_server(house: House, new: New) -> None:
    """R5: one flipped bit in the vault, and the new server is not even started."""
    hurt = await house.daemon.backup("orders", name="hurt")
    stored = house.vault / "caches" / "orders" / hurt.backup_id / "0000.rdb.zst"
    data = bytearray(stored.read_bytes())
    data[len(data) // 2] ^= 1
    stored.write_bytes(data)

    words = ("--socket", str(house.daemon.socket), "restore", "orders/hurt", *new.words)
    refused = await to_thread.run_sync(lambda: typed(*words))

    assert refused.code in (1, 5), refused
    assert not new.directory.exists()
    failed = (await house.daemon.events())[-1]
    assert isinstance(failed, ExportFailed)
    assert "block-damaged" == failed.failure.code


async def test_a_server_in_the_foreground_runs_on(house: House, new: New) -> None:
    """A start command that stays is left alone when the new server serves, and serves on."""
    words = ("restore", "orders/plain", *new.words, "--start-command", usual(house))
    async with await valkeep(house, *words) as process:
        said = await told_by(process, "start again")
        assert 0 == await process.wait(), said

    assert running(new.pid)
    assert "20" == await new.setting("databases")


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    ("phase", "way"),
    [("starting", signal.SIGINT), ("loading", signal.SIGINT), ("loading", signal.SIGTERM)],
)
async def test_ctrl_c_leaves_nothing(
    house: House, new: New, phase: str, way: signal.Signals
) -> None:
    """Ctrl-C while it starts or loads ends the new server, removes it and exits with 130.

    A polite end from elsewhere does the same.
    """
    slow = "--key-load-delay 20000 --loading-process-events-interval-bytes 1024 --daemonize yes"
    start = "tail -f {conf}" if phase == "starting" else usual(house, slow)
    words = ("restore", "orders/plain", *new.words, "--start-command", start)
    async with await valkeep(house, *words) as process:
        await told_by(process, f"\n{phase}\n")
        pid = new.pid if phase == "loading" else 0  # tail has none
        process.send_signal(way)
        said = await told_by(process, "No new server was made")
        assert 130 == await process.wait()

    assert "Nothing is left of it." in said
    assert "Traceback" not in said
    assert not new.directory.exists()
    assert pid == 0 or not running(pid)


async def test_a_full_disk_leaves_nothing(house: House, new: New) -> None:
    """A disk that does not take the file is told of, and what was made goes."""
    words = ("restore", "orders/plain", *new.words)
    # Python would leave modules that it compiles then cut off, for everybody after us.
    limited = ["env", "PYTHONDONTWRITEBYTECODE=1", "bash", "-c", 'ulimit -f 16; exec "$@"', "bash"]
    async with await valkeep(house, *words, before=limited) as process:
        said = await told_by(process, "hint:")
        assert 1 == await process.wait()

    assert "dump.rdb cannot be written" in said
    assert not new.directory.exists()


def usual(house: House, *more: str) -> str:
    """A start command with more words, in the foreground."""
    return " ".join([house.engine.server, "{conf}", *more])


def debugging(house: House) -> str:
    """A start command whose server tells its digest."""
    return usual(house, "--enable-debug-command local --daemonize yes")


async def valkeep(house: House, *words: str, before: Sequence[str] = ()) -> Process:
    """The command line as a process of its own."""
    command = [*before, sys.executable, "-m", "daemon.cli", "--socket", str(house.daemon.socket)]
    return await anyio.open_process([*command, *words], env={"PATH": os.defpath, "COLUMNS": "80"})


async def told_by(process: Process, words: str) -> str:
    """What it says on stderr or stdout, until these words are among it."""
    said = ""
    assert process.stderr is not None
    assert process.stdout is not None
    stream = process.stdout if words == "start again" else process.stderr
    async for piece in TextReceiveStream(stream):
        said += piece
        if words in said:
            break
    return said
