"""A daemon whose bucket fails it: no orphan stays there, and the catalog tells no lie.

Real rclone behind a proxy that breaks things; what is in the bucket is seen in rclone's folder.
"""

import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import pytest
from msgspec import Struct, structs

from daemon.storage.factory import open_vault
from daemon.storage.s3 import S3Vault
from daemon.valkey.engine import find_engines
from tests.support.autos import typing
from tests.support.daemon import S3_KEYS, DaemonProcess, installation, s3_vault
from tests.support.nursery import Nursery
from tests.support.offload import THREADS
from tests.support.outcome import data_of, files_in, is_tidy, log_is_sound, object_of, place_of
from tests.support.proxy import Fault, Proxy, proxy_before
from tests.support.s3 import BUCKET, KEY, SECRET, S3Server, rclone_s3
from tests.support.servers import Node, start_node

pytestmark = pytest.mark.anyio

MIB = 1 << 20
NEW_KEY, NEW_SECRET = "AKIAVALKEEPTESTS0002", "another/secret/key/0123456789abcdefghijk"


class Bucket(Struct, frozen=True):
    """A server, the proxy before it, and the folder where the bucket's objects lie."""

    server: S3Server
    proxy: Proxy
    folder: Path

    def config(self) -> str:
        """A vault there, by way of the proxy."""
        return s3_vault(structs.replace(self.server, port=self.proxy.port))

    async def uploads(self) -> int:
        """How many uploads are unfinished."""
        vault = open_vault(self.server.settings("team"), THREADS, jitter=lambda: 0.5)
        assert isinstance(vault, S3Vault)
        try:
            async with aclosing(vault._uploads("")) as uploads:
                return len([upload async for upload in uploads])
        finally:
            await vault.aclose()

    async def is_clean(self, daemon: DaemonProcess) -> None:
        """When all is settled there is what is listed and nothing else, and the log is sound."""
        await daemon.settled()
        await is_tidy(daemon, self.folder)
        assert await self.uploads() == 0
        await log_is_sound(daemon)


@pytest.fixture(scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Node, None]:
    """A cache of 24 MiB that do not compress: three parts."""
    engine = (await find_engines(os.defpath))[0]
    async with start_node(engine, tmp_path_factory.mktemp("s"), rdbcompression="no") as node:
        client = node.client()
        for number in range(24):
            await client.set(f"block:{number}", hashlib.shake_128(b"%d" % number).digest(MIB))
        await client.aclose()
        yield node


@pytest.fixture
async def bucket(tmp_path: Path) -> AsyncGenerator[Bucket, None]:
    """An empty bucket."""
    async with rclone_s3(tmp_path / "s3") as server, proxy_before(server.port) as proxy:
        yield Bucket(server, proxy, tmp_path / "s3" / BUCKET / "team")


@pytest.fixture
async def daemon(
    nursery: Nursery, bucket: Bucket, node: Node
) -> AsyncGenerator[DaemonProcess, None]:
    """A daemon with a vault there and one cache."""
    async with installation(nursery, bucket.config(), S3_KEYS) as daemon:
        await daemon.start()
        await daemon.add("orders", url=node.url)
        yield daemon


OUTLASTED: list[tuple[Fault, ...]] = [
    (
        Fault("part", "refuse", times=8),
        Fault("complete", "refuse", times=2),
        Fault("head", "refuse", times=2),
    ),
    (Fault("part", "reset", times=3), Fault("complete", "bad-200", times=1)),
    (Fault("part", "etag", times=2), Fault("part", "lose", times=1)),
    (
        Fault("part", "refuse", times=1, headers={"Retry-After": "2"}),
        Fault("complete", "lose", times=1),
    ),
]


@pytest.mark.parametrize("faults", OUTLASTED, ids=lambda faults: "-".join(f.kind for f in faults))
async def test_a_backup_outlasts_a_bad_while(
    daemon: DaemonProcess, bucket: Bucket, faults: tuple[Fault, ...]
) -> None:
    """503s, resets in the middle of parts and damaged parts cost no attempt if they end."""
    mine = [structs.replace(fault) for fault in faults]
    bucket.proxy.faults += mine

    made = await daemon.backup("orders", name="nightly")

    assert ("complete", 1) == (made.phase, made.attempts), made.failure
    assert [fault.times for fault in mine] == [fault.fired for fault in mine]
    await bucket.is_clean(daemon)


DATA = ".rdb.zst"
"""In a path: the daemon tries its vaults out with uploads of its own, which take faults as well."""
LASTING: list[tuple[str, tuple[Fault, ...]]] = [
    ("upload-lost", (Fault("put", "swallow", times=99, path="manifest.json"),)),
    ("upload-lost", (Fault("part", "swallow", times=1, spared=1, path=DATA),)),
    ("upload-lost", (Fault("complete", "swallow", times=99),)),
    ("vault-corrupted", (Fault("part", "etag", times=99),)),
    ("vault-corrupted", (Fault("head", "pretend", times=99, path=".rdb.zst", size_bytes=7),)),
    ("vault-credentials", (Fault("part", "refuse", 99, status=403, code="InvalidAccessKeyId"),)),
    ("vault-rights", (Fault("complete", "refuse", 99, status=403, code="AccessDenied"),)),
    ("clock-skew", (Fault("create", "refuse", 99, status=403, code="RequestTimeTooSkewed"),)),
]


