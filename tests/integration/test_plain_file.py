"""A backup's plain RDB over the socket: into files of the caller's, into pipes, and cut off."""

import hashlib
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest

from daemon.commands import AddCache, DeleteBackup
from daemon.errors import Rejected
from daemon.valkey.engine import Engine, find_engines
from events.transfers import ExportFailed, ExportRequested
from tests.support.autos import typing
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.keys import IDENTITY, RECIPIENT
from tests.support.nursery import Nursery
from tests.support.outcome import data_of, files_in
from tests.support.servers import Node, fill, free_port, start_node

pytestmark = pytest.mark.anyio

VALKEEP = (sys.executable, "-m", "daemon.cli")


class Place(NamedTuple):
    """A daemon with backups "orders/one", and "sealed/one" and "open/one", which are encrypted.

    Only of the latter there is an identity.
    """

    daemon: DaemonProcess
    node: Node
    engine: Engine
    vault: Path

    @contextmanager
    def damaged(self) -> Iterator[None]:
        """One bit in the last block of the backup is flipped for a while."""
        place = next(self.vault.glob("caches/orders/*/0000.rdb.zst"))
        whole = place.read_bytes()
        place.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        try:
            yield
        finally:
            place.write_bytes(whole)

    @contextmanager
    def reader(self, *, half_closed: bool = False) -> Iterator[socket.socket]:
        """A client that has asked for the backup, and reads nothing yet."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(20)
            line.connect(str(self.daemon.socket))
            line.sendall(b"GET /v1/backups/orders/one/rdb HTTP/1.1\r\nHost: v\r\n\r\n")
            if half_closed:
                line.shutdown(socket.SHUT_WR)
            yield line


@pytest.fixture(scope="module")
async def place(
    nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Place, None]:
    """One for the module; no test changes the backups."""
    engine = (await find_engines(os.defpath))[0]
    vault, sealed = tmp_path_factory.mktemp("v"), tmp_path_factory.mktemp("sealed")
    identity = tmp_path_factory.mktemp("i") / "identity"
    identity.write_text(f"{IDENTITY}\n")
    config = f"""{directory_vault(vault)}
[vaults.sealed]
url = "file://{sealed}"
recipients = ["{RECIPIENT}"]
[vaults.open]
url = "file://{tmp_path_factory.mktemp("open")}"
recipients = ["{RECIPIENT}"]
identity_file = "{identity}"
"""
    async with (
        start_node(engine, tmp_path_factory.mktemp("n"), rdbcompression="no") as node,
        installation(nursery, config) as daemon,
    ):
        client = node.client()
        await fill(client)
        for number in range(20):
            await client.set(f"block:{number}", hashlib.shake_128(b"%d" % number).digest(1 << 20))
        await client.aclose()
        await daemon.start()
        for name, its in (("orders", "main"), ("sealed", "sealed"), ("open", "open")):
            await daemon.command(AddCache(name, node.url, vault=its))
            assert (await daemon.backup(name, name="one")).phase == "complete"
        yield Place(daemon, node, engine, vault)


def commands(printed: str) -> list[str]:
    """The lines of the steps that are to be typed."""
    steps = printed.partition("An RDB holds")[0].splitlines()
    return [line.strip() for line in steps if line.startswith(" " * 7)]


async def test_steps_start_a_server_with_an_append_only_file(
    place: Place, short_path: Path
) -> None:
    """The file is the caller's alone; the printed steps, typed, give a server with AOF its data."""
    file, folder, port = short_path / "restored.rdb", short_path / "n", free_port()
    words = ("restore", "orders/one", "--file", str(file))
    printed = (await typing(place.daemon, *words)).out
    assert 0o600 == file.stat().st_mode & 0o777
    assert hashlib.sha256(file.read_bytes()).hexdigest() in printed

    settings = {"appendonly": "yes", "port": str(port)}
    async with start_node(place.engine, folder, **settings) as old:
        client = old.client()
        await client.set("old", "data")
        await client.aclose()
        configuration = "\n".join(f'{name} "{value}"' for name, value in old.settings.items())
        (folder / "conf").write_text(f"{configuration}\ndaemonize yes\npidfile {folder}/pid\n")
        typed = commands(printed)
        assert 8 == len(typed)
        said = await by_hand(place, typed[:2], folder, port)
        assert said.split() == ["dir", str(folder), "dbfilename", "dump.rdb"]
        await by_hand(place, typed[2:4], folder, port)
    try:
        await by_hand(place, typed[4:7], folder, port)
        while "1" in await by_hand(place, typed[7:], folder, port):
            await anyio.lowlevel.checkpoint()
        await by_hand(place, typed[2:3], folder, port)  # and started as usual
    finally:
        await ended(folder)
    async with start_node(place.engine, folder, **settings) as new:
        assert await data_of(new) == await data_of(place.node)


