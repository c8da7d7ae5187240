"""One flipped bit in any stored block: the restore stops, and the engine lives with its old data.

The daemon stores in small blocks here, so that a backup has many and each can be damaged in turn.
"""

import hashlib
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from daemon.answers import RestoreView
from daemon.commands import AddCache, RequestCopy, RequestRestore
from daemon.storage.manifest import Block, Manifest, ShardObject
from daemon.valkey.engine import find_engines
from events.copies import CopyCompleted
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.keys import IDENTITY, RECIPIENT
from tests.support.nursery import Nursery
from tests.support.outcome import data_of, is_at_rest, settings_of
from tests.support.servers import Node, fill, start_node

pytestmark = pytest.mark.anyio

Data = tuple[str, bytes]
EARLY_BLOCKS = 4
"""Small as they are here, so many may have to be read until a byte can be unpacked."""
BLOCK_BYTES = 96 << 10


class Stage(NamedTuple):
    """A daemon that stores in small blocks, and a target; backups `plain/b`, `sealed/b` and `c`."""

    daemon: DaemonProcess
    folder: Path
    target: Node
    old: Data

    def shard(self, cache: str, *, vault: str = "", name: str = "b") -> tuple[Path, ShardObject]:
        """The file that a backup is in, and what its manifest says of it."""
        for place in (self.folder / (vault or cache)).glob(f"caches/{cache}/*/manifest.json"):
            manifest = msgspec.json.decode(place.read_bytes(), type=Manifest)
            if manifest.name == name:
                (shard,) = manifest.shards
                return place.parent / Path(shard.object).name, shard
        raise LookupError(name)

    async def restore(self, backup: str, *, vault: str | None = None) -> RestoreView:
        """Restore it over the target, without a safety backup."""
        request = RequestRestore(backup, "copy", replace=True, safety_backup=False, vault=vault)
        accepted = await self.daemon.command(request)
        assert accepted.restore_id is not None
        return await self.daemon.restore_ended(accepted.restore_id)

    async def load_mode(self, mode: str) -> None:
        """How the target loads from now on."""
        client = self.target.client()
        await client.config_set("repl-diskless-load", mode)
        await client.aclose()


def configuration(folder: Path) -> str:
    """Three vaults: one of them encrypts, one is for copies."""
    identity = folder / "identity"
    identity.write_text(IDENTITY)
    identity.chmod(0o600)
    for name in ("sealed", "second"):
        (folder / name).mkdir()
    main = directory_vault(folder / "plain")
    return f"""{main}
[vaults.sealed]
url = "file://{folder}/sealed"
recipients = ["{RECIPIENT}"]
identity_file = "{identity}"
[vaults.second]
url = "file://{folder}/second"
"""


@pytest.fixture(scope="module")
async def stage(
    nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Stage, None]:
    """One source, one target and one daemon for all that is done here."""
    engine = (await find_engines(os.defpath))[0]
    folder = tmp_path_factory.mktemp("v")
    async with (
        start_node(engine, tmp_path_factory.mktemp("s"), rdbcompression="no") as source,
        start_node(engine, tmp_path_factory.mktemp("t")) as target,
        installation(nursery, configuration(folder)) as daemon,
    ):
        for node, prefix in ((source, "new"), (target, "old")):
            client = node.client()
            await fill(client, prefix=prefix)
            await client.set("noise", hashlib.shake_128(prefix.encode()).digest(1 << 20))
            await client.aclose()
        await daemon.start(doom=f"blocks {BLOCK_BYTES} each")
        await daemon.command(AddCache("copy", target.url, vault="main"))
        for cache in ("plain", "sealed"):
            vault = "main" if cache == "plain" else cache
            await daemon.command(AddCache(cache, source.url, vault=vault))
            for name in ("b", "c"):
                assert (await daemon.backup(cache, name=name)).phase == "complete"
        yield Stage(daemon, folder, target, await data_of(target))


@contextmanager
def damaged(place: Path, change: Callable[[bytearray], None]) -> Iterator[None]:
    """A file is other than it was, for as long as the context lasts."""
    whole = place.read_bytes()
    data = bytearray(whole)
    change(data)
    assert data != whole
    place.write_bytes(data)
    try:
        yield
    finally:
        place.write_bytes(whole)


def flipped(at: int) -> Callable[[bytearray], None]:
    """One bit is another."""

    def change(data: bytearray) -> None:
        data[at] ^= 1 << at % 8

    return change


