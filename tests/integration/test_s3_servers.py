"""S3 as its servers really answer: backups through the whole pipeline, and their refusals."""

import gc
import hashlib
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from itertools import count

import msgspec
import pytest

from daemon.errors import Failed
from daemon.storage.factory import VaultSettings, open_vault
from daemon.storage.pipeline import Packing, store
from daemon.storage.s3_calls import Patience
from daemon.storage.vault import Vault
from tests.support.offload import THREADS
from tests.support.s3 import SECRET, S3Server, rclone_s3
from tests.support.storing import OBJECT, stored, unpacked

pytestmark = pytest.mark.anyio

MIB = 1 << 20
NOISE = hashlib.shake_256(b"noise").digest(5 * MIB)
QUICK = Patience(attempts=2, first_pause_seconds=0.01)
PREFIXES = count()


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[S3Server]:
    """rclone, because it compares signatures."""
    async with rclone_s3(tmp_path_factory.mktemp("rclone")) as running:
        yield running


@asynccontextmanager
async def opened(settings: VaultSettings) -> AsyncIterator[Vault]:
    """A vault that is closed again."""
    vault = open_vault(settings, THREADS, lambda: 0.5, QUICK)
    try:
        yield vault
    finally:
        await vault.aclose()


@pytest.fixture
async def vault(server: S3Server) -> AsyncIterator[Vault]:
    """An empty vault."""
    async with opened(server.settings(f"vault-{next(PREFIXES)}")) as made:
        yield made


async def test_a_backup_goes_there_and_back(vault: Vault) -> None:
    """What the pipeline stores in a bucket is read back exactly."""
    plain = NOISE * 4 + bytes(7 * MIB)
    shard = await stored(vault, plain)
    assert len(shard.blocks) == 3
    assert await unpacked(vault, shard) == plain


async def test_a_server_that_never_had_an_upload_can_be_swept(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Rclone lists no uploads as an error while it has never had one; a sweep succeeds there."""
    async with (
        rclone_s3(tmp_path_factory.mktemp("fresh")) as fresh,
        opened(fresh.settings("fresh")) as vault,
    ):
        await vault.put(OBJECT, b"left by an attempt")

        await vault.clear(OBJECT.rpartition("/")[0] + "/")

        assert await vault.size(OBJECT) is None


async def test_an_upload_s_memory_is_bounded(vault: Vault) -> None:
    """200 MiB that do not compress are sent in less than 80 MiB, copies of the client included."""

    async def source() -> AsyncGenerator[bytes, None]:
        for _ in range(200):
            yield NOISE[:MIB]

    gc.collect()
    tracemalloc.start()
    try:
        async with aclosing(source()) as plain:
            await store(plain, vault, OBJECT, Packing(THREADS))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 80 * MIB


def wrong_secret(server: S3Server) -> VaultSettings:
    """A key that the server knows, with another secret."""
    return server.settings(secret="not-the-secret")


def wrong_key(server: S3Server) -> VaultSettings:
    """A key that the server does not know."""
    return msgspec.structs.replace(server.settings(), access_key_id="AKIANOBODY0000000000")


def wrong_bucket(server: S3Server) -> VaultSettings:
    """A bucket that is not there."""
    return msgspec.structs.replace(server.settings(), url="s3://nowhere/x")


def wrong_port(server: S3Server) -> VaultSettings:
    """Nobody listens."""
    return server.settings(port=1)


def wrong_endpoint(server: S3Server) -> VaultSettings:
    """No URL."""
    return msgspec.structs.replace(server.settings(), endpoint_url="not a url")


REFUSALS = [
    (wrong_secret, "vault-credentials", True),
    (wrong_key, "vault-credentials", True),
    (wrong_bucket, "vault-bucket", True),
    (wrong_port, "vault-unreachable", False),
    (wrong_endpoint, "vault-url", True),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal[0].__name__)
async def test_a_vault_that_cannot_be_used_says_why(
    server: S3Server, refusal: tuple[object, str, bool]
) -> None:
    """Writing, listing and asking each tell what is wrong, and no secret."""
    make, code, permanent = refusal
    assert callable(make)
    async with opened(make(server)) as vault:
        for attempt in (
            lambda: vault.put(OBJECT, b"x"),
            lambda: vault.size(OBJECT),
            lambda: vault.get(OBJECT, 100),
            lambda: anext(vault.list("")),
            lambda: stored(vault, NOISE * 4),
        ):
            with pytest.raises(Failed) as failed:
                await attempt()
            assert (failed.value.code, failed.value.permanent) == (code, permanent)
            assert vault.url in failed.value.message
            assert SECRET not in failed.value.message
            assert failed.value.hint
