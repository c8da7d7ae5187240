"""What the command line says of the node that a backup was, or would be, taken from."""

import pytest
from msgspec.structs import replace

from events.facts import NodeFacts
from events.types import BackupCompleted, CacheRegistered, SnapshotTaken
from tests.support.api import serving
from tests.support.samples import (
    B1,
    ORDERS,
    PROBE,
    SETTINGS,
    SNAPSHOT,
    STORED,
    attempted,
    registered,
    requested,
)

pytestmark = pytest.mark.anyio

NODE = NodeFacts(
    "10.0.0.2:6379", "replica", "a replica in step, 0 bytes behind the primary 10.0.0.1:6379", 0
)


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test types on a wide terminal."""
    monkeypatch.setenv("COLUMNS", "160")


async def test_a_backups_page_tells_node_reason_and_fork() -> None:
    """Where it came from and why, how long the fork lived and what it had copied."""
    taken = replace(SNAPSHOT, node=NODE, fork_seconds=1.25, copy_on_write_bytes=3 << 20)
    story = (
        requested(name="one"),
        attempted(),
        SnapshotTaken(cache=ORDERS, backup_id=B1, snapshot=taken),
        BackupCompleted(cache=ORDERS, backup_id=B1, stored=STORED),
    )
    async with serving(registered(), story) as api:
        printed = await api.type("backup", "show", "orders/one")
    lines = [" ".join(line.split()) for line in printed.out.splitlines()]
    assert f"node the replica 10.0.0.2:6379: {NODE.reason}" in lines
    assert "fork 1.2 s, 3.0 MiB copied on write" in lines


async def test_a_caches_page_tells_where_a_backup_would_be_taken_from() -> None:
    """The look at a cache names the node and the reason, beside the role of the URL's node."""
    cache = CacheRegistered(cache=ORDERS, settings=SETTINGS, probe=replace(PROBE, node=NODE))
    async with serving(cache) as api:
        printed = await api.type("cache", "show", "orders")
    lines = [" ".join(line.split()) for line in printed.out.splitlines()]
    assert f"taken from the replica 10.0.0.2:6379: {NODE.reason}" in lines