async def by_hand(place: Place, typed: list[str], folder: Path, port: int) -> str:
    """Type these; placeholders are what a person would put there."""
    bin_folder, kind = Path(place.engine.server).parent, place.engine.kind
    script = "\n".join(typed)
    for name, value in {
        f"-o {kind} -g {kind}": f"-o {os.geteuid()} -g {os.getegid()}",
        "DIR/DBFILENAME": f"{folder}/dump.rdb",
        "DIR/": f"{folder}/",
        "CONFIGFILE": f"{folder}/conf",
        f"{kind}-cli ": f"{kind}-cli -p {port} ",
    }.items():
        script = script.replace(name, value)
    waits = f"until {kind}-cli -p {port} PING | grep -q PONG; do :; done\n"
    script = script.replace("--appendonly no", f"--appendonly no\n{waits}")
    done = await anyio.run_process(
        ["bash", "-euo", "pipefail", "-c", script],
        env={"PATH": f"{bin_folder}:{os.defpath}", "LC_ALL": "C.UTF-8"},
    )
    return done.stdout.decode()


async def ended(folder: Path) -> None:
    """The server that was started by hand is gone."""
    pid = folder / "pid"
    with anyio.move_on_after(20):
        while pid.exists():
            await anyio.lowlevel.checkpoint()
    if pid.exists():  # the test has failed before it was stopped
        os.kill(int(pid.read_text()), signal.SIGKILL)


async def test_existing_file_is_kept(place: Place, tmp_path: Path) -> None:
    """A file that is there is overwritten only by `--replace`, and slips are told at once."""
    daemon, file = place.daemon, tmp_path / "dump.rdb"
    file.write_bytes(b"mine")
    before = len(await daemon.history())
    restore = ("restore", "orders/one", "--file")
    assert "is there already" in (await typing(daemon, *restore, str(file), code=3)).err
    assert "is a folder" in (await typing(daemon, *restore, str(tmp_path), code=2)).err
    gone = str(tmp_path / "gone" / "dump.rdb")
    assert "There is no folder" in (await typing(daemon, *restore, gone, code=2)).err
    assert b"mine" == file.read_bytes()
    assert len(await daemon.history()) == before

    other = await typing(daemon, *restore, str(file), "--replace", "--shard", "0007", code=4)
    assert "There are: 0000." in other.err
    await typing(daemon, *restore, str(file), "--replace", "--json")
    assert file.read_bytes().startswith(b"REDIS")
    assert {"dump.rdb"} == files_in(tmp_path)


async def test_damaged_backup_leaves_no_file(place: Place, tmp_path: Path) -> None:
    """With a flipped bit there is no file, and the caller hears the daemon's own reason."""
    with place.damaged():
        words = ("restore", "orders/one", "--file", str(tmp_path / "dump.rdb"))
        printed = await typing(place.daemon, *words, code=1)
        piped = await anyio.run_process(
            [*VALKEEP, "--socket", str(place.daemon.socket), "backup", "export", "orders/one", "-"],
            check=False,
        )
    assert "is damaged: block" in printed.err
    assert set() == files_in(tmp_path)
    assert (1, True) == (piped.returncode, b"is damaged: block" in piped.stderr)
    assert piped.stdout.startswith(b"REDIS")
    whole = await anyio.run_process(
        [*VALKEEP, "--socket", str(place.daemon.socket), "backup", "export", "orders/one", "-"]
    )
    assert len(piped.stdout) <= len(whole.stdout) - (64 << 10)
    assert whole.stdout.startswith(piped.stdout)


