"""Cancelling backups of real servers, by the real daemon: what becomes of the server's fork.

The servers save slowly (`rdb-key-save-delay`), so that there is a middle to cancel in.
"""

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest

from daemon.answers import Accepted, BackupDetail
from daemon.commands import CancelBackup, RequestBackup
from daemon.errors import Rejected, Transient
from daemon.valkey import child
from daemon.valkey.child import CALLED_OFF, GOES_ON
from daemon.valkey.engine import find_engines
from daemon.valkey.replica import CLOSED
from events.facts import SourceKind
from events.types import BackupCancelled, LeftoversSwept
from tests.support.api import Printed
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import ROOT, Nursery
from tests.support.poll import until
from tests.support.servers import Node, command, start_node
from tests.support.sources import Board, caches, settings

pytestmark = pytest.mark.anyio

ENGINES = ("valkey", pytest.param("redis", marks=pytest.mark.debian("redis-server")))
KEYS = 20_000


@asynccontextmanager
async def slow_node(kind: str, directory: Path) -> AsyncGenerator[Node, None]:
    """A server whose save takes ten seconds and more."""
    engine = next(found for found in await find_engines(os.defpath) if found.kind == kind)
    async with start_node(engine, directory, rdb_key_save_delay="500") as node:
        await said(node, "DEBUG", "POPULATE", str(KEYS))
        yield node


async def said(node: Node, *words: str) -> object:
    """One command by another client."""
    client = node.client()
    try:
        return await command(client, *words)
    finally:
        await client.aclose()


async def forked(node: Node) -> bool:
    """Whether the server has a child that saves."""
    client = node.client()
    try:
        return bool((await client.info("persistence"))["rdb_bgsave_in_progress"])
    finally:
        await client.aclose()


async def idle(node: Node) -> bool:
    """Whether it has none."""
    return not await forked(node)


@asynccontextmanager
async def making(
    nursery: Nursery, node: Node, vault: Path, source: SourceKind
) -> AsyncGenerator[DaemonProcess, None]:
    """A daemon in the middle of a backup, `orders/one`, of a server that has forked for it."""
    async with installation(nursery, directory_vault(vault)) as daemon:
        await daemon.start()
        await daemon.add("orders", url=node.url, source=source)
        await daemon.command(RequestBackup("orders", "one"))
        await until(lambda: forked(node), "the server to fork")
        yield daemon


async def phase(daemon: DaemonProcess) -> str:
    """The backup's phase."""
    return (await daemon.get(BackupDetail, "backups", "orders/one")).backup.phase


async def valkeep(daemon: DaemonProcess, *words: str) -> Printed:
    """The command line in a process of its own."""
    line = [sys.executable, "-m", "daemon.cli", "--socket", str(daemon.socket), *words]
    wide = {**daemon.environment, "COLUMNS": "200"}
    done = await anyio.run_process(line, check=False, cwd=ROOT, env=wide)
    return Printed(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize("kind", ENGINES)
async def test_replication_is_cancelled_with_the_servers_child(
    kind: str, nursery: Nursery, tmp_path: Path
) -> None:
    """The connection is closed, the server ends its child, and nothing is left in the vault."""
    vault = tmp_path / "vault"
    async with (
        slow_node(kind, tmp_path / "node") as node,
        making(nursery, node, vault, "replication") as daemon,
    ):
        answer = await daemon.command(CancelBackup("orders/one"))
        assert CLOSED == answer.cancelled
        with anyio.fail_after(5.0):  # its save would take longer than that
            await until(lambda: idle(node), "the server's child to end")
        await daemon.settled()

        assert "cancelled" == await phase(daemon)
        assert [] == [path for path in (vault / "caches").rglob("*") if path.is_file()]
        cancelled, gone = [
            told
            for told in await daemon.history()
            if isinstance(told.event, BackupCancelled | LeftoversSwept)
        ]
        assert "user" == cancelled.envelope.who.kind
        assert isinstance(gone.event, LeftoversSwept)
        with pytest.raises(Rejected) as again:
            await daemon.command(CancelBackup("orders/one"))
        assert "already-cancelled" == again.value.code


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("valkey", CALLED_OFF),
        pytest.param("redis", GOES_ON, marks=pytest.mark.debian("redis-server")),
    ],
)
async def test_bgsave_is_cancelled_where_the_server_can(
    kind: str, word: str, nursery: Nursery, tmp_path: Path
) -> None:
    """Valkey's save is called off by `BGSAVE CANCEL`; Redis's goes on, and the answer says so."""
    async with (
        slow_node(kind, tmp_path / "node") as node,
        making(nursery, node, tmp_path / "vault", "bgsave") as daemon,
    ):
        answer = await daemon.command(CancelBackup("orders/one"))
        assert word == answer.cancelled
        if word == GOES_ON:
            assert await forked(node)
            await said(node, "CONFIG", "SET", "rdb-key-save-delay", "0")
            return
        with anyio.fail_after(5.0):
            await until(lambda: idle(node), "the server's child to end")
        await said(node, "CONFIG", "SET", "rdb-key-save-delay", "0")
        after = await daemon.backup("orders", name="two")
        assert ("complete", KEYS) == (after.phase, after.keys)


