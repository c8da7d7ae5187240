"""A vault that is slower than the server, before the real daemon: the server is let go at once.

The way to the S3 server lets a few bytes through and then nothing until it is told to: slower
than 10 MB/s, or any other limit. So nothing here depends on how long anything takes.
"""

import hashlib
import os
import resource
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from daemon.answers import BackupDetail
from daemon.commands import RequestBackup
from daemon.storage.pace import SENDING
from daemon.valkey.engine import find_engines
from events.types import BackupFailed, SnapshotTaken
from tests.support.daemon import S3_KEYS, DaemonProcess, installation, s3_vault
from tests.support.gated import GatedLine, gated_line
from tests.support.nursery import Nursery
from tests.support.outcome import log_is_sound
from tests.support.poll import until
from tests.support.s3 import S3Server, rclone_s3
from tests.support.servers import Node, start_node

pytestmark = pytest.mark.anyio

MB = 1_000_000
PASSES_BYTES = 4 * MB
BLOCKS = 300
BLOCK_BYTES = MB
STORED_BYTES = 120 * MB
IN_MEMORY_BYTES = 80 * MB
"""More than the daemon keeps of a backup in memory, with what is in sockets."""


class Slow(NamedTuple):
    """An installation whose vault takes nothing for now."""

    daemon: DaemonProcess
    line: GatedLine

    @property
    def spool(self) -> Path:
        """Where its spool is."""
        return self.daemon.directory / "data" / "spool"

    def spooled_bytes(self) -> int:
        """What is in the spool's files."""
        return sum(path.stat().st_size for path in self.spool.iterdir())

    async def begin(self, node: Node) -> str:
        """Ask for a backup of the node; its id."""
        await self.daemon.add("orders", url=node.url, source="replication")
        accepted = await self.daemon.command(RequestBackup("orders", "nightly"))
        assert accepted.backup_id is not None
        return accepted.backup_id

    async def read_whole(self) -> SnapshotTaken:
        """Wait until the server has been read to its end."""
        await self.daemon.until(lambda _, event: isinstance(event, SnapshotTaken))
        events = await self.daemon.events()
        return next(event for event in events if isinstance(event, SnapshotTaken))


@pytest.fixture(scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Node, None]:
    """A server with 300 MB, of which 120 MB do not compress."""
    engine = (await find_engines(os.defpath))[0]
    async with start_node(engine, tmp_path_factory.mktemp("n"), rdbcompression="no") as node:
        client = node.client()
        for number in range(BLOCKS):
            noise = hashlib.shake_128(b"%d" % number).digest(STORED_BYTES // BLOCKS)
            await client.set(f"block:{number}", noise.ljust(BLOCK_BYTES, b"."))
        await client.aclose()
        yield node


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[S3Server]:
    """An S3 server over a directory."""
    async with rclone_s3(tmp_path_factory.mktemp("r")) as running:
        yield running


@asynccontextmanager
async def slow_vault(nursery: Nursery, server: S3Server, prefix: str) -> AsyncIterator[Slow]:
    """A running daemon whose only way to the vault is the line."""
    async with gated_line(server.port, passes_bytes=PASSES_BYTES) as line:
        vault = s3_vault(S3Server(line.port, server.pid), prefix)
        async with installation(nursery, vault, S3_KEYS) as daemon:
            await daemon.start()
            yield Slow(daemon, line)


async def idle(node: Node) -> bool:
    """Whether the server has no child and no replica."""
    client = node.client()
    try:
        state, roles = await client.info("persistence"), await client.info("replication")
    finally:
        await client.aclose()
    return not state["rdb_bgsave_in_progress"] and not roles["connected_slaves"]


async def test_the_fork_ends_long_before_the_vault_has_everything(
    nursery: Nursery, node: Node, server: S3Server
) -> None:
    """The server's child is gone and the snapshot told of while the vault has next to nothing.

    What is missing waits on disk, is shown as that, and is sent afterwards.
    """
    async with slow_vault(nursery, server, "slow") as slow:
        backup_id = await slow.begin(node)
        taken = await slow.read_whole()
        await until(lambda: idle(node), "the server has no child")
        assert slow.line.passed_bytes <= PASSES_BYTES
        assert slow.spooled_bytes() > STORED_BYTES - IN_MEMORY_BYTES
        assert taken.snapshot.fork_seconds is not None

        async def sending() -> bool:
            view = (await slow.daemon.get(BackupDetail, "backups", backup_id)).backup
            return view.progress is not None and view.progress.phase == SENDING

        await until(sending, "the progress says that it is sent from the spool")
        slow.line.open()
        done = await slow.daemon.backup_ended(backup_id)
        assert (done.phase, done.stored_bytes is not None) == ("complete", True)
        assert slow.spooled_bytes() == 0


async def test_a_kill_leaves_nothing_in_the_spool(
    nursery: Nursery, node: Node, server: S3Server
) -> None:
    """What a killed daemon had in its spool is gone after the next start, with the attempt."""
    async with slow_vault(nursery, server, "killed") as slow:
        backup_id = await slow.begin(node)
        await slow.read_whole()
        await slow.daemon.kill()
        assert slow.spooled_bytes() > STORED_BYTES - IN_MEMORY_BYTES

        slow.line.open()
        await slow.daemon.start(doom="before attempt-started")
        await slow.daemon.died()
        assert slow.spooled_bytes() == 0

        await slow.daemon.start()
        assert (await slow.daemon.backup_ended(backup_id)).phase == "complete"
        assert slow.spooled_bytes() == 0
        await log_is_sound(slow.daemon)


async def test_a_full_disk_is_a_clear_failure(
    nursery: Nursery, node: Node, server: S3Server
) -> None:
    """Where the spool's disk takes no more the attempt fails, saying so, and the daemon lives."""
    async with slow_vault(nursery, server, "full") as slow:
        _, hard = resource.prlimit(slow.daemon.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(slow.daemon.pid, resource.RLIMIT_FSIZE, (20 * MB, hard))
        backup_id = await slow.begin(node)
        await slow.daemon.until(lambda _, event: isinstance(event, BackupFailed))
        (failed,) = [e for e in await slow.daemon.events() if isinstance(e, BackupFailed)]
        assert (failed.failure.code, failed.failure.permanent) == ("spool-disk-full", False)
        assert str(slow.spool) in failed.failure.message
        assert slow.spooled_bytes() == 0
        await until(lambda: idle(node), "the server has no child")
        slow.line.open()
        await slow.daemon.settled()
        assert backup_id not in {view.backup_id for view in await slow.daemon.listed()}
        slow.daemon.signal(signal.SIGTERM)
        assert await slow.daemon.ended() == 0


async def test_a_spool_that_cannot_be_used_ends_the_start(
    nursery: Nursery, tmp_path: Path, short_path: Path
) -> None:
    """A spool's directory that is a file is told at start, with the setting, and exit code 2."""
    (tmp_path / "file").write_text("not a folder")
    (short_path / "vault").mkdir()
    config = f'[vaults.main]\nurl = "file://{short_path}/vault"\n'
    config += f'[spool]\ndirectory = "{tmp_path}/file"\n'
    async with installation(nursery, config) as daemon:
        daemon.launch()
        assert await daemon.ended() == 2
        assert f"{tmp_path}/file" in daemon.output()
        assert "[spool]" in daemon.output()
