"""The look at a stored backup before its restore is planned: what it tells, and how it gives up."""

from contextlib import aclosing

import anyio
import pytest
from msgspec import Struct
from msgspec.structs import replace

from daemon.actors.restore import glance
from daemon.errors import Permanent, Transient
from daemon.ledger import Ledger
from daemon.storage import names
from daemon.storage.catalog import write_manifest
from daemon.storage.manifest import Manifest, ShardObject
from daemon.storage.memory import MemoryStore, MemoryVault
from daemon.storage.pipeline import Packing, store
from daemon.storage.sealing import Identities, NoKeys, Sealing
from daemon.storage.vault import Vault
from events.facts import ONLY_SHARD, BackupName, Failure, Position, VaultName
from events.memory import InMemoryLog
from projections.catalog import Backup
from projections.copies import Copy
from projections.proofs import Proof
from projections.restore_stored import Glance
from tests.simulation.virtual import CountedIds, VirtualClock
from tests.support.given import NOON
from tests.support.keys import RECIPIENT, STRANGER, held, sealing
from tests.support.offload import THREADS
from tests.support.samples import HERE, MAIN, SECOND, SNAPSHOT, STORED
from tests.support.storing import CACHE, ID, OBJECT, chunks

pytestmark = pytest.mark.anyio

RDB = b"REDIS0011\xfa\x09redis-ver\x056.0.0\xff" + bytes(8)
NAME = BackupName("nightly")


class Place(Struct):
    """One vault with one backup in it, and how to look at that."""

    objects: MemoryStore
    backup: Backup
    hangs: bool = False

    async def readable(self, name: VaultName) -> Vault:
        """See `ReadableVaults`."""
        if self.hangs or name not in (MAIN, SECOND):
            await anyio.sleep_forever()
        return MemoryVault(self.objects)

    async def look(
        self, identities: Identities | None = None, vault: VaultName | None = None
    ) -> Glance:
        """What is told of it."""
        ledger = Ledger(InMemoryLog(), VirtualClock(), CountedIds(0))
        shelf = glance.Shelf(ledger, self, NoKeys(), THREADS)
        return await glance.glance(shelf, self.backup, vault, identities)


async def shard(vault: Vault, plain: bytes, seal: Sealing | None) -> ShardObject:
    """These plain bytes, stored where a manifest says that they are."""
    place = names.shard_object(CACHE, ID, ONLY_SHARD, encrypted=seal is not None)
    async with aclosing(chunks(plain)) as source:
        return await store(source, vault, place, Packing(THREADS, (), sealing=seal))


async def kept(plain: bytes = RDB, seal: Sealing | None = None) -> Place:
    """A backup of these plain bytes."""
    objects = MemoryStore()
    vault = MemoryVault(objects)
    manifest = Manifest(
        format=1,
        installation=HERE,
        backup_id=ID,
        cache=CACHE,
        name=NAME,
        kind="manual",
        created_at=NOON,
        snapshot=SNAPSHOT,
        shards=(await shard(vault, plain, seal),),
        log_position=Position(7),
        log_sha256="0" * 64,
    )
    sha256 = await write_manifest(vault, manifest)
    backup = Backup(
        backup_id=ID,
        cache=CACHE,
        kind="manual",
        name=NAME,
        vault=MAIN,
        requested_at=NOON,
        requested_by="anna",
        phase="complete",
        attempts=1,
        snapshot=SNAPSHOT,
        stored=replace(STORED, manifest_sha256=sha256),
    )
    return Place(objects, backup)


async def test_the_version_is_read_from_the_bytes_themselves() -> None:
    """What the header says is told, encrypted or not."""
    assert await (await kept()).look() == Glance(rdb_version=11)
    assert await (await kept(seal=sealing())).look(held()) == Glance(rdb_version=11)


async def test_what_is_no_rdb_is_told() -> None:
    """Bytes that begin otherwise are trouble of the kind `rdb-type`, though their hash is right."""
    trouble = (await (await kept(b"SQLite format 3\0" * 9)).look()).trouble
    assert trouble is not None
    assert (trouble.code, OBJECT in trouble.message) == ("rdb-type", True)


@pytest.mark.parametrize("identities", [None, held(STRANGER), held()])
async def test_damage_is_found_without_an_identity_too(identities: Identities | None) -> None:
    """An encrypted object is looked at by whoever can open it or not; only damage is trouble."""
    place = await kept(seal=sealing(RECIPIENT))
    assert (await place.look(identities)).trouble is None

    sealed = names.shard_object(CACHE, ID, ONLY_SHARD, encrypted=True)
    place.objects.objects[sealed] = b"X" + place.objects.objects[sealed][1:]
    trouble = (await place.look(identities)).trouble
    assert trouble is not None
    assert trouble.code == "block-damaged"


async def test_trouble_names_the_vault_that_has_it_too() -> None:
    """Where there is a complete copy the hint says how to read that one."""
    place = await kept()
    copy = Copy(SECOND, "command", NOON, phase="complete", completed_at=NOON)
    place.backup = replace(place.backup, copies=(copy,))
    del place.objects.objects[OBJECT]

    found = [await place.look(), await place.look(vault=SECOND)]

    hints = [one.trouble.hint for one in found if one.trouble]
    assert [f"--from {SECOND}" in hints[0], f"--from {MAIN}" in hints[1]] == [True, True]


async def test_damage_that_was_found_once_is_told_of_the_own_vault_alone() -> None:
    """A failed verification is told, but not of a copy, which it was not about."""
    place = await kept()
    refuted = Failure("block-damaged", "Block 3 is damaged.", "")
    place.backup = replace(place.backup, proof=Proof(refuted=refuted))

    assert await place.look() == Glance(rdb_version=11, refuted=refuted)
    assert await place.look(vault=SECOND) == Glance(rdb_version=11)


async def test_a_changed_manifest_is_not_believed() -> None:
    """Where the manifest itself is wrong nothing of it is used."""
    place = await kept()
    place.backup = replace(place.backup, stored=STORED)
    with pytest.raises(Permanent) as refused:
        await place.look()
    assert refused.value.code == "manifest-tampered"


async def test_a_vault_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody waits for the plan: a vault that never answers is told in time."""
    monkeypatch.setattr(glance, "GLANCE_SECONDS", 0.01)
    place = await kept()
    place.hangs = True
    with pytest.raises(Transient) as failed:
        await place.look()
    assert (failed.value.code, "doctor" in failed.value.hint) == ("vault-stalled", True)
