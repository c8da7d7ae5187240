"""A whole daemon whose caches have replicas: what it records and says of the node it took."""

from pathlib import Path

import pytest

from daemon.answers import BackupDetail, CacheDetail
from daemon.commands import AddCache
from daemon.valkey.engine import find_engines
from events.facts import NodeFacts
from tests.support.daemon import directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.replicas import asking, caught_up, listed_online, replica_of
from tests.support.servers import Node, fill, start_node

pytestmark = pytest.mark.anyio


def place(node: Node) -> str:
    """Its address as facts have it."""
    return f"127.0.0.1:{node.port}"


async def test_backups_are_of_the_replica_and_safety_backups_of_the_primary(
    nursery: Nursery, tmp_path: Path
) -> None:
    """The node is in the catalog with its reason; a restore saves the very server it writes to."""
    engine = (await find_engines(""))[0]
    async with (
        installation(nursery, directory_vault(tmp_path / "vault")) as daemon,
        # Between the pings nothing is written that the replica would have to acknowledge.
        start_node(engine, tmp_path / "p", repl_ping_replica_period="3600") as primary,
        replica_of(engine, primary, tmp_path / "r") as replica,
    ):
        async with asking(primary) as client:
            await fill(client, keys=50)
        await listed_online(primary, 1)
        await caught_up(primary)
        await daemon.start()
        await daemon.command(AddCache("shop", primary.url))
        probe = (await daemon.get(CacheDetail, "caches", "shop")).cache.probe
        assert probe is not None
        reason = f"a replica in step, 0 bytes behind the primary {place(primary)}"
        assert probe.node == NodeFacts(place(replica), "replica", reason, 0)

        backup = await daemon.backup("shop", name="one")
        assert backup.phase == "complete"
        snapshot = (await daemon.get(BackupDetail, "backups", backup.backup_id)).snapshot
        assert snapshot is not None
        assert snapshot.node == probe.node
        assert snapshot.server.role == "replica"

        restored = await daemon.restore("shop/one", to="shop")
        assert restored.phase == "completed"
        (safety,) = [one for one in await daemon.listed() if one.kind == "safety"]
        snapshot = (await daemon.get(BackupDetail, "backups", safety.backup_id)).snapshot
        assert snapshot is not None
        assert snapshot.node is not None
        assert (snapshot.node.role, snapshot.node.address) == ("primary", place(primary))
        assert await daemon.stop() == 0
