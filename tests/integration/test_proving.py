"""Proofs of stored bytes by real engines: each level, each way down, and each kind of damage."""

import os
from pathlib import Path

import anycrc
import pytest
from msgspec.structs import replace

from daemon.actors.verify.proving import DAMAGE, Case, EngineProver
from daemon.errors import Permanent
from daemon.storage.manifest import ShardObject
from daemon.storage.memory import MemoryStore, MemoryVault
from daemon.storage.sealing import Keyring, NoKeys, VaultKeys
from daemon.storage.vault import ObjectName
from daemon.valkey.engine import Engine, find_engines
from events.facts import Receipt
from projections.catalog import Backup
from tests.support.given import given
from tests.support.keys import IDENTITY, STRANGER, CountedTokens, sealing
from tests.support.offload import THREADS
from tests.support.samples import B1, MAIN, ORDERS, complete
from tests.support.servers import fill, start_node
from tests.support.sources import Board, caches, settings, take
from tests.support.storing import OBJECT, stored

pytestmark = pytest.mark.anyio

PLENTY = 1 << 40
LAST_FIELD = b"aof-base\xc0\x00"
"""Where the header ends. No opcode may be looked for instead: ``ctime`` before it has any bytes."""
_CRC = anycrc.Model("CRC64-REDIS")


def header(data: bytes) -> bytes:
    """An RDB's magic and its auxiliary fields."""
    fields, last, _ = data.partition(LAST_FIELD)
    assert last
    return fields + last


@pytest.fixture(scope="module")
async def engines() -> tuple[Engine, ...]:
    """Every engine here, the best one first."""
    return await find_engines(os.defpath)


@pytest.fixture(scope="module")
async def rdb(
    engines: tuple[Engine, ...], tmp_path_factory: pytest.TempPathFactory
) -> tuple[bytes, Backup]:
    """The RDB of a filled server, with a key that expires at once, and a backup that says so."""
    async with start_node(engines[0], tmp_path_factory.mktemp("n")) as node:
        client = node.client()
        await fill(client, keys=2_000)
        await client.set("short", "lived", px=1)
        taken = await take(caches(), settings(node.url))
        await client.aclose()
    backup = given(*complete()).catalog[ORDERS][B1]
    return taken.data, replace(backup, snapshot=taken.facts)


class Shop:
    """A stored backup and what proves it."""

    def __init__(self, backup: Backup, prover: EngineProver) -> None:
        self.memory = MemoryStore()
        self.board = Board()
        self.backup = backup
        self.prover = prover

    async def proven(self, shard: ShardObject, *, quick: bool = False) -> Receipt:
        """The receipt of what is stored."""
        vault = MemoryVault(self.memory)
        return await self.prover(Case(vault, self.backup, shard, quick, self.board))

    async def store(self, data: bytes, *, sealed: bool = False) -> ShardObject:
        """Store bytes as a backup's are."""
        how = sealing() if sealed else None
        return await stored(MemoryVault(self.memory), data, sealing=how)


@pytest.fixture
def shop(rdb: tuple[bytes, Backup], engines: tuple[Engine, ...], tmp_path: Path) -> Shop:
    """Nothing is stored yet; memory is free."""
    prover = EngineProver(THREADS, NoKeys(), engines, tmp_path / "e", lambda: PLENTY)
    return Shop(rdb[1], prover)


def with_crc(data: bytes) -> bytes:
    """The same RDB with the checksum that its bytes have."""
    return data[:-8] + int(_CRC.calc(data[:-8])).to_bytes(8, "little")


async def test_a_good_backup_is_loaded(shop: Shop, rdb: tuple[bytes, Backup]) -> None:
    """A private engine loads the bytes as they are read; nothing of them lies on a disk."""
    receipt = await shop.proven(await shop.store(rdb[0]))

    said = sum(shop.backup.snapshot.server.keys.values()) if shop.backup.snapshot else 0
    assert ("loaded", "") == (receipt.level, receipt.reason)
    assert receipt.engine == shop.prover.engines[0].label
    assert receipt.keys is not None
    assert receipt.expired is not None
    assert sum(receipt.keys_per_database.values()) <= receipt.keys
    assert said - 1 <= receipt.keys + receipt.expired <= said
    assert 9 in receipt.keys_per_database
    assert receipt.load_seconds is not None
    assert len(rdb[0]) == receipt.plain_bytes
    assert [] == list(shop.prover.directory.iterdir())
    assert any("holes in its RDB loader" in note for note in receipt.notes)


async def test_quick_stops_at_the_hashes(shop: Shop, rdb: tuple[bytes, Backup]) -> None:
    """Without an engine every block, the SHA-256 and the CRC-64 of the plain bytes are right."""
    receipt = await shop.proven(await shop.store(rdb[0]), quick=True)

    assert ("hashes", None, len(rdb[0])) == (receipt.level, receipt.engine, receipt.plain_bytes)
    assert "only the hashes" in receipt.reason


async def test_too_little_memory_is_parsed(shop: Shop, rdb: tuple[bytes, Backup]) -> None:
    """Where 1.3 times the source's memory is not free nothing is loaded, and the figures say so."""
    shop.prover = replace(shop.prover, free_bytes=lambda: 1_000_000)
    receipt = await shop.proven(await shop.store(rdb[0]))

    assert "parsed" == receipt.level
    assert "1,000,000 are free" in receipt.reason
    assert receipt.keys
    assert not shop.prover.directory.exists()


