"""The daemon behind the walls of its unit: it does all its work, and the walls are there.

What `tests.support.walls` cannot put up without systemd stands there.
"""

import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process

from daemon.answers import BackupDetail
from daemon.answers.doctor import Examined
from daemon.commands import AddCache, RequestExport, RequestVerification, TestNotifications
from events.alarms import NotificationSent
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.outcome import data_of
from tests.support.poll import until
from tests.support.receivers import web
from tests.support.servers import Node

pytestmark = pytest.mark.anyio

WALLS = Path(__file__).parents[1] / "support" / "walls.py"


@asynccontextmanager
async def walled(nursery: Nursery, more: str = "") -> AsyncGenerator[tuple[DaemonProcess, int]]:
    """A daemon behind walls, which can write into its own folder alone; and its pid."""
    async with AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(installation(nursery, ""))
        (daemon.directory / "vault").mkdir()
        daemon.configure(directory_vault(daemon.directory / "vault") + more)
        program = [sys.executable, "-m", "daemon.cli", "serve", "--config", str(daemon.config)]
        command = [sys.executable, str(WALLS), str(daemon.directory), *program]
        process = await anyio.open_process(command, env=daemon.environment)
        await stack.enter_async_context(process)
        stack.callback(ended, process)
        await daemon.notices.said(b"READY=1")
        yield daemon, process.pid
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


def ended(process: Process) -> None:
    """What may still run is killed."""
    with suppress(ProcessLookupError):
        process.kill()


async def test_all_its_work_is_done_behind_walls(nursery: Nursery, node: Node) -> None:
    """Backups by both sources, proofs by load, exports and restores need nothing more."""
    before = await data_of(node)
    async with walled(nursery) as (daemon, pid):
        status = await anyio.Path(f"/proc/{pid}/status").read_text()
        assert "CapEff:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
        for source in ("bgsave", "replication"):
            await daemon.command(AddCache(source, node.url, source=source))
            assert (await daemon.backup(source, name="one")).phase == "complete"

        await daemon.command(RequestVerification("replication/one"))

        async def proven() -> bool:
            found = await daemon.get(BackupDetail, "backups", "replication/one")
            proof = found.backup.proof
            return proof is not None and proof.receipt is not None

        await until(proven, "a receipt")
        found = await daemon.get(BackupDetail, "backups", "replication/one")
        assert found.backup.proof is not None
        assert found.backup.proof.receipt is not None
        assert found.backup.proof.receipt.level == "loaded"
        assert not any("network" in note for note in found.backup.proof.receipt.notes)

        await daemon.command(RequestExport("bgsave/one", f"file://{daemon.directory}/out"))
        restored = await daemon.restore("bgsave/one", to="bgsave")
        assert restored.phase == "completed", restored.failure
    assert await data_of(node) == before


async def test_what_is_read_only_is_told(nursery: Nursery, tmp_path: Path) -> None:
    """A vault that the unit does not open is a problem that `doctor` names; others are well."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    second = directory_vault(elsewhere).replace("[vaults.main]", "[vaults.second]")
    async with walled(nursery, second) as (daemon, _):
        examined = await daemon.get(Examined, "doctor")
    wrong = {(one.name, one.code) for one in examined.findings if one.grade == "problem"}
    assert wrong == {("second", "vault-read-only")}


async def test_messages_go_out_through_the_walls(nursery: Nursery, tmp_path: Path) -> None:
    """The process that takes a message to its address needs no more than the unit allows."""
    async with web() as server:
        (tmp_path / "ops.url").write_text(server.url())
        channel = f'[channels.ops]\nurl_file = "{tmp_path}/ops.url"\n'
        async with walled(nursery, channel) as (daemon, _):
            await daemon.command(TestNotifications())
            await daemon.until(lambda _, event: isinstance(event, NotificationSent))
    (told,) = server.bodies
    assert told["title"].startswith("Test from Valkeep")
