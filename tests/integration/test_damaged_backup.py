"""Backups that were changed behind our back: the restore stops, and the target is as it was."""

import hashlib
import os
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from daemon.valkey.engine import find_engines
from events.types import RestoreFailed, RestoreStarted
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.outcome import data_of, is_at_rest, settings_of
from tests.support.servers import Node, fill, start_node

pytestmark = pytest.mark.anyio


class Stage(NamedTuple):
    """A running daemon, its vault, and a filled target; there is a backup `orders/b`."""

    daemon: DaemonProcess
    vault: Path
    target: Node

    @property
    def object(self) -> Path:
        """The backup's data."""
        return next(self.vault.glob("caches/orders/*/0000.rdb.zst"))

    @property
    def manifest(self) -> Path:
        """The backup's manifest."""
        return next(self.vault.glob("caches/orders/*/manifest.json"))


@pytest.fixture(scope="module", params=["disabled", "swapdb"])
async def stage(
    request: pytest.FixtureRequest, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Stage, None]:
    """The target loads in either mode; the backup has three blocks, hard to compress."""
    engine = (await find_engines(os.defpath))[0]
    vault = tmp_path_factory.mktemp("v")
    async with (
        start_node(engine, tmp_path_factory.mktemp("s"), rdbcompression="no") as source,
        start_node(
            engine, tmp_path_factory.mktemp("t"), repl_diskless_load=request.param
        ) as target,
        installation(nursery, directory_vault(vault)) as daemon,
    ):
        await filled(source, "new")
        await filled(target, "old")
        client = source.client()
        for number in range(18):
            await client.set(f"block:{number}", hashlib.shake_128(b"%d" % number).digest(1 << 20))
        await client.aclose()
        await daemon.start()
        await daemon.add("orders", url=source.url)
        await daemon.add("copy", url=target.url)
        assert (await daemon.backup("orders", name="b")).phase == "complete"
        yield Stage(daemon, vault, target)


async def filled(node: Node, prefix: str) -> None:
    """Give a server data."""
    client = node.client()
    await fill(client, prefix=prefix)
    await client.aclose()


def flip(place: Path, at: float) -> None:
    """Flip one bit of a file, so far into it."""
    data = bytearray(place.read_bytes())
    data[min(int(len(data) * at), len(data) - 1)] ^= 1
    place.write_bytes(data)


def cut(place: Path) -> None:
    """Take the last byte of a file away."""
    place.write_bytes(place.read_bytes()[:-1])


class Damage(NamedTuple):
    """What was done to the backup, how the restore fails, and whether the target was touched."""

    name: str
    do: Callable[[Stage], None]
    code: str
    touched: bool


DAMAGES = [
    Damage("manifest edited", lambda s: flip(s.manifest, 0.5), "manifest-tampered", touched=False),
    Damage("manifest gone", lambda s: s.manifest.unlink(), "manifest-missing", touched=False),
    Damage("first bit", lambda s: flip(s.object, 0), "rdb-checksum", touched=False),
    Damage("a bit in the middle", lambda s: flip(s.object, 0.5), "block-damaged", touched=True),
    Damage(
        "a bit in the last block", lambda s: flip(s.object, 0.99), "block-damaged", touched=True
    ),
    Damage("last byte", lambda s: flip(s.object, 1), "block-damaged", touched=True),
    Damage("cut short", lambda s: cut(s.object), "rdb-checksum", touched=False),
    Damage("object gone", lambda s: s.object.unlink(), "rdb-checksum", touched=False),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
async def test_a_damaged_backup_never_reaches_the_target(stage: Stage, damage: Damage) -> None:
    """One flipped bit anywhere stops the restore; the target serves its old data, set as before."""
    old, settings = await data_of(stage.target), await settings_of(stage.target)
    whole = {place: place.read_bytes() for place in (stage.object, stage.manifest)}
    before = len(await stage.daemon.history())
    damage.do(stage)
    try:
        restore = await stage.daemon.restore("orders/b", to="copy", safety_backup=False)
    finally:
        for place, data in whole.items():
            place.write_bytes(data)

    assert (restore.phase, restore.undone) == ("failed", True)
    assert restore.failure is not None
    assert (restore.failure.code, bool(restore.failure.hint)) == (damage.code, True)
    await is_at_rest(stage.target, settings)
    assert await data_of(stage.target) == old
    events = (await stage.daemon.events())[before:]
    assert any(isinstance(event, RestoreStarted) for event in events) == damage.touched
    assert isinstance(events[-1], RestoreFailed)


async def test_the_backup_that_was_mended_is_restored(stage: Stage) -> None:
    """After all those failures the target takes the whole backup."""
    restore = await stage.daemon.restore("orders/b", to="copy", safety_backup=False)
    assert restore.phase == "completed", restore.failure
    assert restore.result is not None
    assert restore.result.evicted_keys == 0