async def test_memory_that_does_not_do_is_no_damage(
    shop: Shop, rdb: tuple[bytes, Backup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that runs out of its limit of memory lowers the level; the backup is good."""
    monkeypatch.setattr("daemon.actors.verify.proving.ADDRESSES_BYTES", 8 << 20)
    receipt = await shop.proven(await shop.store(rdb[0]))

    assert "parsed" == receipt.level
    assert "could not load it" in receipt.reason or "ended by signal" in receipt.reason


async def test_no_engine_leaves_the_hashes(shop: Shop, rdb: tuple[bytes, Backup]) -> None:
    """Without an engine the receipt says that, and how far it went."""
    shop.prover = replace(shop.prover, engines=())
    receipt = await shop.proven(await shop.store(rdb[0]))

    assert "hashes" == receipt.level
    assert "no engine" in receipt.reason


async def test_a_version_that_no_engine_reads_is_no_damage(
    shop: Shop, rdb: tuple[bytes, Backup]
) -> None:
    """An RDB of a future version is proven by its hashes alone, whoever tells the version."""
    data = with_crc(b"VALKEY099" + rdb[0][9:])
    told = await shop.proven(await shop.store(data))
    assert shop.backup.snapshot is not None
    shop.backup = replace(shop.backup, snapshot=replace(shop.backup.snapshot, rdb_version=99))
    known = await shop.proven(await shop.store(data))

    assert ("hashes", "hashes") == (told.level, known.level)
    assert "could not load it" in told.reason
    assert "reads RDB version 99" in known.reason


def with_module(data: bytes) -> bytes:
    """The same with the value of a module before everything else: `modtype00` in its key `m`."""
    head = header(data)
    module_id = bytes([0x81]) + (0x1234567890ABC << 10 | 1).to_bytes(8, "big")
    value = b"\x07\x01m" + module_id + b"\x02\x05\x00"
    return with_crc(head + b"\xfe\x00" + value + data.removeprefix(head))


async def test_a_module_that_is_not_here_is_no_damage(
    shop: Shop, rdb: tuple[bytes, Backup]
) -> None:
    """A key of a module's type cannot be loaded here, and the backup is none the worse."""
    receipt = await shop.proven(await shop.store(with_module(rdb[0])))

    assert receipt.level in ("parsed", "hashes")
    assert "could not load it" in receipt.reason


async def test_bytes_that_an_engine_finds_broken_are_damage(
    shop: Shop, rdb: tuple[bytes, Backup]
) -> None:
    """A wrong RDB with the right hashes and checksum is found out by parsing it."""
    hash_of_rubbish = b"\xfe\x00\x10\x01k\x05xxxxx\xff"
    broken = with_crc(header(rdb[0]) + hash_of_rubbish + bytes(8))
    with pytest.raises(Permanent) as caught:
        await shop.proven(await shop.store(broken))

    assert ("rdb-broken", "parsed") == (caught.value.code, DAMAGE[caught.value.code])


@pytest.mark.parametrize("quick", [False, True])
async def test_a_flipped_bit_is_damage(
    shop: Shop, rdb: tuple[bytes, Backup], *, quick: bool
) -> None:
    """One bit of a stored block is named, at every level, and no engine stays behind."""
    shard = await shop.store(rdb[0])
    data = shop.memory.objects[OBJECT]
    half = len(data) // 2
    shop.memory.objects[OBJECT] = data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]
    with pytest.raises(Permanent, match="block 1 of 1") as caught:
        await shop.proven(shard, quick=quick)

    assert "block-damaged" == caught.value.code
    assert not shop.prover.directory.exists() or [] == list(shop.prover.directory.iterdir())


async def test_without_an_identity_the_stored_blocks_are_checked(
    shop: Shop, rdb: tuple[bytes, Backup], tmp_path: Path
) -> None:
    """An encrypted backup is loaded with its identity, and without it proven block by block."""
    shard = await shop.store(rdb[0], sealed=True)
    file = tmp_path / "identity"

    def keys(identity: str) -> Keyring:
        file.write_text(identity)
        return Keyring({MAIN: VaultKeys((), str(file))}, CountedTokens(), THREADS)

    without = await shop.proven(shard)
    shop.prover = replace(shop.prover, keys=keys(STRANGER))
    stranger = await shop.proven(shard)
    shop.prover = replace(shop.prover, keys=keys(IDENTITY))
    right = await shop.proven(shard)

    assert ("hashes", 0, shard.stored_bytes) == (
        without.level,
        without.plain_bytes,
        without.stored_bytes,
    )
    assert "encrypted" in without.reason
    assert ("hashes", 0) == (stranger.level, stranger.plain_bytes)
    assert ("loaded", len(rdb[0])) == (right.level, right.plain_bytes)


async def test_a_damaged_block_is_found_without_an_identity(
    shop: Shop, rdb: tuple[bytes, Backup]
) -> None:
    """The stored blocks of an encrypted backup tell of damage, though nobody can open them."""
    shard = await shop.store(rdb[0], sealed=True)
    name = ObjectName(shard.object)
    whole = shop.memory.objects[name]
    shop.memory.objects[name] = whole[:-1] + bytes([whole[-1] ^ 1])
    with pytest.raises(Permanent) as caught:
        await shop.proven(shard)

    assert "block-damaged" == caught.value.code
