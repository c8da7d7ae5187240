"""What every vault promises, tried on memory, a directory, rclone's S3 and moto's (V5).

`Subject.leftovers` looks past the protocol: at temporary files and unfinished uploads.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from itertools import count
from pathlib import Path

import anyio
import pytest
from msgspec import Struct

from daemon.errors import Permanent, Transient
from daemon.storage import names, s3
from daemon.storage.factory import open_vault
from daemon.storage.memory import MemoryStore, MemoryVault
from daemon.storage.parts import SMALLEST_PART_BYTES
from daemon.storage.s3 import S3Vault
from daemon.storage.settings import VaultSettings
from daemon.storage.vault import ObjectInfo, ObjectName, Vault
from events.facts import BackupId, CacheName, ShardName
from tests.support.offload import THREADS
from tests.support.s3 import S3Server, moto_s3, rclone_s3

pytestmark = pytest.mark.anyio

CACHE = CacheName("orders")
ONE, TWO = BackupId("20250101T000000Z-00000001"), BackupId("20250102T000000Z-00000002")
FOLDER = names.backup_folder(CACHE, ONE)
OBJECT = names.shard_object(CACHE, ONE, ShardName("0000"))
MANIFEST = names.manifest_object(CACHE, ONE)
PREFIXES = count()
MIB = 1 << 20
DATA = hashlib.shake_256(b"incompressible").digest(3 * SMALLEST_PART_BYTES)


class Subject(Struct, frozen=True):
    """A vault under test, and how many unfinished things lie in it.

    `conditional`: it can decide "only if there is none" by itself. rclone passes over
    ``If-None-Match``, and so do other S3 servers.
    """

    vault: Vault
    leftovers: Callable[[], Awaitable[int]]
    conditional: bool = True


@asynccontextmanager
async def memory(servers: "Servers", directory: Path) -> AsyncIterator[Subject]:
    """A vault in memory."""
    store = MemoryStore()

    async def leftovers() -> int:
        return len(store.uploads)

    yield Subject(MemoryVault(store), leftovers)


@asynccontextmanager
async def local(servers: "Servers", directory: Path) -> AsyncIterator[Subject]:
    """A vault in a directory."""

    async def leftovers() -> int:
        files = [path async for path in anyio.Path(directory).rglob("*")]
        return len([path for path in files if path.name.startswith(".")])

    yield Subject(open_vault(VaultSettings(f"file://{directory}"), THREADS, lambda: 0.5), leftovers)


@asynccontextmanager
async def in_s3(server: S3Server, *, conditional: bool) -> AsyncIterator[Subject]:
    """A vault under a prefix of its own."""
    vault = open_vault(server.settings(f"vault-{next(PREFIXES)}"), THREADS, lambda: 0.5)
    assert isinstance(vault, S3Vault)

    async def leftovers() -> int:
        async with aclosing(vault._uploads("")) as uploads:
            return len([upload async for upload in uploads])

    try:
        yield Subject(vault, leftovers, conditional)
    finally:
        await vault.aclose()


class Servers(Struct, frozen=True):
    """Real S3 servers that all tests of this file share."""

    rclone: S3Server
    moto: S3Server


@pytest.fixture(scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Both S3 servers, running."""
    async with AsyncExitStack() as stack:
        rclone = await stack.enter_async_context(rclone_s3(tmp_path_factory.mktemp("rclone")))
        yield Servers(rclone, await stack.enter_async_context(moto_s3()))


@pytest.fixture(params=["memory", "directory", "rclone", "moto"])
async def subject(
    request: pytest.FixtureRequest, servers: Servers, tmp_path: Path
) -> AsyncIterator[Subject]:
    """An empty vault of each kind in turn."""
    opened = {
        "memory": memory(servers, tmp_path),
        "directory": local(servers, tmp_path),
        "rclone": in_s3(servers.rclone, conditional=False),
        "moto": in_s3(servers.moto, conditional=True),
    }[request.param]
    async with opened as made:
        yield made


@pytest.fixture
def vault(subject: Subject) -> Vault:
    """The vault alone."""
    return subject.vault


async def listed(vault: Vault, prefix: str = "") -> list[ObjectInfo]:
    """A whole listing."""
    async with aclosing(vault.list(prefix)) as found:
        return [info async for info in found]


async def stored(vault: Vault, name: ObjectName, data: bytes, step: int = MIB) -> None:
    """Write an object in steps and commit it."""
    async with vault.create(name) as writer:
        for begin in range(0, len(data), step):
            await writer.write(data[begin : begin + step])
        await writer.commit()


