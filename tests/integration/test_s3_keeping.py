"""How S3 keeps what is stored: checksums, encryption, classes and locks are done or refused."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count

import pytest
from botocore.exceptions import ClientError
from msgspec import Struct, structs

from daemon.app.real import SystemClock
from daemon.errors import Failed, Permanent, Transient
from daemon.storage import names
from daemon.storage.factory import Aids, VaultSettings, open_vault, summing
from daemon.storage.parts import SMALLEST_PART_BYTES
from daemon.storage.s3 import S3Vault
from daemon.storage.s3_calls import Patience
from daemon.storage.settings import Placement
from events.facts import BackupId, CacheName, ShardName
from tests.support.offload import THREADS
from tests.support.proxy import Fault, Proxy, proxy_before
from tests.support.s3 import S3Server, moto_s3, rclone_s3

pytestmark = pytest.mark.anyio

CACHE, ID = CacheName("orders"), BackupId("20250101T000000Z-00000001")
FOLDER = names.backup_folder(CACHE, ID)
OBJECT = names.shard_object(CACHE, ID, ShardName("0000"))
MANIFEST = names.manifest_object(CACHE, ID)
DATA = hashlib.shake_256(b"kept").digest(2 * SMALLEST_PART_BYTES + 777)
QUICK = Patience(attempts=2, first_pause_seconds=0.01)
PREFIXES = count()
LOCKED = "locked"


class Servers(Struct, frozen=True):
    """moto with a second bucket, which has object lock; rclone."""

    moto: S3Server
    rclone: S3Server


@pytest.fixture(scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Both running."""
    async with moto_s3() as moto, rclone_s3(tmp_path_factory.mktemp("rclone")) as rclone:
        async with opened(moto.settings()) as vault:
            await vault.size(names.OWNER)
            client = vault._server._line and vault._server.client
            assert client
            await client.create_bucket(Bucket=LOCKED, ObjectLockEnabledForBucket=True)
        yield Servers(moto, rclone)


@asynccontextmanager
async def opened(
    settings: VaultSettings, placement: Placement | None = None
) -> AsyncIterator[S3Vault]:
    """A vault under a prefix of its own, that keeps things as wished."""
    settings = structs.replace(
        settings,
        url=f"{settings.url}keeping-{next(PREFIXES)}",
        placement=placement or Placement(),
    )
    vault = open_vault(settings, THREADS, lambda: 0.5, QUICK, Aids(SystemClock()))
    assert isinstance(vault, S3Vault)
    try:
        yield vault
    finally:
        await vault.aclose()


@asynccontextmanager
async def proxied(
    server: S3Server, placement: Placement, *, flexible: bool = True
) -> AsyncIterator[tuple[S3Vault, Proxy]]:
    """The same, behind a proxy."""
    async with proxy_before(server.port) as proxy:
        proxy.flexible = flexible
        async with opened(server.settings(port=proxy.port), placement) as vault:
            yield vault, proxy


async def store(vault: S3Vault, data: bytes = DATA) -> None:
    """One object, of three parts unless it is said otherwise."""
    async with vault.create(OBJECT) as writer:
        await writer.write(data)
        await writer.commit()


@pytest.mark.parametrize("checksum", ["md5", "crc32c", "sha256"])
async def test_every_checksum_is_sent_answered_and_compared(
    servers: Servers, checksum: str
) -> None:
    """Parts, small objects and whole objects are checked by the checksum that was chosen."""
    placement = Placement(checksum=checksum)  # type: ignore[arg-type]
    async with proxied(servers.moto, placement) as (vault, proxy):
        await store(vault)
        await vault.put(MANIFEST, b"small")
        assert proxy.wrong == []
        assert proxy.count("get") == 0, "the checksum of the whole has vouched for it"
        header = "Content-MD5" if checksum == "md5" else f"x-amz-checksum-{checksum}"
        sent = [seen for seen in proxy.seen if seen.operation in ("part", "put")]
        assert all(header in seen.headers for seen in sent)
        assert len(sent) == 4
        assert not any("trailer" in name.lower() for seen in sent for name in seen.headers)
        assert await vault.read(OBJECT, offset=0, length=len(DATA)) == DATA


