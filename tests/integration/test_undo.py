"""`restore undo` on real servers: what a restore replaced comes back, and can go again."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import NamedTuple

import pytest

from daemon.answers import RestoreView
from daemon.commands import UndoRestore
from daemon.errors import Rejected
from daemon.valkey.engine import find_engines
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.outcome import data_of, is_at_rest, settings_of
from tests.support.servers import Node, fill, start_node

pytestmark = pytest.mark.anyio


class Stage(NamedTuple):
    """A running daemon and a filled target `copy`; there is a backup `orders/b`."""

    daemon: DaemonProcess
    target: Node

    async def undo(self, cache: str = "copy") -> RestoreView:
        """Take the newest restore back, and wait until that has ended."""
        accepted = await self.daemon.command(UndoRestore(cache, replace=True))
        assert accepted.restore_id is not None
        return await self.daemon.restore_ended(accepted.restore_id)

    async def write(self, key: str) -> None:
        """A client writes something more."""
        client = self.target.client()
        await client.set(key, "x")
        await client.aclose()


@pytest.fixture
async def stage(nursery: Nursery, tmp_path: Path) -> AsyncGenerator[Stage, None]:
    """Two servers with different data."""
    engine = (await find_engines(os.defpath))[0]
    async with (
        start_node(engine, tmp_path / "s") as source,
        start_node(engine, tmp_path / "t", appendonly="yes") as target,
        installation(nursery, directory_vault(tmp_path / "vault")) as daemon,
    ):
        for node, prefix in ((source, "new"), (target, "old")):
            client = node.client()
            await fill(client, prefix=prefix)
            await client.aclose()
        await daemon.start()
        await daemon.add("orders", url=source.url)
        await daemon.add("copy", url=target.url)
        assert (await daemon.backup("orders", name="b")).phase == "complete"
        yield Stage(daemon, target)


async def test_a_restore_is_taken_back_and_brought_again(stage: Stage) -> None:
    """Undo brings back what was there to the last write, and undoing that brings the rest back.

    A restore that fails before it changes anything hides nothing of this.
    """
    daemon, target = stage.daemon, stage.target
    old, settings = await data_of(target), await settings_of(target)
    with pytest.raises(Rejected, match="Nothing has been restored"):
        await stage.undo()
    first = await daemon.restore("orders/b", to="copy")
    assert first.phase == "completed", first.failure
    await stage.write("written after the restore")
    later = await data_of(target)

    refused = await daemon.restore("orders/b", to="copy", replace=False)
    assert refused.phase == "failed"
    undone = await stage.undo()

    assert (undone.phase, undone.undoes) == ("completed", first.restore_id), undone.failure
    assert await data_of(target) == old
    await is_at_rest(target, settings)

    again = await stage.undo()

    assert (again.phase, again.undoes) == ("completed", undone.restore_id), again.failure
    assert await data_of(target) == later
    await is_at_rest(target, settings)
    safety = {b.restore_id for b in await daemon.listed() if b.kind == "safety"}
    assert {first.restore_id, undone.restore_id, again.restore_id} == safety
