"""Nothing unchecked is given back: whatever is wrong, the tail is withheld (R5)."""

import hashlib
from collections.abc import Callable

import anyio
import pytest
import zstandard

from daemon.errors import Permanent, Transient
from daemon.storage import stages
from daemon.storage.manifest import ShardObject
from daemon.storage.memory import MemoryStore, MemoryVault
from daemon.storage.reader import WITHHELD_BYTES, Reading, check_first, read_first, read_plain
from daemon.storage.vault import ObjectName
from tests.support.offload import THREADS
from tests.support.storing import OBJECT, shard_of, stored, unpacked

pytestmark = pytest.mark.anyio

MIB = 1 << 20
PLAIN = hashlib.shake_256(b"plain").digest(MIB) + bytes(300_000)
SMALL = PLAIN[:1_000]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 64 KiB, so that small objects have many."""
    monkeypatch.setattr(stages, "BLOCK_BYTES", 65_536)


class Kept:
    """A stored object whose bytes a test may change."""

    def __init__(self, shard: ShardObject, objects: MemoryStore) -> None:
        self.shard = shard
        self.objects = objects
        self.vault = MemoryVault(objects)

    def change(self, how: Callable[[bytearray], object]) -> None:
        """Change the stored bytes in place."""
        data = bytearray(self.objects.objects[OBJECT])
        how(data)
        self.objects.objects[OBJECT] = bytes(data)


async def kept(plain: bytes = PLAIN) -> Kept:
    """Stored by the pipeline."""
    objects = MemoryStore()
    return Kept(await stored(MemoryVault(objects), plain), objects)


def laid(data: bytes, shard: ShardObject) -> Kept:
    """Stored by hand, described as the test likes."""
    return Kept(shard, MemoryStore({OBJECT: data}))


async def refused(subject: Kept, code: str) -> Permanent:
    """Reading fails for good with this code, names the object, and withholds the tail."""
    got: list[bytes] = []
    with pytest.raises(Permanent) as failed:
        await unpacked(subject.vault, subject.shard, into=got)
    assert failed.value.code == code
    assert OBJECT in failed.value.message
    assert failed.value.hint
    assert sum(map(len, got)) <= max(0, subject.shard.plain_bytes - WITHHELD_BYTES)
    return failed.value


@pytest.mark.parametrize(
    "size_bytes",
    [0, 1, WITHHELD_BYTES - 1, WITHHELD_BYTES, WITHHELD_BYTES + 1, MIB, len(PLAIN)],
)
async def test_what_was_stored_comes_back(size_bytes: int) -> None:
    """Any number of bytes is read back exactly."""
    subject = await kept(PLAIN[:size_bytes])
    assert await unpacked(subject.vault, subject.shard) == PLAIN[:size_bytes]


async def test_the_tail_comes_last_and_alone() -> None:
    """The last 64 KiB are one chunk, given after everything has been checked."""
    subject = await kept()
    got: list[bytes] = []
    await unpacked(subject.vault, subject.shard, into=got)
    assert len(got[-1]) == WITHHELD_BYTES
    assert max(map(len, got)) <= MIB


async def test_every_block_s_damage_is_found() -> None:
    """One flipped bit in any block, at its ends or its middle, is found and the block named."""
    subject = await kept()
    whole = subject.objects.objects[OBJECT]
    assert len(subject.shard.blocks) > 15
    offset = 0
    for number, block in enumerate(subject.shard.blocks, 1):
        for at in (0, block.size_bytes // 2, block.size_bytes - 1):
            changed = bytearray(whole)
            changed[offset + at] ^= 1
            subject.objects.objects[OBJECT] = bytes(changed)
            failure = await refused(subject, "block-damaged")
            assert f"block {number} of {len(subject.shard.blocks)}" in failure.message
        offset += block.size_bytes


@pytest.mark.parametrize("bytes_left", [0, 1, 65_535, 65_536, 65_537, -65_537, -1])
async def test_a_shortened_object_is_not_begun(bytes_left: int) -> None:
    """An object that is shorter than its manifest says gives no byte."""
    subject = await kept()
    subject.change(lambda data: data.__delitem__(slice(bytes_left, None)))
    await refused(subject, "object-size")


@pytest.mark.parametrize("tail", [b"\0", b"garbage", zstandard.compress(b"more")])
async def test_a_lengthened_object_is_not_begun(tail: bytes) -> None:
    """An object that is longer than its manifest says gives no byte."""
    subject = await kept()
    subject.change(lambda data: data.extend(tail))
    await refused(subject, "object-size")


async def test_a_missing_object_is_said_to_be_missing() -> None:
    """An object that is not there is not damaged but missing."""
    subject = await kept()
    del subject.objects.objects[OBJECT]
    await refused(subject, "object-missing")


async def test_blocks_in_another_order_are_found() -> None:
    """Two blocks of equal size that have changed places are both damaged."""
    subject = await kept()

    def swap(data: bytearray) -> None:
        data[:65_536], data[65_536:131_072] = data[65_536:131_072], data[:65_536]

    subject.change(swap)
    failure = await refused(subject, "block-damaged")
    assert "block 1 " in failure.message


FRAME = zstandard.compress(SMALL)
LIES = {
    "other plain bytes": (FRAME, shard_of([FRAME], b"y" * len(SMALL))),
    "more plain bytes": (FRAME, shard_of([FRAME], SMALL + b"y")),
    "fewer plain bytes": (FRAME, shard_of([FRAME], SMALL[:-1])),
    "two frames": (FRAME * 2, shard_of([FRAME, FRAME], SMALL * 2)),
    "garbage behind": (FRAME + b"x", shard_of([FRAME + b"x"], SMALL)),
    "half a frame": (FRAME[:-5], shard_of([FRAME[:-5]], SMALL)),
    "no frame": (SMALL, shard_of([SMALL], SMALL)),
    "nothing": (b"", shard_of([], SMALL)),
    "a bomb": (zstandard.compress(bytes(64 * MIB)), shard_of([], b"")),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_manifest_that_does_not_fit_is_found(lie: str) -> None:
    """Blocks that match and bytes that do not are a mismatch, found before the tail."""
    data, shard = LIES[lie]
    if lie == "a bomb":
        shard = shard_of([data], bytes(2 * MIB))
    await refused(laid(data, shard), "manifest-mismatch")


async def test_a_guard_has_the_last_word() -> None:
    """A guard that finds the plain bytes wrong keeps the tail back, for good."""

    class Guard:
        def feed(self, chunk: bytes) -> None:
            """Takes anything."""

        def finish(self) -> None:
            """Refuses."""
            raise Transient("rdb-checksum", "wrong", "look")

    subject = await kept()
    got: list[bytes] = []
    with pytest.raises(Permanent) as failed:
        await unpacked(subject.vault, subject.shard, Guard(), into=got)
    assert failed.value.code == "rdb-checksum"
    assert sum(map(len, got)) <= len(PLAIN) - WITHHELD_BYTES


async def test_damage_on_the_way_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that comes wrong once and right the second time is right."""
    subject = await kept()
    read = MemoryVault.read
    spoilt: list[int] = []

    async def once_wrong(
        vault: MemoryVault, name: ObjectName, *, offset: int, length: int
    ) -> bytes:
        data = await read(vault, name, offset=offset, length=length)
        if offset in spoilt:
            return data
        spoilt.append(offset)
        return bytes(len(data))

    monkeypatch.setattr(MemoryVault, "read", once_wrong)
    assert await unpacked(subject.vault, subject.shard) == PLAIN
    assert len(spoilt) == len(subject.shard.blocks)


