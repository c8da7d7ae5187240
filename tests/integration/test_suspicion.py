"""A real server that was flushed: its next scheduled backup is suspect until somebody says so."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from daemon.answers.retention import Retained
from daemon.valkey.engine import Engine
from events.suspicions import BackupSuspected
from tests.support.autos import told, typing
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.servers import Node, fill, start_node

pytestmark = pytest.mark.anyio


@pytest.fixture
async def node(engine: Engine, tmp_path: Path) -> AsyncGenerator[Node, None]:
    """A server with some data."""
    async with start_node(engine, tmp_path / "n") as node:
        client = node.client()
        await fill(client)
        await client.aclose()
        yield node


@pytest.fixture
async def daemon(
    nursery: Nursery, tmp_path: Path, node: Node
) -> AsyncGenerator[DaemonProcess, None]:
    """A running daemon with three auto backups of the cache "orders", kept for two days."""
    async with installation(nursery, directory_vault(tmp_path / "vault")) as daemon:
        await daemon.start()
        words = ("--url", node.url, "--auto", "--retention-days", "2")
        await typing(daemon, "cache", "add", "orders", *words)
        for _ in range(3):
            await auto(daemon)
        yield daemon


async def auto(daemon: DaemonProcess) -> str:
    """An auto backup, made now; its id."""
    words = ("backup", "create", "orders", "--auto", "--wait", "--json")
    printed = await typing(daemon, *words)
    return str(json.loads(printed.out)["backup"]["backup_id"])


async def flush(node: Node) -> None:
    """Somebody empties the server."""
    client = node.client()
    await client.flushall()
    await client.aclose()


async def test_flushed_cache_is_told_of_and_settled_by_a_word(
    daemon: DaemonProcess, node: Node
) -> None:
    """Flagged with its figures, told by `check`, `status`, `list`, `show`; `ack` ends it."""
    await typing(daemon, "check")
    await flush(node)
    suspect = await auto(daemon)

    ((_, event),) = await told(daemon, BackupSuspected)
    assert (event.backup_id, event.suspicion.compared) == (suspect, 3)
    assert event.suspicion.keys == 0 < event.suspicion.median_keys
    checked = (await typing(daemon, "check", code=1)).out
    assert "WARNING suspect orders: auto-" in checked
    assert "0 keys instead of" in checked
    assert "is suspect" in (await typing(daemon, "status")).out
    assert "SUSPECT" in (await typing(daemon, "backup", "list")).out
    assert "100 % fewer" in (await typing(daemon, "backup", "show", suspect)).out

    printed = (await typing(daemon, "backup", "ack", suspect)).out
    assert "It has 0 keys in" in printed
    await typing(daemon, "check")
    again = (await typing(daemon, "backup", "ack", suspect, code=3)).err
    assert "was acknowledged at" in again
    await auto(daemon)
    assert 1 == len(await told(daemon, BackupSuspected))


async def test_retention_keeps_what_was_before(daemon: DaemonProcess, node: Node) -> None:
    """`retention why` says why the last good one stays beyond its days, and what settles it."""
    good = (await daemon.listed())[-1].backup_id
    await flush(node)
    suspect = await auto(daemon)
    await typing(daemon, "policy", "set", "orders", "--keep-last", "0")

    kept = await daemon.get(Retained, "retention", good)

    assert ("age", True) == (kept.rule, kept.kept)
    assert any("until a suspect backup is acknowledged" in note for note in kept.notes)
    assert "is suspect" in (await typing(daemon, "retention", "simulate", "orders")).out
    near = await typing(daemon, "backup", "ack", "orders/auto-2", code=4)
    assert "Did you mean" in near.err
    refused = await typing(daemon, "backup", "ack", good, code=3)
    assert "is not suspect" in refused.err
    assert suspect != good


async def test_gate_can_be_turned_off(daemon: DaemonProcess, node: Node) -> None:
    """With 0 percent nothing is suspect, and the policy says so in words."""
    await typing(daemon, "policy", "set", "orders", "--suspect-drop-percent", "0")
    await flush(node)
    await auto(daemon)
    assert [] == await told(daemon, BackupSuspected)
    assert "none is held for suspect" in (await typing(daemon, "policy", "show", "orders")).out
