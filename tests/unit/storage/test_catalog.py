"""Manifests: what was written is read, and what was not written so is refused."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import Permanent, Transient
from daemon.storage import catalog, names
from daemon.storage.manifest import Manifest
from daemon.storage.memory import MemoryStore, MemoryVault
from events.facts import ONLY_SHARD, BackupName, CacheName, Position
from tests.support.given import NOON
from tests.support.samples import HERE, SNAPSHOT
from tests.support.storing import CACHE, ID, stored

pytestmark = pytest.mark.anyio

NAME = names.manifest_object(CACHE, ID)


async def a_backup(vault: MemoryVault) -> tuple[Manifest, str]:
    """A whole backup in the vault: its manifest and the hash of it."""
    manifest = Manifest(
        format=1,
        installation=HERE,
        backup_id=ID,
        cache=CACHE,
        name=BackupName("before-migration"),
        kind="manual",
        created_at=NOON,
        snapshot=SNAPSHOT,
        shards=(await stored(vault, b"plain bytes"),),
        log_position=Position(7),
        log_sha256="0" * 64,
    )
    return manifest, await catalog.write_manifest(vault, manifest)


async def test_a_manifest_comes_back() -> None:
    """What was written is read, with the hash from the log and without it."""
    vault = MemoryVault()
    manifest, sha256 = await a_backup(vault)
    assert await catalog.read_manifest(vault, CACHE, ID, sha256) == manifest
    assert await catalog.read_manifest(vault, CACHE, ID) == manifest
    assert sha256 == hashlib.sha256(catalog.encode(manifest)).hexdigest()


async def test_every_changed_bit_is_tampering() -> None:
    """With the hash from the log no byte of a manifest can be changed."""
    store = MemoryStore()
    vault = MemoryVault(store)
    _, sha256 = await a_backup(vault)
    whole = store.objects[NAME]
    for at in range(len(whole)):
        store.objects[NAME] = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        with pytest.raises(Permanent) as refused:
            await catalog.read_manifest(vault, CACHE, ID, sha256)
        assert refused.value.code == "manifest-tampered"
        assert NAME in refused.value.message


@given(st.binary(max_size=200) | st.sampled_from([b"[" * 100_000, b'{"a":' * 50_000, b"null"]))
def test_garbage_is_unreadable_and_harmless(data: bytes) -> None:
    """Any bytes that are no manifest are refused by that name."""
    with pytest.raises(Permanent) as refused:
        catalog.decode(data)
    assert refused.value.code == "manifest-unreadable"


STRANGE: list[tuple[str, object]] = [
    ("object", "caches/other/20250101T000000Z-00000001/0000.rdb.zst"),
    ("object", "../../etc/passwd"),
    ("shard", "../x"),
    ("stored_bytes", 1),
    ("plain_bytes", -1),
    ("sha256", "x" * 64),
    ("sha256", ""),
    ("blocks", [[0, "0" * 64]]),
    ("blocks", [[-5, "0" * 64]]),
    ("blocks", [[1, "0" * 64]] * 65_537),
    ("blocks", []),
    ("codecs", ["rot13"]),
    ("codecs", ["zstd", "age"]),
    ("object", f"caches/{CACHE}/{ID}/0000.rdb.zst.age"),
    ("recipients", ["age1"]),
    ("more", "fields"),
]


@pytest.mark.parametrize(("field", "value"), STRANGE)
async def test_parts_that_do_not_agree_are_unreadable(field: str, value: object) -> None:
    """A stranger's manifest cannot name other objects, absurd sizes or unknown codecs."""
    manifest, _ = await a_backup(MemoryVault())
    raw = msgspec.json.decode(catalog.encode(manifest))
    raw["shards"][0][field] = value
    with pytest.raises(Permanent) as refused:
        catalog.decode(msgspec.json.encode(raw))
    assert refused.value.code == "manifest-unreadable"


async def test_a_shard_that_is_listed_twice_is_unreadable() -> None:
    """One shard is one object."""
    manifest, _ = await a_backup(MemoryVault())
    raw = msgspec.json.decode(catalog.encode(manifest))
    raw["shards"] *= 2
    with pytest.raises(Permanent, match="listed twice"):
        catalog.decode(msgspec.json.encode(raw))


async def test_a_manifest_at_another_s_place_is_tampering() -> None:
    """A copied manifest does not make a backup of another cache."""
    store = MemoryStore()
    vault = MemoryVault(store)
    await a_backup(vault)
    users = CacheName("users")
    store.objects[names.manifest_object(users, ID)] = store.objects[NAME]
    with pytest.raises(Permanent) as refused:
        await catalog.read_manifest(vault, users, ID)
    assert refused.value.code == "manifest-tampered"


async def test_a_missing_manifest_is_a_missing_backup() -> None:
    """A folder without a manifest is no backup."""
    with pytest.raises(Permanent) as refused:
        await catalog.read_manifest(MemoryVault(), CACHE, ID)
    assert refused.value.code == "manifest-missing"


async def test_deleting_begins_with_the_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion that is cut off leaves no manifest, and repeated it leaves nothing."""
    store = MemoryStore()
    vault = MemoryVault(store)
    await a_backup(vault)

    async def cut_off(vault: MemoryVault, prefix: str) -> None:
        raise Permanent("cut", "cut", "cut")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryVault, "clear", cut_off)
        with pytest.raises(Permanent):
            await catalog.delete_backup(vault, CACHE, ID)
    assert list(store.objects) == [names.shard_object(CACHE, ID, ONLY_SHARD)]
    for _ in range(2):
        await catalog.delete_backup(vault, CACHE, ID)
    assert store.objects == {}


async def test_a_short_listing_is_no_proof_that_all_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S1: a vault whose listing lacks what is there does not end a deletion; a whole one does."""
    store = MemoryStore()
    vault = MemoryVault(store)
    await a_backup(vault)

    async def nothing_listed(vault: MemoryVault, prefix: str) -> None:
        """Clears what a listing shows, and it shows nothing."""

    with monkeypatch.context() as patch:
        patch.setattr(MemoryVault, "clear", nothing_listed)
        with pytest.raises(Transient) as left:
            await catalog.delete_backup(vault, CACHE, ID)
    assert left.value.code == "vault-not-clear"
    await catalog.delete_backup(vault, CACHE, ID)
    assert store.objects == {}