async def test_a_vault_that_fails_is_told_by_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vault's own error comes out of the chunks, and before the tail."""
    subject = await kept()
    read = MemoryVault.read

    async def failing(vault: MemoryVault, name: ObjectName, *, offset: int, length: int) -> bytes:
        if offset > 500_000:
            raise Transient("vault-busy", "busy", "wait")
        return await read(vault, name, offset=offset, length=length)

    monkeypatch.setattr(MemoryVault, "read", failing)
    got: list[bytes] = []
    with pytest.raises(Transient) as failed:
        await unpacked(subject.vault, subject.shard, into=got)
    assert failed.value.code == "vault-busy"
    assert 300_000 < sum(map(len, got)) < len(PLAIN) - WITHHELD_BYTES


async def test_a_reader_may_leave_in_the_middle() -> None:
    """Whoever has enough, or fails itself, leaves no task behind and keeps its own error."""
    subject = await kept()

    async def fail() -> None:
        async with read_plain(subject.vault, subject.shard, Reading(THREADS)) as plain:
            async for _ in plain:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with read_plain(subject.vault, subject.shard, Reading(THREADS)) as plain:
        async for _ in plain:
            break


async def test_reading_ahead_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody takes chunks, a few blocks are fetched and then no more."""
    subject = await kept()
    asked: list[int] = []
    read = MemoryVault.read

    async def counting(vault: MemoryVault, name: ObjectName, *, offset: int, length: int) -> bytes:
        asked.append(offset)
        return await read(vault, name, offset=offset, length=length)

    monkeypatch.setattr(MemoryVault, "read", counting)
    async with read_plain(subject.vault, subject.shard, Reading(THREADS)) as plain:
        await anext(plain)
        await anyio.wait_all_tasks_blocked()
        assert len(asked) <= 6  # a step may need three blocks, and two are ahead
    assert len(asked) < len(subject.shard.blocks)


async def test_an_unknown_codec_is_not_guessed_at() -> None:
    """Codecs that this version cannot undo are refused by name."""
    subject = await kept()
    shard = ShardObject(
        **{field: getattr(subject.shard, field) for field in ShardObject.__struct_fields__}
        | {"codecs": ("age", "zstd")}
    )
    await refused(Kept(shard, subject.objects), "codec-unknown")


async def test_the_first_bytes_are_given_when_their_block_is_right() -> None:
    """A look at the beginning finds damage there; damage at the end is for the whole reading."""
    subject = await kept()
    reading = Reading(THREADS)
    beginning = await read_first(subject.vault, subject.shard, reading)
    assert beginning
    assert PLAIN.startswith(beginning)

    subject.change(lambda data: data.__setitem__(-1, data[-1] ^ 1))
    assert await read_first(subject.vault, subject.shard, reading) == beginning
    await check_first(subject.vault, subject.shard, THREADS)

    subject.change(lambda data: data.__setitem__(0, data[0] ^ 1))
    for look in (
        read_first(subject.vault, subject.shard, reading),
        check_first(subject.vault, subject.shard, THREADS),
    ):
        with pytest.raises(Permanent) as failed:
            await look
        assert failed.value.code == "block-damaged"
