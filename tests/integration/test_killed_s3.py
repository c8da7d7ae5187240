"""A daemon that is killed while it works with a bucket: no object and no upload is left over."""

import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from daemon.storage.factory import open_vault
from daemon.storage.s3 import S3Vault
from daemon.valkey.engine import find_engines
from tests.support.daemon import DEAD, S3_KEYS, DaemonProcess, installation, s3_vault
from tests.support.nursery import Nursery
from tests.support.offload import THREADS
from tests.support.outcome import (
    data_of,
    is_at_rest,
    is_tidy,
    log_is_sound,
    nothing_partial,
    settings_of,
)
from tests.support.s3 import BUCKET, S3Server, rclone_s3
from tests.support.servers import Node, command, fill, start_node

pytestmark = pytest.mark.anyio


class Bucket(NamedTuple):
    """A server, and the folder that its bucket's objects lie in."""

    server: S3Server
    folder: Path

    async def uploads(self) -> int:
        """How many uploads are unfinished."""
        vault = open_vault(self.server.settings("team"), THREADS, jitter=lambda: 0.5)
        assert isinstance(vault, S3Vault)
        try:
            async with aclosing(vault._uploads("")) as uploads:
                return len([upload async for upload in uploads])
        finally:
            await vault.aclose()


class Nodes(NamedTuple):
    """A cache that takes several parts to store, and one to restore into."""

    source: Node
    target: Node


@pytest.fixture(scope="module")
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Nodes, None]:
    """Two servers; the first holds 24 MiB that do not compress."""
    engine = (await find_engines(os.defpath))[0]
    async with (
        start_node(engine, tmp_path_factory.mktemp("s"), rdbcompression="no") as source,
        start_node(engine, tmp_path_factory.mktemp("t"), rdbcompression="no") as target,
    ):
        client = source.client()
        for number in range(24):
            await client.set(f"block:{number}", hashlib.shake_128(b"%d" % number).digest(1 << 20))
        await client.aclose()
        yield Nodes(source, target)


@pytest.fixture
async def bucket(tmp_path: Path) -> AsyncGenerator[Bucket, None]:
    """A server with an empty bucket."""
    async with rclone_s3(tmp_path / "s3") as server:
        yield Bucket(server, tmp_path / "s3" / BUCKET / "team")


@pytest.fixture
async def daemon(nursery: Nursery, bucket: Bucket) -> AsyncGenerator[DaemonProcess, None]:
    """An installation with a vault there."""
    async with installation(nursery, s3_vault(bucket.server), S3_KEYS) as daemon:
        yield daemon


async def recover(daemon: DaemonProcess, bucket: Bucket) -> None:
    """Start a sound daemon and wait until it has settled everything, looking all the while."""

    async def look() -> None:
        await nothing_partial(daemon, bucket.folder)

    await daemon.start()
    await look()
    await daemon.settled(look)
    await is_tidy(daemon, bucket.folder)
    assert await bucket.uploads() == 0
    await log_is_sound(daemon)


@pytest.mark.parametrize(
    ("point", "unfinished"),
    [
        ("upload part", {1}),
        ("upload part #2", {1}),
        ("before snapshot-taken", {0, 1}),  # the vault may be behind the source, or not
        ("phase writing the manifest", {0}),
        ("before backup-completed", {0}),
    ],
)
async def test_a_backup_to_a_bucket_survives_kill_9(
    daemon: DaemonProcess, nodes: Nodes, bucket: Bucket, point: str, unfinished: set[int]
) -> None:
    """Killed in a backup to S3, the daemon aborts the upload it left and makes the backup anew."""
    await daemon.start(doom=point)
    with suppress(*DEAD):
        await daemon.add("orders", url=nodes.source.url)
        await daemon.backup("orders", name="nightly")
    await daemon.died()
    assert await bucket.uploads() in unfinished

    await recover(daemon, bucket)

    assert [(b.name, b.attempts) for b in await daemon.listed()] == [("nightly", 2)]


@pytest.mark.parametrize("point", ["bytes 20000000 sending", "before backup-completed #2"])
async def test_a_restore_from_a_bucket_survives_kill_9(
    daemon: DaemonProcess, nodes: Nodes, bucket: Bucket, point: str
) -> None:
    """Killed in a restore from S3, the daemon frees the target, which keeps its old data."""
    client = nodes.target.client()
    await client.flushall()
    await command(client, "FUNCTION", "FLUSH")
    await fill(client, keys=100, prefix="old")
    await client.aclose()
    old, settings = await data_of(nodes.target), await settings_of(nodes.target)
    await daemon.start(doom=point)
    with suppress(*DEAD):
        await daemon.add("orders", url=nodes.source.url)
        await daemon.add("copy", url=nodes.target.url)
        await daemon.backup("orders", name="nightly")
        await daemon.restore("orders/nightly", to="copy")
    await daemon.died()

    await recover(daemon, bucket)

    assert await data_of(nodes.target) == old
    await is_at_rest(nodes.target, settings)
