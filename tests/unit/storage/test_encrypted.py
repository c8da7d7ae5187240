"""Stored encrypted: nothing plain lies in the vault, and nothing unchecked comes out of it."""

import gc
import hashlib
import tracemalloc
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
import zstandard

from daemon.errors import Permanent
from daemon.storage import stages
from daemon.storage.local import DirectoryVault
from daemon.storage.manifest import ShardObject
from daemon.storage.memory import MemoryStore, MemoryVault
from daemon.storage.pipeline import Packing, store
from daemon.storage.reader import WITHHELD_BYTES, Reading, check_opens, read_plain
from daemon.storage.sealing import Identities
from daemon.storage.vault import ObjectName, Vault
from tests.support.keys import (
    BOTH,
    IDENTITY,
    OTHER_IDENTITY,
    RECIPIENT,
    STRANGER,
    held,
    opened,
    sealing,
)
from tests.support.offload import THREADS
from tests.support.storing import OBJECT, shard_of, stored, unpacked

pytestmark = pytest.mark.anyio

MIB = 1 << 20
CHUNK = 64 << 10
CANARY = hashlib.shake_256(b"canary").digest(256)
PLAIN = CANARY + hashlib.shake_256(b"plain").digest(MIB) + bytes(300_000) + CANARY


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 64 KiB, so that small objects have many."""
    monkeypatch.setattr(stages, "BLOCK_BYTES", 65_536)


async def kept(plain: bytes = PLAIN, *recipients: str) -> tuple[MemoryStore, ShardObject]:
    """Stored by the pipeline, encrypted."""
    objects = MemoryStore()
    return objects, await stored(MemoryVault(objects), plain, sealing=sealing(*recipients))


async def refused(
    vault: Vault, shard: ShardObject, code: str, identities: Identities | None = None
) -> Permanent:
    """Reading fails for good with this code, names the object, and withholds the tail."""
    got: list[bytes] = []
    with pytest.raises(Permanent) as failed:
        await unpacked(vault, shard, into=got, identities=identities or held())
    assert failed.value.code == code
    assert OBJECT in failed.value.message
    assert failed.value.hint
    assert sum(map(len, got)) <= max(0, shard.plain_bytes - WITHHELD_BYTES)
    assert PLAIN.startswith(b"".join(got))
    return failed.value


@pytest.mark.parametrize("size", [0, 1, CHUNK, MIB, len(PLAIN)])
async def test_what_was_stored_comes_back(size: int) -> None:
    """Any number of bytes is stored encrypted and read back exactly, and says how and to whom."""
    objects, shard = await kept(PLAIN[:size], *BOTH)
    assert (shard.codecs, shard.recipients) == (("zstd", "age"), BOTH)
    for identity in (IDENTITY, OTHER_IDENTITY):
        got = await unpacked(MemoryVault(objects), shard, identities=held(identity))
        assert got == PLAIN[:size]


async def test_another_program_opens_what_is_stored() -> None:
    """What lies in the vault is an age file of one zstd frame: no format of our own (V1)."""
    objects, shard = await kept()
    data = objects.objects[OBJECT]
    frame = opened(data)
    assert zstandard.ZstdDecompressor().decompressobj().decompress(frame) == PLAIN
    offset = 0
    for block in shard.blocks:
        part = data[offset : offset + block.size_bytes]
        assert block.sha256 == hashlib.sha256(part).hexdigest()
        offset += block.size_bytes
    assert offset == len(data) == shard.stored_bytes


@pytest.mark.debian("age", "zstd")
async def test_what_the_programs_made_is_read(tmp_path: Path) -> None:
    """`zstd | age` makes an object that the reader takes for its own."""
    zstd = await anyio.run_process(["zstd", "-c"], input=PLAIN)
    age = await anyio.run_process(["age", "-r", RECIPIENT], input=zstd.stdout)
    parts = [age.stdout[at : at + CHUNK] for at in range(0, len(age.stdout), CHUNK)]
    vault = MemoryVault(MemoryStore({OBJECT: age.stdout}))
    shard = shard_of(parts, PLAIN, codecs=("zstd", "age"))
    assert await unpacked(vault, shard, identities=held()) == PLAIN


async def test_nothing_plain_lies_in_the_vault(tmp_path: Path) -> None:
    """Bytes that can be seen in an object that is not encrypted are nowhere in one that is."""
    vault = DirectoryVault(str(tmp_path), THREADS)
    await stored(vault, PLAIN)
    assert await vault_holds(tmp_path, CANARY)
    await stored(vault, PLAIN, sealing=sealing())
    assert not await vault_holds(tmp_path, CANARY)
    assert not await vault_holds(tmp_path, zstandard.MAGIC_NUMBER.to_bytes(4, "little"))


async def vault_holds(folder: Path, wanted: bytes) -> bool:
    """Whether any file of a folder, hidden or not, holds these bytes."""
    files = [path async for path in anyio.Path(folder).rglob("*") if await path.is_file()]
    assert files
    return any([wanted in await path.read_bytes() for path in files])


async def test_every_block_s_damage_is_found() -> None:
    """One flipped bit in any block of the ciphertext is found before it is decrypted."""
    objects, shard = await kept()
    whole = objects.objects[OBJECT]
    assert len(shard.blocks) > 15
    offset = 0
    for number, block in enumerate(shard.blocks, 1):
        for at in (0, block.size_bytes // 2, block.size_bytes - 1):
            changed = bytearray(whole)
            changed[offset + at] ^= 1
            objects.objects[OBJECT] = bytes(changed)
            failure = await refused(MemoryVault(objects), shard, "block-damaged")
            assert f"block {number} of {len(shard.blocks)}" in failure.message
        offset += block.size_bytes


@pytest.mark.parametrize("left", [0, 1, 168, CHUNK + 184, -CHUNK, -1])
async def test_a_shortened_object_is_not_begun(left: int) -> None:
    """A ciphertext that is shorter than its manifest says gives no byte."""
    objects, shard = await kept()
    objects.objects[OBJECT] = objects.objects[OBJECT][:left]
    await refused(MemoryVault(objects), shard, "object-size")


def blocks(data: bytes) -> Sequence[bytes]:
    """Cut as the pipeline cuts."""
    return [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]


def sealed(plain: bytes) -> bytes:
    """An age file of ours."""
    stage = sealing().stage()
    return b"".join((*stage.feed(plain), *stage.finish()))


FRAME = zstandard.compress(PLAIN)
GOOD = sealed(FRAME)
BOMB = sealed(zstandard.compress(bytes(256 * MIB)))
LIES = {
    "cut between two chunks": GOOD[: -(len(FRAME) % CHUNK) - 16],
    "cut in a chunk": GOOD[:-1],
    "a chunk twice": GOOD[: 184 + CHUNK] + GOOD[184 - 16 :],
    "a flipped bit": GOOD[:5_000] + bytes([GOOD[5_000] ^ 1]) + GOOD[5_001:],
    "a changed header": GOOD.replace(b"-> X25519", b"-> GREASE x\n\n-> X25519", 1),
    "something behind": GOOD + b"x",
    "no age file": FRAME,
    "nothing": b"",
    "half a frame": sealed(FRAME[:-5]),
    "two frames": sealed(FRAME * 2),
    "no frame": sealed(PLAIN),
    "other plain bytes": sealed(zstandard.compress(PLAIN[:-1] + b"x")),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_manifest_that_does_not_fit_is_found(lie: str) -> None:
    """Blocks that match their hashes and do not decrypt or unpack to the backup are a mismatch."""
    shard = shard_of(blocks(LIES[lie]), PLAIN, codecs=("zstd", "age"))
    await refused(MemoryVault(MemoryStore({OBJECT: LIES[lie]})), shard, "manifest-mismatch")


async def test_a_bomb_within_is_stopped_in_time() -> None:
    """What unpacks to far more than its manifest says is given up in little memory."""
    shard = shard_of(blocks(BOMB), PLAIN, codecs=("zstd", "age"))
    vault = MemoryVault(MemoryStore({OBJECT: BOMB}))
    gc.collect()
    tracemalloc.start()
    try:
        with pytest.raises(Permanent):
            await unpacked(vault, shard, identities=held())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 16 * MIB


async def test_without_the_right_identity_nothing_is_read() -> None:
    """No identity, and another one, are refused before the first byte, naming who could."""
    objects, shard = await kept()
    vault = MemoryVault(objects)
    wrong = await refused(vault, shard, "identity", held(STRANGER))
    assert RECIPIENT in wrong.hint
    with pytest.raises(Permanent) as none:
        await unpacked(vault, shard)
    assert none.value.code == "identity"


async def test_whether_it_opens_is_found_out_beforehand() -> None:
    """The first block alone tells whether an identity fits, and whether it is whole."""
    objects, shard = await kept()
    vault = MemoryVault(objects)
    await check_opens(vault, shard, Reading(THREADS, identities=held()))
    for identities in (None, held(STRANGER)):
        with pytest.raises(Permanent) as failed:
            await check_opens(vault, shard, Reading(THREADS, identities=identities))
        assert failed.value.code == "identity"
    objects.objects[OBJECT] = b"X" + objects.objects[OBJECT][1:]
    with pytest.raises(Permanent) as failed:
        await check_opens(vault, shard, Reading(THREADS, identities=held()))
    assert failed.value.code == "block-damaged"


async def test_what_is_not_encrypted_is_not_looked_into() -> None:
    """For an object that needs no identity the vault is not even asked."""
    shard = await stored(MemoryVault(), PLAIN)
    await check_opens(MemoryVault(), shard, Reading(THREADS))


@pytest.mark.parametrize("error", [KeyError("bug"), None])
async def test_an_attempt_that_fails_or_is_cancelled_leaves_nothing(
    tmp_path: Path, error: Exception | None
) -> None:
    """Neither a file nor a task is left of an encrypted store that was cut off in the middle."""
    with anyio.CancelScope() as scope:

        async def cut_off() -> AsyncGenerator[bytes, None]:
            for _ in range(20):
                yield PLAIN
            if error:
                raise error
            scope.cancel()
            await anyio.sleep_forever()

        vault = DirectoryVault(str(tmp_path), THREADS)
        async with aclosing(cut_off()) as source:
            try:
                await store(source, vault, OBJECT, Packing(THREADS, sealing=sealing()))
            except KeyError as caught:
                assert caught is error  # noqa: PT017 - being cancelled is the other way out
    assert scope.cancelled_caught == (error is None)
    left = [path async for path in anyio.Path(tmp_path).rglob("*") if await path.is_file()]
    assert left == []


async def test_memory_does_not_grow_with_the_stream(tmp_path: Path) -> None:
    """100 MiB for twenty recipients need no more than 40 MiB, there and back."""
    vault = DirectoryVault(str(tmp_path), THREADS)
    noise = hashlib.shake_256(b"noise").digest(MIB)

    async def source() -> AsyncGenerator[bytes, None]:
        for _ in range(100):
            yield noise

    packing = Packing(THREADS, sealing=sealing(*[RECIPIENT] * 20))
    gc.collect()
    tracemalloc.start()
    try:
        async with aclosing(source()) as plain:
            shard = await store(plain, vault, ObjectName("x"), packing)
        _, stored_peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        async with read_plain(vault, shard, Reading(THREADS, identities=held())) as got:
            read_bytes = sum([len(chunk) async for chunk in got])
        _, read_peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read_bytes == 100 * MIB
    assert max(stored_peak_bytes, read_peak_bytes) < 40 * MIB
