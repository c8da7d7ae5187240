"""S3 when servers and lines fail: the result is right or a clear error, and nothing stays.

A proxy before a real server checks every request and injects the faults.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from itertools import count

import anyio
import msgspec
import pytest
from msgspec import Struct

from daemon.errors import Failed, Permanent, Transient
from daemon.storage import names
from daemon.storage.factory import open_vault
from daemon.storage.parts import SMALLEST_PART_BYTES
from daemon.storage.s3 import S3Vault
from daemon.storage.s3_calls import Patience
from daemon.storage.s3_uploads import abort_upload, begin_upload
from events.facts import BackupId, CacheName, ShardName
from tests.support.offload import THREADS
from tests.support.proxy import Fault, Kind, Operation, Proxy, proxy_before
from tests.support.s3 import S3Server, moto_s3

pytestmark = pytest.mark.anyio

CACHE, ID = CacheName("orders"), BackupId("20250101T000000Z-00000001")
FOLDER = names.backup_folder(CACHE, ID)
OBJECT = names.shard_object(CACHE, ID, ShardName("0000"))
DATA = hashlib.shake_256(b"incompressible").digest(2 * SMALLEST_PART_BYTES + 12_345)
QUICK = Patience(
    attempts=3,
    first_pause_seconds=0.01,
    longest_pause_seconds=0.02,
    call_seconds=10.0,
)
HASTY = Patience(
    attempts=2,
    first_pause_seconds=0.01,
    longest_pause_seconds=0.02,
    call_seconds=1.0,
    slowest_bytes_per_second=1 << 30,
)
PREFIXES = count()


class Bench(Struct, frozen=True):
    """A vault that speaks through the proxy, and one that speaks directly."""

    vault: S3Vault
    direct: S3Vault
    proxy: Proxy

    async def store(self) -> None:
        """One object of three parts."""
        async with self.vault.create(OBJECT) as writer:
            await writer.write(DATA)
            await writer.commit()

    async def stored(self) -> bytes:
        """The object as the server has it."""
        return await self.direct.read(OBJECT, offset=0, length=len(DATA))

    async def left(self) -> int:
        """Objects and unfinished uploads."""
        async with aclosing(self.direct._uploads("")) as uploads:
            unfinished = [upload async for upload in uploads]
        async with aclosing(self.direct.list("")) as objects:
            return len(unfinished) + len([info async for info in objects])


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[S3Server]:
    """moto, because it forms ETags as AWS does and knows conditional writes."""
    async with moto_s3() as running:
        yield running


@asynccontextmanager
async def opened(server: S3Server, patience: Patience) -> AsyncIterator[Bench]:
    """A bench with a proxy of its own."""
    prefix = f"faults-{next(PREFIXES)}"
    async with proxy_before(server.port) as proxy:
        vaults = [
            open_vault(server.settings(prefix, port=port), THREADS, lambda: 0.5, patience)
            for port in (proxy.port, server.port)
        ]
        vault, direct = (vault for vault in vaults if isinstance(vault, S3Vault))
        try:
            yield Bench(vault, direct, proxy)
        finally:
            await vault.aclose()
            await direct.aclose()


@pytest.fixture
async def bench(server: S3Server) -> AsyncIterator[Bench]:
    """With patience for three tries."""
    async with opened(server, QUICK) as made:
        yield made


async def test_what_is_sent_carries_true_checksums(bench: Bench) -> None:
    """Every part and small object is sent with the MD5 and SHA-256 of its bytes."""
    await bench.store()
    await bench.vault.put(names.OWNER, b"small")
    await bench.vault.clear(FOLDER)
    assert bench.proxy.wrong == []
    sent = [seen.size_bytes for seen in bench.proxy.seen if seen.operation == "part"]
    assert sorted(sent) == [12_345, SMALLEST_PART_BYTES, SMALLEST_PART_BYTES]
    assert bench.proxy.count("put") == 1


RECOVERED: list[tuple[Operation, Kind]] = [
    ("create", "refuse"),
    ("create", "lose"),
    ("part", "refuse"),
    ("part", "reset"),
    ("part", "lose"),
    ("part", "etag"),
    ("part", "garble"),
    ("complete", "refuse"),
    ("complete", "bad-200"),
    ("complete", "lose"),
    ("head", "reset"),
]


@pytest.mark.parametrize(("operation", "kind"), RECOVERED)
async def test_a_fault_that_passes_is_survived(
    bench: Bench, operation: Operation, kind: Kind
) -> None:
    """An object is whole in the end although a request of its upload failed twice."""
    fault = Fault(operation, kind, times=2)
    bench.proxy.faults.append(fault)
    await bench.store()
    assert fault.fired == 2
    assert await bench.stored() == DATA
    await bench.vault.clear(FOLDER)
    assert await bench.left() == 0


LASTING: list[tuple[Operation, Kind, str]] = [
    ("create", "refuse", "vault-busy"),
    ("part", "refuse", "vault-busy"),
    ("part", "reset", "vault-unreachable"),
    ("part", "lose", "vault-unreachable"),
    ("part", "etag", "vault-corrupted"),
    ("part", "garble", "vault-corrupted"),
    ("complete", "refuse", "vault-busy"),
    ("complete", "bad-200", "vault-busy"),
    ("head", "refuse", "vault-busy"),
]


@pytest.mark.parametrize(("operation", "kind", "code"), LASTING)
async def test_a_fault_that_stays_is_a_clear_error(
    bench: Bench, operation: Operation, kind: Kind, code: str
) -> None:
    """A request that fails each time fails the object, which is then not there after `clear`."""
    bench.proxy.faults.append(Fault(operation, kind, times=1_000))
    with pytest.raises(Transient) as failed:
        await bench.store()
    assert failed.value.code == code
    assert bench.vault.url in failed.value.message
    assert OBJECT in failed.value.message
    bench.proxy.faults.clear()
    await bench.vault.clear(FOLDER)
    assert await bench.left() == 0


async def test_a_failed_upload_is_given_up_at_once(bench: Bench) -> None:
    """When parts cannot be sent the upload is aborted before the error is reported."""
    bench.proxy.faults.append(Fault("part", "refuse", times=1_000))
    with pytest.raises(Transient):
        await bench.store()
    assert bench.proxy.count("abort") == 1
    assert await bench.left() == 0


async def test_clear_finds_an_upload_that_could_not_be_given_up(bench: Bench) -> None:
    """Where aborting fails too, the next `clear` removes the upload."""
    bench.proxy.faults += [Fault("part", "refuse", times=1_000), Fault("abort", "refuse", times=3)]
    with pytest.raises(Transient) as failed:
        await bench.store()
    assert "0000.rdb.zst" in failed.value.message
    assert await bench.left() == 1
    await bench.vault.clear(FOLDER)
    assert await bench.left() == 0


async def test_a_lost_completion_is_compared_byte_by_byte(bench: Bench) -> None:
    """An upload that is gone when its completion is repeated counts only if the bytes are ours."""
    gone = [
        Fault("complete", "lose"),
        Fault("complete", "refuse", status=404, code="NoSuchUpload"),
    ]
    bench.proxy.faults += [*gone, Fault("head", "etag", times=1_000)]
    await bench.store()
    assert [1, 1] == [fault.fired for fault in gone]
    assert bench.proxy.count("get") == 3
    for fault in gone:
        fault.fired = 0
    bench.proxy.faults.append(Fault("get", "flip", times=1_000))
    with pytest.raises(Transient) as failed:
        await bench.store()
    assert failed.value.code == "vault-corrupted"


async def test_an_upload_is_given_up_until_no_part_is_left(bench: Bench) -> None:
    """A part that was under way may land after the upload was given up: it is looked for (39)."""
    upload_id = await begin_upload(bench.vault._server, OBJECT)
    bench.proxy.faults.append(Fault("parts", "pretend", times=2))
    key = bench.vault._server.bucket.prefix + OBJECT
    await abort_upload(bench.vault._server, key=key, upload_id=upload_id)
    assert (bench.proxy.count("abort"), bench.proxy.count("parts")) == (2, 1)
    assert await bench.left() == 0


async def test_a_part_whose_upload_was_swept_fails_the_attempt_only(bench: Bench) -> None:
    """Somebody who clears unfinished uploads costs an attempt, and not the backup."""
    bench.proxy.faults.append(Fault("part", "refuse", 99, status=404, code="NoSuchUpload"))
    with pytest.raises(Transient) as failed:
        await bench.store()
    assert failed.value.code == "upload-lost"
    assert bench.proxy.count("part") <= 3, "it is of no use to try it again at once"


EMPTY: list[tuple[Fault, ...]] = [
    (Fault("put", "swallow", times=99),),
    (Fault("part", "swallow", times=99),),
    (Fault("part", "swallow", times=1),),
    (Fault("complete", "swallow", times=99),),
    (Fault("complete", "swallow", 99), Fault("head", "pretend", 99, size_bytes=len(DATA))),
    (Fault("put", "swallow", 99), Fault("head", "pretend", 99, size_bytes=100)),
]


@pytest.mark.parametrize("faults", EMPTY, ids=lambda faults: "-".join(f.operation for f in faults))
async def test_a_vault_that_says_yes_and_stores_nothing_is_found_out(
    bench: Bench, faults: tuple[Fault, ...]
) -> None:
    """Success in every answer is no success: what was sent is looked for, and nothing stays."""
    bench.proxy.faults += [msgspec.structs.replace(fault) for fault in faults]
    small = faults[0].operation == "put"

    async def store() -> None:
        async with bench.vault.create(OBJECT) as writer:
            await writer.write(DATA[:100] if small else DATA)
            await writer.commit()

    with pytest.raises(Failed) as failed:
        await store()
    assert failed.value.code in ("upload-lost", "vault-corrupted", "object-missing")
    bench.proxy.faults.clear()
    assert await bench.vault.size(OBJECT) is None
    assert await bench.left() == 0, "the upload was given up although it was said to be complete"


async def test_an_object_that_nobody_vouches_for_is_read_at_both_ends(bench: Bench) -> None:
    """Where the ETag says nothing, the first and the last part are compared with what was sent."""
    odd = [Fault("head", "etag", times=99), Fault("complete", "etag", times=99)]
    bench.proxy.faults += odd
    await bench.store()
    # The completion's ETag is in its body, which the fault leaves alone: it vouches.
    assert bench.proxy.count("get") == 0
    bench.proxy.faults[:] = [
        Fault("complete", "swallow"),
        Fault("head", "etag", times=99),
    ]
    await bench.store()  # the object of before is whole, and is read because nobody vouches
    assert bench.proxy.count("get") == 2


@pytest.mark.parametrize("after", ["1", "date"])
async def test_a_server_is_left_alone_as_long_as_it_asks(bench: Bench, after: str) -> None:
    """``Retry-After`` holds for all calls to a server, in seconds or as a date."""
    headers = {"Retry-After": after}
    if after == "date":
        headers = {
            "Date": "Sun, 22 Nov 2026 12:00:00 GMT",
            "Retry-After": "Sun, 22 Nov 2026 12:00:01 GMT",
        }
    bench.vault._server._patience = msgspec.structs.replace(QUICK, longest_pause_seconds=1.0)
    bench.proxy.faults.append(Fault("get", "refuse", headers=headers))
    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(bench.vault.get, names.OWNER, 100)
    assert anyio.current_time() - began >= 1.0


async def test_a_server_that_asks_for_too_long_a_silence_is_not_asked(bench: Bench) -> None:
    """Who need not wait does not: the failure is told at once, and no request is sent."""
    bench.proxy.faults.append(Fault("get", "refuse", headers={"Retry-After": "3600"}))
    for told in ("SlowDown", "left alone"):
        with pytest.raises(Transient, match=told) as failed:
            await bench.vault.get(names.OWNER, 100)
        assert failed.value.code == "vault-busy"
    assert bench.proxy.count("get") == 1


async def test_an_object_is_sent_on_when_an_outage_is_over(server: S3Server) -> None:
    """What is being stored outlasts a server that is busy for a while, in the same attempt."""
    patient = msgspec.structs.replace(QUICK, busy_seconds=30.0, retries_per_second=20.0)
    async with opened(server, patient) as bench:
        outage = [
            Fault(operation, "refuse", times=12)
            for operation in ("create", "part", "complete", "head")
        ]
        bench.proxy.faults += outage
        await bench.store()
        assert [12, 12, 12, 12] == [fault.fired for fault in outage]
        assert await bench.stored() == DATA
        assert bench.proxy.count("abort") == 0


async def test_an_upload_that_vanished_is_not_a_success(bench: Bench) -> None:
    """Where there is neither the upload nor the object, somebody has swept it away."""
    bench.proxy.faults.append(Fault("complete", "refuse", 9, status=404, code="NoSuchUpload"))
    with pytest.raises(Transient) as failed:
        await bench.store()
    assert failed.value.code == "upload-lost"


@pytest.mark.parametrize("kind", ["cut", "reset", "refuse"])
async def test_an_interrupted_read_is_repeated(bench: Bench, kind: Kind) -> None:
    """A range that comes in part is asked for again, and never given short."""
    await bench.store()
    fault = Fault("get", kind, times=2)
    bench.proxy.faults.append(fault)
    assert await bench.vault.read(OBJECT, offset=10, length=500_000) == DATA[10:500_010]
    assert fault.fired == 2


async def test_a_hanging_server_is_not_waited_for(server: S3Server) -> None:
    """Every call has a deadline, and passing it is a failure worth another try."""
    async with opened(server, HASTY) as bench:
        bench.proxy.faults.append(Fault("get", "hang", times=1_000))
        began = anyio.current_time()
        with pytest.raises(Transient) as failed:
            await bench.vault.read(OBJECT, offset=0, length=10)
        assert failed.value.code == "vault-timeout"
        assert anyio.current_time() - began < 8


async def test_a_hanging_part_does_not_hold_the_writer(server: S3Server) -> None:
    """A part that is never answered fails the object and is cleared away."""
    async with opened(server, HASTY) as bench:
        bench.proxy.faults.append(Fault("part", "hang", times=1_000))
        with pytest.raises(Transient) as failed:
            await bench.store()
        assert failed.value.code == "vault-timeout"
        await bench.vault.clear(FOLDER)
        assert await bench.left() == 0


async def test_a_listing_that_fails_raises(bench: Bench) -> None:
    """A vault that does not answer a listing is not an empty one."""
    await bench.vault.put(names.OWNER, b"x")
    bench.proxy.faults.append(Fault("list", "refuse", times=1_000))
    with pytest.raises(Transient):
        async with aclosing(bench.vault.list("")) as found:
            assert [info async for info in found] == []
    with pytest.raises(Transient):
        await bench.vault.clear(FOLDER)


PERMANENT: list[tuple[int, str, str]] = [
    (403, "AccessDenied", "vault-rights"),
    (403, "InvalidAccessKeyId", "vault-credentials"),
    (404, "NoSuchBucket", "vault-bucket"),
    (400, "AuthorizationHeaderMalformed", "vault-region"),
]


@pytest.mark.parametrize(("status", "answer", "code"), PERMANENT)
async def test_what_waiting_cannot_mend_is_asked_once(
    bench: Bench, status: int, answer: str, code: str
) -> None:
    """Wrong keys, rights, clocks and buckets fail at the first answer, with what to do."""
    bench.proxy.faults.append(Fault("put", "refuse", 1_000, status=status, code=answer))
    with pytest.raises(Permanent) as failed:
        await bench.vault.put(names.OWNER, b"x")
    assert failed.value.code == code
    assert failed.value.hint
    assert bench.proxy.count("put") == 1


SKEWS = [
    (
        "<RequestTime>20261122T120000Z</RequestTime><ServerTime>2026-11-22T11:43:00Z</ServerTime>",
        17,
    ),
    ("", 0),
]


@pytest.mark.parametrize(("detail", "minutes"), SKEWS)
async def test_a_wrong_clock_is_told_with_how_wrong_it_is(
    bench: Bench, detail: str, minutes: int
) -> None:
    """A refused time is not asked about again at once, and is no failure for good."""
    bench.proxy.faults.append(
        Fault("put", "refuse", 99, status=403, code="RequestTimeTooSkewed", detail=detail)
    )
    with pytest.raises(Transient) as failed:
        await bench.vault.put(names.OWNER, b"x")
    assert failed.value.code == "clock-skew"
    assert ("17 minutes ahead of the server's" in failed.value.message) == bool(minutes)
    assert bench.proxy.count("put") == 1


async def test_a_missing_right_is_named(bench: Bench) -> None:
    """A refusal says which permission is missing."""
    bench.proxy.faults.append(Fault("delete", "refuse", 9, status=403, code="AccessDenied"))
    with pytest.raises(Permanent) as failed:
        await bench.vault.delete(OBJECT)
    assert "s3:DeleteObject" in failed.value.hint
    assert "needs s3:DeleteObject" in failed.value.message


async def test_a_refused_connection_is_worth_another_try(server: S3Server) -> None:
    """Where nobody listens the error says so and is not for good."""
    async with opened(server, QUICK) as bench:
        bench.proxy.faults.append(Fault("put", "reset", times=1_000))
        with pytest.raises(Failed) as failed:
            await bench.vault.put(names.OWNER, b"x")
        assert (failed.value.code, failed.value.permanent) == ("vault-unreachable", False)


async def test_a_put_whose_answer_was_lost_is_ours(bench: Bench) -> None:
    """`put_new` whose effect was not answered finds its own bytes and says that it was first."""
    bench.proxy.faults.append(Fault("put", "lose"))
    assert await bench.vault.put_new(names.OWNER, b"mine")
    assert not await bench.vault.put_new(names.OWNER, b"theirs")