async def test_save_of_others_is_left_alone(nursery: Nursery, tmp_path: Path) -> None:
    """A backup that only waits for another's save is cancelled, and that save goes on."""
    async with slow_node("valkey", tmp_path / "node") as node:
        await said(node, "BGSAVE")
        async with making(nursery, node, tmp_path / "vault", "bgsave") as daemon:
            await until(lambda: waits(daemon), "the backup to wait")
            answer = await daemon.command(CancelBackup("orders/one"))
            assert answer.cancelled is None
            assert await forked(node)
            await daemon.settled()
            assert await forked(node)


async def waits(daemon: DaemonProcess) -> bool:
    """Whether the backup waits for the other save."""
    progress = (await daemon.get(BackupDetail, "backups", "orders/one")).backup.progress
    return progress is not None and progress.phase == "waiting for another save"


async def test_command_line_tells_what_happened(nursery: Nursery, tmp_path: Path) -> None:
    """`backup cancel` says what became of the fork; a typo gets the near miss; JSON is whole."""
    async with (
        slow_node("valkey", tmp_path / "node") as node,
        making(nursery, node, tmp_path / "vault", "replication") as daemon,
    ):
        typo = await valkeep(daemon, "backup", "cancel", "orders/onee")
        assert (4, True) == (typo.code, "Did you mean 'orders/one'?" in typo.err)
        done = await valkeep(daemon, "backup", "cancel", "orders/one")
        assert 0 == done.code, done.err
        assert "Backup orders/one is cancelled" in done.out
        assert CLOSED in done.out
        again = await valkeep(daemon, "backup", "cancel", "orders/one", "--json")
        assert (3, "") == (again.code, again.out)
        assert "cancelled by" in again.err

        await daemon.command(RequestBackup("orders", "three"))
        raw = await valkeep(daemon, "backup", "cancel", "orders/three", "--json")
        assert msgspec.json.decode(raw.out, type=Accepted).backup_id


async def test_waiting_for_others_has_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another's save that does not end is waited for so long, with signs of life, and no longer."""
    monkeypatch.setattr(child, "FOREIGN_SECONDS", 0.5)
    board = Signs()
    async with slow_node("valkey", tmp_path / "node") as node:
        await said(node, "BGSAVE")
        with pytest.raises(Transient) as late:
            async with caches().snapshot(settings(node.url, "bgsave"), board):
                pass

    assert "bgsave-busy" == late.value.code
    assert "waiting for another save" in board.phases
    assert board.signs >= 3


class Signs(Board):
    """A progress board that counts the signs of life."""

    def __init__(self) -> None:
        super().__init__()
        self.signs = 0

    def advance(self, moved_bytes: int) -> None:
        """Count those without bytes."""
        self.signs += moved_bytes == 0


async def test_own_save_that_gets_on_is_alive(tmp_path: Path) -> None:
    """A server that saves for us shows by its count of keys that it gets on."""
    board = Signs()
    async with slow_node("valkey", tmp_path / "node") as node:
        await said(node, "CONFIG", "SET", "rdb-key-save-delay", "100")
        async with caches().snapshot(settings(node.url, "bgsave"), board):
            pass

    assert board.signs >= 2
