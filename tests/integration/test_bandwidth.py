"""A limit of bandwidth in the real daemon: heeded, and changed under what runs."""

import hashlib
import os
import signal
from pathlib import Path

import anyio
import pytest

from daemon.answers import BackupDetail
from daemon.commands import AddCache, RequestBackup, RequestCopy, SetCache
from daemon.valkey.engine import find_engines
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.poll import until
from tests.support.servers import start_node

pytestmark = pytest.mark.anyio

RATE = 200_000
VALUES, VALUE_BYTES = 40, 250_000
"""Ten megabytes that do not shrink."""


def noise(number: int) -> bytes:
    """Bytes that do not shrink, and are the same in every run."""
    return hashlib.shake_128(str(number).encode()).digest(VALUE_BYTES)


def stored(vault: Path) -> int:
    """Bytes in the vault's backups, those that are being written included."""
    return sum(path.stat().st_size for path in (vault / "caches").rglob("*") if path.is_file())


async def test_limit_is_heeded_and_can_be_lifted(nursery: Nursery, tmp_path: Path) -> None:
    """No more than the limit reaches a vault in any time; SIGHUP lifts it for what runs (V7).

    A copy in a second vault counts like a backup.
    """
    (engine, *_) = await find_engines(os.defpath)
    vault, second = tmp_path / "vault", tmp_path / "second"
    another = directory_vault(second).replace("[vaults.main]", "[vaults.second]")
    async with (
        start_node(engine, tmp_path / "node") as node,
        installation(nursery, directory_vault(vault) + another) as daemon,
    ):
        client = node.client()
        for number in range(VALUES):
            await client.set(f"key-{number}", noise(number))
        await client.aclose()
        limit(daemon, f'bandwidth = "{RATE // 1000}KB/s"')
        await daemon.start()
        await daemon.command(AddCache("orders", node.url, vault="main", source="replication"))
        began = anyio.current_time()
        await daemon.command(RequestBackup("orders", "one"))
        await until(lambda: _some(vault), "bytes in the vault")
        await heeded(daemon, vault, began)
        assert await _phase(daemon) == "running"

        limit(daemon, "")
        daemon.signal(signal.SIGHUP)
        made = await daemon.backup_ended("orders/one")
        assert ("complete", VALUES) == (made.phase, made.keys)
        whole_seconds = VALUES * VALUE_BYTES / RATE
        assert anyio.current_time() - began < whole_seconds / 2
        assert "takes_effect_at_restart=[]" in daemon.output().replace('": ', "=").replace('"', "")

        await daemon.command(SetCache("orders", bandwidth=f"{RATE // 1000}KB"))
        began = anyio.current_time()
        await daemon.command(RequestCopy("orders/one", "second"))
        await until(lambda: _some(second), "bytes in the second vault")
        await heeded(daemon, second, began)


async def heeded(daemon: DaemonProcess, vault: Path, began: float) -> None:
    """For a while no more comes than the limit lets through."""
    for _ in range(20):
        found = stored(vault)
        assert found <= RATE * (anyio.current_time() - began) + RATE
        await daemon.get(BackupDetail, "backups", "orders/one")


def limit(daemon: DaemonProcess, line: str) -> None:
    """Write the limit into the daemon's section."""
    text = daemon.config.read_text()
    kept = [each for each in text.splitlines() if not each.startswith("bandwidth")]
    daemon.config.write_text("\n".join(kept).replace("[daemon]", f"[daemon]\n{line}"))


async def _some(vault: Path) -> bool:
    return stored(vault) > 0


async def _phase(daemon: DaemonProcess) -> str:
    return (await daemon.get(BackupDetail, "backups", "orders/one")).backup.phase
