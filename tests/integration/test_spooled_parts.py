"""Parts of an upload that are too large for memory: sent from the spool's files, and no file left.

The sizes are made small: all parts but the first are held to be too large.
"""

import hashlib
import os
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
from msgspec import Struct

from daemon.errors import Transient
from daemon.storage import names, parts
from daemon.storage.factory import Aids, open_vault
from daemon.storage.parts import SMALLEST_PART_BYTES, Means, new_body
from daemon.storage.s3 import S3Vault
from daemon.storage.s3_calls import Patience
from daemon.storage.s3_sums import Summing
from daemon.storage.spool import Bounds, Spool
from events.facts import BackupId, CacheName, ShardName
from tests.support.offload import THREADS
from tests.support.proxy import Fault, Proxy, proxy_before
from tests.support.s3 import S3Server, moto_s3

pytestmark = pytest.mark.anyio

CACHE, ID = CacheName("orders"), BackupId("20250101T000000Z-00000001")
OBJECT = names.shard_object(CACHE, ID, ShardName("0000"))
OWNER = "20260301T120000Z-00000001"
DATA = hashlib.shake_256(b"incompressible").digest(3 * SMALLEST_PART_BYTES + 12_345)
STEP = 700_000
QUICK = Patience(attempts=5, first_pause_seconds=0.01, longest_pause_seconds=0.02)
PREFIXES = count()


class Bench(Struct, frozen=True):
    """A vault with a spool, before it a proxy that checks all that is sent."""

    vault: S3Vault
    proxy: Proxy
    spool: Spool
    folder: Path

    async def store(self, rest: bytes = DATA) -> None:
        """One object of four parts, of which three are in files."""
        async with self.vault.create(OBJECT) as writer:
            while rest:
                piece, rest = rest[:STEP], rest[STEP:]
                await writer.write(piece)
            await writer.commit()

    def left(self) -> tuple[list[Path], int]:
        """What the spool still has."""
        return files(self.folder), self.spool.taken_bytes


def files(folder: Path) -> list[Path]:
    """All that is in a folder."""
    return sorted(folder.iterdir())


def checksum_of(data: bytes) -> bytes:
    """What S3 would say of it."""
    return hashlib.md5(data, usedforsecurity=False).digest()


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[S3Server]:
    """moto, because it forms ETags as AWS does."""
    async with moto_s3() as running:
        yield running


@pytest.fixture
async def bench(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    """With patience for more tries than there are faults: they may all fall upon one part."""
    monkeypatch.setattr(parts, "LARGEST_IN_MEMORY", SMALLEST_PART_BYTES - 1)
    spool = Spool(Bounds(str(tmp_path), OWNER, 1 << 30), THREADS)
    async with proxy_before(server.port) as proxy:
        settings = server.settings(f"spooled-{next(PREFIXES)}", port=proxy.port)
        vault = open_vault(settings, THREADS, lambda: 0.5, QUICK, Aids(spool=spool))
        assert isinstance(vault, S3Vault)
        try:
            yield Bench(vault, proxy, spool, tmp_path)
        finally:
            await vault.aclose()


async def test_parts_in_files_arrive_whole(bench: Bench) -> None:
    """The object is what was written, each part with true checksums, and no file is left."""
    await bench.store()

    assert bench.proxy.wrong == []
    assert await bench.vault.read(OBJECT, offset=0, length=len(DATA)) == DATA
    sizes = sorted(seen.size_bytes for seen in bench.proxy.seen if seen.operation == "part")
    assert sizes == [12_345, *[SMALLEST_PART_BYTES] * 3]
    assert bench.left() == ([], 0)


async def test_a_part_in_a_file_is_sent_again(bench: Bench) -> None:
    """A refused part and a broken connection are made good from the file."""
    bench.proxy.faults += [Fault("part", "refuse", times=3), Fault("part", "reset", times=1)]

    await bench.store()

    assert [fault.fired for fault in bench.proxy.faults] == [3, 1]
    assert await bench.vault.read(OBJECT, offset=0, length=len(DATA)) == DATA
    assert bench.left() == ([], 0)


async def test_an_upload_that_fails_leaves_no_file(bench: Bench) -> None:
    """Where no try helps, the upload's files are removed with it."""
    bench.proxy.faults.append(Fault("part", "refuse", times=99))

    with pytest.raises(Transient):
        await bench.store()

    assert bench.left() == ([], 0)
    assert await bench.vault.size(OBJECT) is None


async def test_a_file_that_lost_bytes_is_not_the_server_s_fault(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that cannot be read back from the disk is told as that, and is not stored."""
    digest = parts.FileBody.digest

    async def spoilt(body: parts.FileBody) -> bytes:
        for file in bench.folder.iterdir():
            os.truncate(file, 100)
        return await digest(body)

    monkeypatch.setattr(parts.FileBody, "digest", spoilt)

    with pytest.raises(Transient) as failed:
        await bench.store()

    assert failed.value.code == "spool-failed"
    assert bench.left() == ([], 0)
    assert await bench.vault.size(OBJECT) is None


async def test_large_parts_are_in_files_and_small_ones_are_not(tmp_path: Path) -> None:
    """By the true schedule the first 2,000 parts are in memory, and each one after is a file."""
    spool = Spool(Bounds(str(tmp_path), OWNER, 1 << 30), THREADS)
    means = Means(THREADS, Summing().running, spool)
    bodies = [await new_body(number, means) for number in (1, 2_000, 2_001, 10_000)]
    for body in bodies:
        await body.append(memoryview(b"abc"))

    assert len(files(tmp_path)) == 2
    assert {await body.digest() for body in bodies} == {checksum_of(b"abc")}
    for body in bodies:
        with body.open() as opened:
            assert opened.read() == b"abc"
        await body.remove()
    assert (files(tmp_path), spool.taken_bytes) == ([], 0)
