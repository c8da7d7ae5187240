"""Keyspace facts of a real daemon: the page, growth, and where names are and are not."""

import stat
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import NamedTuple

import pytest
import zstandard

from daemon.answers.keyspace import KeyspaceAnswer
from daemon.commands import DeleteBackup, RequestVerification
from daemon.valkey.engine import Engine
from events.proofs import BackupVerified
from tests.support.autos import told, typing
from tests.support.daemon import DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.outcome import log_is_sound
from tests.support.poll import until
from tests.support.servers import Node, start_node

pytestmark = pytest.mark.anyio

CANARY = "canaryname"
"""A part of keys' names that is nowhere else."""


class Place(NamedTuple):
    """A running daemon with two backups of a cache that were verified one after the other."""

    daemon: DaemonProcess
    vault: Path
    first_id: str
    second_id: str

    @property
    def folder(self) -> Path:
        """Where names are kept."""
        return self.daemon.directory / "data" / "keyspace"

    def file(self, backup_id: str) -> Path:
        """Where the names of one backup are."""
        return self.folder / "orders" / f"{backup_id}.json"

    async def keyspace(self, backup: str) -> KeyspaceAnswer:
        """What is known of a backup's keys."""
        return await self.daemon.get(KeyspaceAnswer, "backups", backup, "keyspace")


@pytest.fixture(scope="module")
async def place(
    engine: Engine, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Place, None]:
    """A cache that grows between two backups; both are verified."""
    vault = tmp_path_factory.mktemp("v") / "vault"
    async with (
        start_node(engine, tmp_path_factory.mktemp("n"), hash_max_listpack_entries="5000") as node,
        installation(nursery, directory_vault(vault)) as daemon,
    ):
        await daemon.start()
        await daemon.add("orders", url=node.url)
        await fill(node, prefix="cart")
        first = await daemon.backup("orders", name="one")
        await typing(daemon, "backup", "verify", "orders/one")
        await fill(node, prefix="basket")
        second = await daemon.backup("orders", name="two")
        await typing(daemon, "backup", "verify", "orders/two")
        yield Place(daemon, vault, first.backup_id, second.backup_id)


async def fill(node: Node, *, prefix: str) -> None:
    """Strings with such names, some of which end, and one large hash."""
    client = node.client()
    keys = client.pipeline(transaction=False)
    for number in range(500):
        name = f"{CANARY}:{prefix}:{number}"
        keys.set(name, "x" * 300, ex=None if number % 5 else 90_000)
    keys.hset(f"{CANARY}:large:{prefix}", mapping={f"f{n}": "v" * 50 for n in range(2_000)})
    await keys.execute()
    await client.aclose()


async def test_the_page_tells_prefixes_and_growth(place: Place) -> None:
    """The second backup's page has the new prefix and what it grew by since the first."""
    page = (await typing(place.daemon, "backup", "show", "orders/two", "--keys")).out

    assert "1,002, " in page
    assert "+501 keys (+100 %)" in page
    assert "since orders/one" in page
    assert f"{CANARY}:basket:*" in page
    assert f"{CANARY}:large:cart" in page
    (line,) = [one for one in page.splitlines() if one.endswith(f"{CANARY}:basket:*")]
    assert " 79 %" in line


async def test_the_first_backup_has_nothing_to_compare_with(place: Place) -> None:
    """A backup before which none was counted has no growth, and everything else."""
    answer = await place.keyspace("orders/one")
    assert answer.detail is not None
    assert answer.detail.before is None
    assert answer.detail.facts.exact
    assert 501 == answer.detail.facts.keys
    assert 2 == len(answer.detail.facts.types)


async def test_values_are_kept_as_their_source_keeps_them(place: Place) -> None:
    """The private engine has the source's limits, so that the memory is that of the source."""
    answer = await place.keyspace("orders/one")
    assert answer.detail is not None
    assert {"hash listpack": 1} == {
        name: amount.keys
        for name, amount in answer.detail.facts.encodings.items()
        if name.startswith("hash")
    }


async def test_the_receipt_has_the_sums(place: Place) -> None:
    """The log has keys and bytes by type, of the very moment when the backup was proven."""
    receipts = [event.receipt for _, event in await told(place.daemon, BackupVerified)]

    for receipt in receipts[:2]:
        assert receipt.keyspace is not None
        assert receipt.keyspace.keys == receipt.keys
        assert receipt.keyspace.total.bytes == sum(
            amount.bytes for amount in receipt.keyspace.types.values()
        )
        assert receipt.read_seconds >= (receipt.load_seconds or 0) > 0
    await log_is_sound(place.daemon)


def plain(file: Path) -> bytes:
    """What a file holds, unpacked."""
    data = file.read_bytes()
    if file.suffix != ".zst":
        return data
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


async def test_names_are_in_no_other_place(place: Place) -> None:
    """Names are in the files for them: in no event, no line of the log, and no other object."""
    kept = {file for file in place.folder.rglob("*.json") if CANARY.encode() in plain(file)}
    assert {place.file(place.first_id), place.file(place.second_id)} == kept

    ours = [f for f in place.daemon.directory.rglob("*") if f.is_file() and f not in kept]
    stored = [f for f in place.vault.rglob("*") if f.is_file() and ".rdb." not in f.name]
    assert ours
    assert stored
    for file in (*ours, *stored):
        assert CANARY.encode() not in plain(file), file
    assert CANARY not in place.daemon.output()
    assert CANARY.encode() not in await place.daemon.raw("events")


async def test_files_are_for_the_daemon_alone(place: Place) -> None:
    """Nobody but the daemon's user can read what holds names, or look where it lies."""
    files = list(place.folder.rglob("*.json"))
    assert files
    for file in files:
        assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    for folder in (place.folder, place.folder / "orders"):
        assert 0o700 == stat.S_IMODE(folder.stat().st_mode)


async def test_verifying_again_brings_a_lost_file_back(place: Place) -> None:
    """A file that was damaged leaves the sums; the next verification makes it anew."""
    place.file(place.second_id).write_bytes(b"{")
    lost = await place.keyspace("orders/two")
    await place.daemon.command(RequestVerification("orders/two"))
    await place.daemon.settled()
    found = await place.keyspace("orders/two")

    assert lost.detail is not None
    assert (False, ()) == (lost.detail.named, lost.detail.prefixes)
    assert lost.detail.facts.keys == 1_002
    assert found.detail is not None
    assert found.detail.named
    assert found.detail.before is not None
    assert "one" == found.detail.before.name


async def test_a_file_goes_with_its_backup(place: Place) -> None:
    """Names of a deleted backup go at once, and what nobody knows goes at the next start."""
    await place.daemon.backup("orders", name="three")
    await typing(place.daemon, "backup", "verify", "orders/three")
    (third,) = [b for b in await place.daemon.listed() if b.name == "three"]
    assert place.file(third.backup_id).exists()
    await place.daemon.command(DeleteBackup("orders/three"))

    async def gone() -> bool:
        return not place.file(third.backup_id).exists()

    await until(gone, "the file goes with its backup")
    stray = place.folder / "old" / "20250101T000000Z-00000000.json"
    stray.parent.mkdir()
    for left in (stray, place.folder / "orders" / ".cut-off.json"):
        left.write_bytes(b"{}")
    await place.daemon.stop()
    await place.daemon.start()

    async def swept() -> bool:
        names = {file.name for file in place.folder.rglob("*") if file.is_file()}
        return names == {f"{place.first_id}.json", f"{place.second_id}.json"}

    await until(swept, "what is of no backup is swept")
    assert (await place.keyspace("orders/two")).detail is not None