def spans(blocks: tuple[Block, ...]) -> Iterator[tuple[int, int]]:
    """Where each block begins and ends in its object."""
    begin = 0
    for block in blocks:
        yield begin, begin + block.size_bytes
        begin += block.size_bytes


async def stops(
    stage: Stage, backup: str, *, code: str | set[str], word: str = "", vault: str | None = None
) -> None:
    """The restore fails with this, and the same process serves its old data, set as before."""
    pid, settings = stage.target.pid, await settings_of(stage.target)

    failed = await stage.restore(backup, vault=vault)

    assert (failed.phase, failed.undone) == ("failed", True)
    assert failed.failure is not None
    assert failed.failure.code in ({code} if isinstance(code, str) else code), failed.failure
    assert word in failed.failure.message, failed.failure
    await is_at_rest(stage.target, settings)
    assert stage.target.pid == pid
    assert await data_of(stage.target) == stage.old


@pytest.mark.parametrize("mode", ["disabled", "swapdb"])
@pytest.mark.parametrize("cache", ["plain", "sealed"])
async def test_a_bit_in_every_block_in_turn(stage: Stage, cache: str, mode: str) -> None:
    """No block's damage reaches the target, encrypted or not, in either load mode (R5)."""
    await stage.load_mode(mode)
    place, shard = stage.shard(cache)
    assert len(shard.blocks) >= 10

    for number, (begin, end) in enumerate(spans(shard.blocks), start=1):
        with damaged(place, flipped(begin + number * 7_919 % (end - begin))):
            # The plan reads until it has the first plain byte, and the restore reads the rest.
            early = {"rdb-checksum"} if number == 1 else {"rdb-checksum", "block-damaged"}
            code = early if number <= EARLY_BLOCKS else {"block-damaged"}
            await stops(stage, f"{cache}/b", code=code, word=f"lock {number} of")


def swapped(data: bytearray) -> None:
    """The sixth and the eighth block have changed places."""
    sixth, eighth = (slice(n * BLOCK_BYTES, (n + 1) * BLOCK_BYTES) for n in (5, 7))
    data[sixth], data[eighth] = data[eighth], data[sixth]


def blank(data: bytearray) -> None:
    """A disk that lost its last block, and kept its length."""
    data[-BLOCK_BYTES:] = bytes(BLOCK_BYTES)


def a_block_less(data: bytearray) -> None:
    """Truncated where a block ends."""
    del data[-BLOCK_BYTES:]


@pytest.mark.parametrize("cache", ["plain", "sealed"])
@pytest.mark.parametrize(
    ("change", "code"),
    [(swapped, "block-damaged"), (blank, "block-damaged"), (a_block_less, "rdb-checksum")],
)
async def test_objects_that_are_put_together_wrongly(
    stage: Stage, cache: str, change: Callable[[bytearray], None], code: str
) -> None:
    """Whole blocks in the wrong place, lost ones and missing ones stop the restore as well."""
    place, _ = stage.shard(cache)
    with damaged(place, change):
        await stops(stage, f"{cache}/b", code=code)


async def test_parts_of_another_backup_are_not_taken(stage: Stage) -> None:
    """Another backup's manifest or object in the place of a backup's own is found out."""
    ours, _ = stage.shard("plain")
    theirs, _ = stage.shard("plain", name="c")
    for name, code in (("manifest.json", "manifest-tampered"), (ours.name, "rdb-checksum")):
        foreign = (theirs.parent / name).read_bytes()

        def exchange(data: bytearray, by: bytes = foreign) -> None:
            # Of the same length, so that it is not the length alone that tells.
            data[:] = by.ljust(len(data), b"\0")[: len(data)]

        with damaged(ours.parent / name, exchange):
            await stops(stage, "plain/b", code=code)


async def test_a_damaged_copy_is_found_out(stage: Stage) -> None:
    """A restore from a copy checks the copy's own bytes, and says where the backup is whole."""
    await stage.daemon.command(RequestCopy("plain/b", "second"))
    await stage.daemon.until(lambda _, event: isinstance(event, CopyCompleted))
    place, _ = stage.shard("plain", vault="second")

    with damaged(place, flipped(5 * BLOCK_BYTES)):
        await stops(stage, "plain/b", code="block-damaged", vault="second")


async def test_mended_backups_are_restored(stage: Stage) -> None:
    """After all that each backup is restored whole, the copy's bytes included."""
    for backup, vault in (("sealed/b", None), ("plain/b", None), ("plain/b", "second")):
        done = await stage.restore(backup, vault=vault)
        assert done.phase == "completed", done.failure
    assert await data_of(stage.target) != stage.old