@pytest.mark.parametrize("checksum", ["crc32c", "sha256"])
@pytest.mark.parametrize("times", [1, 99])
async def test_damage_on_the_way_is_seen_by_a_flexible_checksum(
    servers: Servers, checksum: str, times: int
) -> None:
    """A part that arrives as other bytes is sent again, and is never part of an object."""
    placement = Placement(checksum=checksum)  # type: ignore[arg-type]
    async with proxied(servers.moto, placement) as (vault, proxy):
        proxy.faults.append(Fault("part", "garble", times=times))
        if times == 1:
            await store(vault)
            assert await vault.read(OBJECT, offset=0, length=len(DATA)) == DATA
            return
        with pytest.raises(Transient) as failed:
            await store(vault)
        assert failed.value.code == "vault-corrupted"
        assert await vault.size(OBJECT) is None


@pytest.mark.parametrize("small", [False, True])
async def test_a_checksum_that_is_not_answered_is_no_checksum(
    servers: Servers, *, small: bool
) -> None:
    """A server that passes over flexible checksums is refused, with the setting to change."""
    async with proxied(servers.moto, Placement(checksum="crc32c"), flexible=False) as (vault, _):
        with pytest.raises(Permanent) as refused:
            await store(vault, b"small" if small else DATA)
    assert refused.value.code == "vault-checksum"
    assert 'checksum = "md5"' in refused.value.hint


async def test_the_default_checksum_is_one_that_the_server_knows(servers: Servers) -> None:
    """Amazon's S3 is known to have flexible checksums; every other server knows MD5."""
    assert summing(servers.moto.settings()).kind == "md5"
    assert summing(structs.replace(servers.moto.settings(), endpoint_url=None)).kind == "crc32c"


async def test_an_object_encrypted_by_a_key_is_read_at_both_ends(servers: Servers) -> None:
    """With KMS an ETag says nothing: MD5 then takes a look at the bytes, CRC-32C does not."""
    for checksum, reads in (("md5", 2), ("crc32c", 0)):
        placement = Placement(checksum, sse="aws:kms", sse_kms_key_id="alias/backups")  # type: ignore[arg-type]
        async with proxied(servers.moto, placement) as (vault, proxy):
            await store(vault)
            assert proxy.count("get") == reads
            begun = next(seen for seen in proxy.seen if seen.operation == "create")
            assert begun.headers["x-amz-server-side-encryption"] == "aws:kms"
            key = begun.headers["x-amz-server-side-encryption-aws-kms-key-id"]
            assert key == "alias/backups"
            assert await vault.read(OBJECT, offset=0, length=len(DATA)) == DATA


WISHES = [
    Placement(sse="AES256"),
    Placement(sse="aws:kms"),
    Placement(storage_class="STANDARD_IA"),
]


@pytest.mark.parametrize("placement", WISHES, ids=str)
@pytest.mark.parametrize("data", [DATA, b"small"], ids=len)
async def test_what_is_wished_for_is_done(
    servers: Servers, placement: Placement, data: bytes
) -> None:
    """Encryption and class are said with the object, and the server has them afterwards."""
    async with opened(servers.moto.settings(), placement) as vault:
        await store(vault, data)
        await vault.put(MANIFEST, b"{}")
        client = vault._server.client
        for name, is_data in ((OBJECT, True), (MANIFEST, False)):
            found = await client.head_object(
                Bucket="backups", Key=vault._server.bucket.prefix + name
            )
            assert found.get("ServerSideEncryption") == placement.sse
            wanted = placement.storage_class if is_data else "STANDARD"
            assert found.get("StorageClass", "STANDARD") == wanted


IGNORED = [
    (Placement(sse="AES256"), "vault-sse"),
    (Placement(storage_class="STANDARD_IA"), "vault-storage-class"),
    (Placement(object_lock="compliance", object_lock_days=1), "vault-lock"),
]