async def test_a_small_object_comes_back(vault: Vault) -> None:
    """What was put is what is got, and a second put replaces it."""
    assert await vault.get(MANIFEST, 100) is None
    for data in (b"first", b"", b"second"):
        await vault.put(MANIFEST, data)
        assert await vault.get(MANIFEST, 100) == data
        assert await vault.size(MANIFEST) == len(data)


async def test_an_object_above_the_limit_is_refused(vault: Vault) -> None:
    """Whoever asks for a small object never gets a large one."""
    await vault.put(MANIFEST, b"x" * 101)
    with pytest.raises(Permanent) as refused:
        await vault.get(MANIFEST, 100)
    assert refused.value.code == "object-too-large"


async def test_only_the_first_new_object_is_new(vault: Vault) -> None:
    """`put_new` leaves what is there and says so."""
    assert await vault.put_new(names.OWNER, b"first")
    assert not await vault.put_new(names.OWNER, b"second")
    assert await vault.get(names.OWNER, 100) == b"first"


async def test_of_many_new_objects_one_is_first(subject: Subject) -> None:
    """Of many who put a new object at once one is told that it was first, and its bytes stay.

    A server that cannot decide it may have others told to try again: they have stored nothing.
    """
    won: list[bytes] = []
    contested: list[bytes] = []

    async def put(data: bytes) -> None:
        try:
            if await subject.vault.put_new(names.OWNER, data):
                won.append(data)
        except Transient:
            contested.append(data)

    async with anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(put, b"%d" % number)
    assert [await subject.vault.get(names.OWNER, 100)] == won
    assert not contested or not subject.conditional
    assert [names.OWNER] == [info.name for info in await listed(subject.vault)]


@pytest.mark.parametrize("size_bytes", [0, 1, 1_000_003])
async def test_an_object_of_any_size_comes_back(vault: Vault, size_bytes: int) -> None:
    """A written object has exactly the bytes that were written."""
    await stored(vault, OBJECT, DATA[:size_bytes], step=65_537)
    assert await vault.size(OBJECT) == size_bytes
    assert await vault.read(OBJECT, offset=0, length=size_bytes) == DATA[:size_bytes]


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("more_bytes", [-1, 0, 1])
async def test_part_borders_do_not_show(vault: Vault, parts: int, more_bytes: int) -> None:
    """Objects that end at, before and after the border of a part come back whole."""
    data = DATA[: parts * SMALLEST_PART_BYTES + more_bytes]
    await stored(vault, OBJECT, data, step=3 * MIB)
    assert await vault.size(OBJECT) == len(data)
    assert await vault.read(OBJECT, offset=0, length=len(data)) == data


async def test_ranges_are_exact(vault: Vault) -> None:
    """A range has the bytes asked for, at the borders too, and an empty one is empty."""
    await stored(vault, OBJECT, DATA[:MIB])
    for offset, length in [(0, 1), (0, MIB), (MIB - 1, 1), (4_321, 98_765), (7, 0), (MIB, 0)]:
        got = await vault.read(OBJECT, offset=offset, length=length)
        assert got == DATA[offset : offset + length]


@pytest.mark.parametrize(("offset", "length"), [(0, 101), (99, 2), (100, 1), (5_000, 1)])
async def test_a_range_past_the_end_is_an_error(vault: Vault, offset: int, length: int) -> None:
    """Fewer bytes than asked for are never given silently."""
    await vault.put(MANIFEST, b"x" * 100)
    with pytest.raises(Permanent) as short:
        await vault.read(MANIFEST, offset=offset, length=length)
    assert short.value.code == "object-short"
    assert vault.url in short.value.message


@pytest.mark.parametrize("length", [0, 1])
async def test_a_missing_object_cannot_be_read(vault: Vault, length: int) -> None:
    """Reading what is not there says that it is not there."""
    with pytest.raises(Permanent) as absent:
        await vault.read(OBJECT, offset=0, length=length)
    assert absent.value.code == "object-missing"
    assert await vault.size(OBJECT) is None


async def test_an_object_appears_at_commit(vault: Vault) -> None:
    """Until the commit an old object stays as it was, and a new one does not exist."""
    await vault.put(MANIFEST, b"old")
    async with vault.create(MANIFEST) as replacing, vault.create(OBJECT) as adding:
        await replacing.write(b"new")
        await adding.write(DATA)
        assert await vault.get(MANIFEST, 100) == b"old"
        assert await listed(vault) == [ObjectInfo(MANIFEST, 3)]
        await replacing.commit()
        await adding.commit()
        assert await vault.get(MANIFEST, 100) == b"new"
    assert await listed(vault) == [ObjectInfo(OBJECT, len(DATA)), ObjectInfo(MANIFEST, 3)]


async def test_a_writer_left_alone_leaves_nothing(subject: Subject) -> None:
    """Leaving a writer without a commit removes what was sent."""
    for size_bytes in (1, 3 * MIB, len(DATA)):
        async with subject.vault.create(OBJECT) as writer:
            await writer.write(DATA[:size_bytes])
    assert await listed(subject.vault) == []
    assert await subject.leftovers() == 0