async def test_missing_identity_is_told_before_a_byte(place: Place, tmp_path: Path) -> None:
    """Without an identity for an encrypted backup nothing is sent, and the hint says what to do."""
    words = ("restore", "sealed/one", "--file", str(tmp_path / "dump.rdb"))
    printed = await typing(place.daemon, *words, code=1)
    assert "names no identity for the vault 'sealed'" in printed.err
    assert "identity_file in [vaults.sealed]" in printed.err
    assert set() == files_in(tmp_path)


async def test_encrypted_backup_comes_out_plain(place: Place, tmp_path: Path) -> None:
    """With its identity an encrypted backup gives a plain file, and the caller is told so."""
    file = tmp_path / "dump.rdb"
    printed = (await typing(place.daemon, "restore", "open/one", "--file", str(file))).out
    assert file.read_bytes().startswith(b"REDIS")
    assert "THIS FILE IS NOT" in printed


async def test_clients_at_once(place: Place) -> None:
    """Of many clients some are served and the others refused; those who go away are in the log."""
    daemon = place.daemon
    seen = len(await daemon.history())
    with ExitStack() as stack:
        lines = [stack.enter_context(place.reader()) for _ in range(6)]
        heads = [await anyio.to_thread.run_sync(line.recv, 12) for line in lines]
        with pytest.raises(Rejected, match="read"):
            await daemon.command(DeleteBackup("orders/one"))
        page = (await typing(daemon, "status")).out
    assert sorted(heads) == [b"HTTP/1.1 200"] * 3 + [b"HTTP/1.1 409"] * 3
    assert 3 == page.count("export of orders/one to a client")
    await until_none_reads(daemon)
    events = [one.event for one in (await daemon.history())[seen:]]
    assert ["client-gone"] * 3 == [e.failure.code for e in events if isinstance(e, ExportFailed)]


async def until_none_reads(daemon: DaemonProcess) -> None:
    """Follow the log until no export is open."""
    end = len(await daemon.history())
    await daemon.until(lambda state, _: state.position >= end and not state.exporting)


async def test_half_closed_client_is_let_go(place: Place) -> None:
    """A client that closes its sending side holds nothing up: its export has an end in the log."""
    with place.reader(half_closed=True) as line:
        await anyio.to_thread.run_sync(rest, line)
    await until_none_reads(place.daemon)


def rest(line: socket.socket) -> int:
    """Read to the end; how many bytes came."""
    size_bytes = 0
    with suppress(ConnectionResetError):
        while piece := line.recv(1 << 20):
            size_bytes += len(piece)
    return size_bytes


@pytest.mark.parametrize("politely", [False, True])
async def test_end_of_the_daemon_cuts_a_client_off(place: Place, *, politely: bool) -> None:
    """A client that reads when the daemon ends gets a short body, and the log says so by then."""
    daemon = place.daemon
    seen = len(await daemon.history())
    with place.reader() as line:
        await anyio.to_thread.run_sync(line.recv, 12)
        await (daemon.stop() if politely else daemon.kill())
        assert await anyio.to_thread.run_sync(rest, line) < 20 << 20
        await daemon.start()
    await until_none_reads(daemon)
    # One of the client before may still have been on its way: it is cut off just as well.
    events = (await daemon.events())[seen:]
    asked = {e.export_id for e in events if isinstance(e, ExportRequested)}
    assert asked
    assert asked <= {e.export_id for e in events if isinstance(e, ExportFailed)}