@pytest.mark.parametrize("data", [DATA, b"small"], ids=len)
@pytest.mark.parametrize(("placement", "code"), IGNORED)
async def test_a_wish_that_is_passed_over_is_an_error(
    servers: Servers, placement: Placement, code: str, data: bytes
) -> None:
    """A server that says nothing of what was wished for has not done it."""
    async with proxied(servers.rclone, placement) as (vault, proxy):
        # An answer about the right size, and nothing else.
        proxy.faults.append(Fault("head", "pretend", times=99, size_bytes=len(data)))
        with pytest.raises(Permanent) as refused:
            await store(vault, data)
    assert refused.value.code == code
    assert "docs/storage.md" in refused.value.hint


async def test_backups_are_locked_and_nothing_else(servers: Servers) -> None:
    """Data and manifest have the lock and its date; the file with the owner's name has none."""
    placement = Placement(object_lock="compliance", object_lock_days=30)
    async with proxied(servers.rclone, placement) as (vault, proxy):
        await store(vault)
        await vault.put(MANIFEST, b"{}")
        await vault.put(names.OWNER, b"{}")
        begun = [seen for seen in proxy.seen if seen.operation in ("create", "put")]
        modes = [seen.headers.get("x-amz-object-lock-mode") for seen in begun]
        assert modes == ["COMPLIANCE", "COMPLIANCE", None]
        until = begun[0].headers["x-amz-object-lock-retain-until-date"]
        days = (f"{SystemClock().now():%Y-%m-%d}", until[:10])
        assert days[0] < days[1]


async def test_a_bucket_without_object_lock_is_told_so(servers: Servers) -> None:
    """A lock that the bucket cannot have is refused by the server and explained."""
    placement = Placement(object_lock="governance", object_lock_days=1)
    async with opened(servers.moto.settings(), placement) as vault:
        with pytest.raises(Permanent) as refused:
            await store(vault, b"small")
    assert refused.value.code == "vault-lock"


async def test_a_deletion_in_a_locked_bucket_ends(servers: Servers) -> None:
    """A bucket with versions takes a deletion: a marker hides what the lock holds."""
    placement = Placement(object_lock="compliance", object_lock_days=1)
    settings = structs.replace(servers.moto.settings(), url=f"s3://{LOCKED}/")
    async with opened(settings, placement) as vault:
        await store(vault, b"small")
        await vault.delete(OBJECT)
        await vault.clear(FOLDER)
        assert await vault.size(OBJECT) is None
        key = vault._server.bucket.prefix + OBJECT
        kept = await vault._server.client.list_object_versions(Bucket=LOCKED, Prefix=key)
        assert [len(kept["Versions"]), len(kept["DeleteMarkers"])] == [1, 1]
        with suppress(ClientError):  # moto lets compliance be got around in some versions
            await vault._server.client.delete_object(
                Bucket=LOCKED, Key=key, VersionId=kept["Versions"][0]["VersionId"]
            )
            pytest.fail("the lock was asked for and does not hold")


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "AccessDenied", "Access Denied because object protected by object lock."),
        (400, "InvalidRequest", "Object is WORM protected and cannot be overwritten"),
    ],
)
async def test_a_locked_object_is_told_apart_from_a_missing_right(
    servers: Servers, status: int, code: str, said: str
) -> None:
    """A deletion that a lock refuses says so, is not repeated, and is no matter of rights."""
    async with proxied(servers.moto, Placement()) as (vault, proxy):
        fault = Fault("delete", "refuse", 99, status=status, code=code, said=said)
        proxy.faults.append(fault)
        with pytest.raises(Failed) as failed:
            await vault.delete(OBJECT)
        assert (failed.value.code, failed.value.permanent) == ("object-locked", True)
        assert fault.fired == 1


def test_a_lock_takes_a_clock(servers: Servers) -> None:
    """Whoever wishes for a lock has to say what time it is."""
    settings = structs.replace(
        servers.moto.settings(), placement=Placement(object_lock="governance", object_lock_days=1)
    )
    with pytest.raises(ValueError, match="clock"):
        open_vault(settings, THREADS, lambda: 0.5)
