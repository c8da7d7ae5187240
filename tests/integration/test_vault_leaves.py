"""A vault that holds living backups cannot leave the configuration (DESIGN 9)."""

import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from daemon.valkey.engine import find_engines
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.poll import until
from tests.support.servers import start_node

pytestmark = pytest.mark.anyio


@pytest.fixture
async def daemon(nursery: Nursery, tmp_path: Path) -> AsyncGenerator[DaemonProcess, None]:
    """A running daemon with one backup in the vault "main"."""
    engine = (await find_engines(os.defpath))[0]
    async with (
        start_node(engine, tmp_path / "node") as node,
        installation(nursery, directory_vault(tmp_path / "vault")) as daemon,
    ):
        await daemon.start()
        await daemon.add("orders", url=node.url)
        assert "complete" == (await daemon.backup("orders", name="kept")).phase
        yield daemon


def other_vault(tmp_path: Path) -> str:
    """A configuration that has another vault and no "main"."""
    (tmp_path / "other").mkdir()
    return f'[vaults.other]\nurl = "file://{tmp_path / "other"}"\n'


async def test_a_start_without_the_vault_is_refused(daemon: DaemonProcess, tmp_path: Path) -> None:
    """The daemon does not start, and says which vault is missed and how many backups are in it."""
    await daemon.stop()
    daemon.configure(other_vault(tmp_path))

    daemon.launch()

    assert 2 == await daemon.ended()
    assert "[vaults.main] with 1" in daemon.output()


async def test_a_reload_without_the_vault_changes_nothing(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    """A file that lacks the vault is not taken, and backups go on going where they went."""
    daemon.configure(other_vault(tmp_path))
    daemon.signal(signal.SIGHUP)

    async def refused() -> bool:
        return "configuration not reloaded" in daemon.output()

    await until(refused, "the file is refused")
    assert "complete" == (await daemon.backup("orders", name="still")).phase
    assert {"main"} == {backup.vault for backup in await daemon.listed()}