@pytest.mark.parametrize(("code", "faults"), LASTING)
async def test_a_backup_that_the_bucket_fails_is_not_there(
    daemon: DaemonProcess, bucket: Bucket, code: str, faults: tuple[Fault, ...]
) -> None:
    """What the bucket lost, swallowed, changed or refused is a failure; the next one is sound."""
    mine = [structs.replace(fault) for fault in faults]
    bucket.proxy.faults += mine

    failed = await daemon.backup("orders", name="nightly")

    assert failed.failure is not None
    assert ("failed", code) == (failed.phase, failed.failure.code)
    assert failed.failure.hint
    assert all(fault.fired for fault in mine)
    assert () == await daemon.listed()
    bucket.proxy.faults.clear()
    await daemon.settled()
    assert files_in(bucket.folder) == {"valkeep.json"}
    assert await bucket.uploads() == 0
    made = await daemon.backup("orders", name="again")
    assert made.phase == "complete"
    await bucket.is_clean(daemon)


async def test_a_part_that_was_changed_on_the_way_is_in_no_backup(
    daemon: DaemonProcess, bucket: Bucket
) -> None:
    """The server drops the whole upload for it, or seldom takes the part when it comes again."""
    fault = Fault("part", "garble", times=1, path=DATA)
    bucket.proxy.faults.append(fault)
    made = await daemon.backup("orders", name="nightly")

    assert fault.fired == 1
    code = "" if made.failure is None else made.failure.code
    assert (made.phase, code) in {("failed", "upload-lost"), ("complete", "")}
    await daemon.backup("orders", name="again")
    listed = [f"orders/{view.name}" for view in await daemon.listed()]
    assert ("orders/nightly" in listed) == (code == "")
    for backup in listed:
        await typing(daemon, "backup", "verify", backup, "--quick", "--wait")
    await bucket.is_clean(daemon)


async def test_a_sweep_waits_until_the_bucket_can_be_swept(
    daemon: DaemonProcess, bucket: Bucket
) -> None:
    """What a failed attempt left while nothing could be removed is removed when it can be."""
    bucket.proxy.faults += [
        Fault("put", "swallow", times=99, path="manifest.json"),
        Fault("delete", "refuse", times=2, path="caches/"),
        Fault("uploads", "refuse", times=2),
    ]
    failed = await daemon.backup("orders", name="nightly")
    assert failed.phase == "failed"
    bucket.proxy.faults[0].times = 0
    await bucket.is_clean(daemon)

    assert files_in(bucket.folder) == {"valkeep.json"}


async def test_a_part_that_the_bucket_lost_afterwards_is_found_by_a_restore(
    daemon: DaemonProcess, bucket: Bucket, node: Node
) -> None:
    """What was whole and lost a part since stops a restore before anything was changed."""
    made = await daemon.backup("orders", name="nightly")
    before = await data_of(node)
    data = bucket.folder / place_of(made) / object_of(made)
    with data.open("r+b") as file:
        file.seek(8 * MIB)
        rest = file.read()[8 * MIB :]
        file.seek(8 * MIB)
        file.write(rest)
        file.truncate()

    restored = await daemon.restore("orders/nightly", to="orders", safety_backup=False)

    assert restored.phase == "failed"
    assert restored.failure is not None
    # The plan's look is answered from what rclone remembers of the folder, the restore's is not.
    assert restored.failure.code == "object-size"
    assert await data_of(node) == before


async def test_a_rotated_key_is_taken_up_without_a_restart(
    nursery: Nursery, bucket: Bucket, node: Node, tmp_path: Path
) -> None:
    """A key that the server no longer takes fails backups; the new one in the file is enough."""
    key, secret = tmp_path / "key", tmp_path / "secret"
    key.write_text(f"{KEY}\n")
    secret.write_text(f"{SECRET}\n")
    config = bucket.config().replace('access_key_id_env = "VAULT_KEY"', "")
    config = config.replace('secret_access_key_env = "VAULT_SECRET"', "")
    config += f'access_key_id_file = "{key}"\nsecret_access_key_file = "{secret}"\n'
    async with AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(installation(nursery, config))
        await daemon.start()
        await daemon.add("orders", url=node.url)
        assert (await daemon.backup("orders", name="before")).phase == "complete"
        # Started only now, because rclone remembers folders that it has looked at.
        keys = f"{NEW_KEY},{NEW_SECRET}"
        rotated = await stack.enter_async_context(rclone_s3(tmp_path / "s3", keys=keys))
        bucket.proxy.behind = rotated.port

        refused = await daemon.backup("orders", name="between")
        assert refused.failure is not None
        assert (refused.failure.code, refused.failure.permanent) == ("vault-credentials", True)
        assert SECRET not in daemon.output()
        key.write_text(f"{NEW_KEY}\n")
        secret.write_text(f"{NEW_SECRET}\n")

        made = await daemon.backup("orders", name="after")
        assert made.phase == "complete", made.failure
        await daemon.settled()
        await is_tidy(daemon, bucket.folder)
