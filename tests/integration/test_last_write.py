"""What clients write to a target up to its last moment is in the safety backup (R4)."""

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest
from anyio.abc import TaskStatus
from redis.exceptions import RedisError

from daemon.valkey.engine import Engine
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.outcome import is_at_rest, settings_of
from tests.support.servers import Node, fill, start_node

pytestmark = pytest.mark.anyio


@pytest.fixture
async def daemon(nursery: Nursery, tmp_path: Path) -> AsyncGenerator[DaemonProcess, None]:
    """A running daemon."""
    async with installation(nursery, directory_vault(tmp_path / "vault")) as daemon:
        await daemon.start()
        yield daemon


class Writer:
    """A client that counts up for as long as the server lets it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.acknowledged = 0

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """From its first write, which is told, until one is refused."""
        client = self._node.client()
        try:
            self.acknowledged = int(await client.incr("counter"))
            task_status.started()
            while True:
                self.acknowledged = int(await client.incr("counter"))
        except RedisError:
            return
        finally:
            await client.aclose()


@pytest.mark.parametrize("mode", ["swapdb", "disabled"])
async def test_the_safety_backup_holds_the_last_acknowledged_write(
    daemon: DaemonProcess, engine: Engine, short_path: Path, mode: str
) -> None:
    """A client writes until the restore freezes the target; undoing it gives all of that back."""
    async with start_node(engine, short_path, repl_diskless_load=mode) as node:
        client = node.client()
        await fill(client)
        settings = await settings_of(node)
        await daemon.add("orders", url=node.url)
        await daemon.backup("orders", name="b")
        writer = Writer(node)
        async with anyio.create_task_group() as tasks:
            await tasks.start(writer.run)
            restore = await daemon.restore("orders/b", to="orders")
            tasks.cancel_scope.cancel()
        assert restore.phase == "completed", restore.failure
        assert restore.safety is not None
        assert await client.get("counter") is None

        await daemon.restore(restore.safety.backup_id, to="orders")

        assert int(await client.get("counter") or 0) == writer.acknowledged
        await is_at_rest(node, settings)
        await client.aclose()