async def test_a_writer_that_fails_leaves_nothing(subject: Subject) -> None:
    """The error of whoever writes comes through as it is, and what was sent is removed."""

    async def fail() -> None:
        async with subject.vault.create(OBJECT) as writer:
            await writer.write(DATA)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await listed(subject.vault) == []
    assert await subject.leftovers() == 0


async def test_a_cancelled_writer_leaves_nothing(subject: Subject) -> None:
    """Cancellation in the middle of writing removes what was sent."""
    with anyio.CancelScope() as scope:
        async with subject.vault.create(OBJECT) as writer:
            await writer.write(DATA)
            scope.cancel()
            await writer.commit()
    assert scope.cancelled_caught
    assert await listed(subject.vault) == []
    assert await subject.leftovers() == 0


async def test_writers_do_not_disturb_each_other(vault: Vault) -> None:
    """Objects written at the same time are each what their writer wrote."""
    shards = [names.shard_object(CACHE, ONE, ShardName(f"{number:04}")) for number in range(6)]
    async with anyio.create_task_group() as tasks:
        for number, name in enumerate(shards):
            tasks.start_soon(stored, vault, name, DATA[number : number + 9 * MIB])
    for number, name in enumerate(shards):
        data = DATA[number : number + 9 * MIB]
        assert await vault.read(name, offset=0, length=len(data)) == data


async def test_a_listing_is_complete_and_sorted(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More objects than two pages have are all listed, in the order of their whole names."""
    monkeypatch.setattr(s3, "PAGE_KEYS", 50)
    made = [ObjectName(f"caches/{'a' * (1 + n % 3)}/x{n}.rdb") for n in range(153)]
    made += [ObjectName("caches/a.b/x"), ObjectName("caches/a-b/x"), names.OWNER]
    limiter = anyio.CapacityLimiter(8)

    async def put(name: ObjectName) -> None:
        async with limiter:
            await vault.put(name, b"x")

    async with anyio.create_task_group() as tasks:
        for name in made:
            tasks.start_soon(put, name)
    assert [info.name for info in await listed(vault)] == sorted(made)
    for prefix in ("caches/aa/", "caches/a", "caches/aaa/x11", "valkeep.json", "caches/none/"):
        expected = sorted(name for name in made if name.startswith(prefix))
        assert [info.name for info in await listed(vault, prefix)] == expected


async def test_deleting_may_be_repeated(vault: Vault) -> None:
    """What is deleted is gone, and deleting what is not there succeeds."""
    await vault.put(MANIFEST, b"x")
    for _ in range(2):
        await vault.delete(MANIFEST)
        assert await vault.size(MANIFEST) is None
    assert await listed(vault) == []


async def test_clearing_takes_one_folder_whole(subject: Subject) -> None:
    """`clear` removes objects and unfinished writing of one backup and nothing of another."""
    vault = subject.vault
    others = names.manifest_object(CACHE, TWO)
    for name in (OBJECT, MANIFEST, others):
        await vault.put(name, b"x")
    async with vault.create(names.shard_object(CACHE, ONE, ShardName("0001"))) as writer:
        await writer.write(DATA)
        assert await subject.leftovers() == 1
        await vault.clear(FOLDER)
        assert await subject.leftovers() == 0
    await vault.clear(FOLDER)
    assert [info.name for info in await listed(vault)] == [others]


@pytest.mark.parametrize(
    "prefix", ["", "/", "caches/", f"caches/{CACHE}/", FOLDER[:-1], FOLDER[:-9], f"{FOLDER}0000/"]
)
async def test_only_a_backup_s_folder_can_be_cleared(vault: Vault, prefix: str) -> None:
    """A prefix that is not the folder of exactly one backup clears nothing."""
    await vault.put(MANIFEST, b"x")
    with pytest.raises(ValueError, match="not the folder of one backup"):
        await vault.clear(prefix)
    assert await vault.size(MANIFEST) == 1


@pytest.mark.parametrize("name", ["../x", "/x", "a//b", "a/./b", ".x", "a/.x", "", "a/", "a\0b"])
async def test_a_name_that_leads_elsewhere_is_refused(vault: Vault, name: str) -> None:
    """No call takes a name that could mean more than itself."""
    with pytest.raises(ValueError, match="not an object name"):
        await vault.put(ObjectName(name), b"x")
    with pytest.raises(ValueError, match="not an object name"):
        await vault.delete(ObjectName(name))
    with pytest.raises(ValueError, match="not an object name"):
        await stored(vault, ObjectName(name), b"x")
    assert await listed(vault) == []
