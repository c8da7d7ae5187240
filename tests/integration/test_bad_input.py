"""What people and the world get wrong: a clear error with a hint, and nothing half done."""

import hashlib
import resource
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import NamedTuple

import pytest
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as NotThere

from daemon.answers import BackupView, RestoreView
from daemon.commands import (
    AddCache,
    DeleteBackup,
    Request,
    RequestBackup,
    RequestRestore,
    SetCache,
)
from daemon.errors import BadRequest, Failed, NotFound, Rejected, ValkeepError
from daemon.valkey.engine import Engine, end, spawn
from events.types import BackupAbandoned, BackupFailed
from tests.support.daemon import S3_KEYS, DaemonProcess, directory_vault, installation, s3_vault
from tests.support.nursery import Nursery
from tests.support.outcome import files_in, is_tidy
from tests.support.poll import until
from tests.support.s3 import rclone_s3
from tests.support.servers import Node, command, fill, start_node

pytestmark = pytest.mark.anyio


class Stage(NamedTuple):
    """A running daemon with its vault, and two filled servers that it knows as caches."""

    daemon: DaemonProcess
    vault: Path
    source: Node
    target: Node


@pytest.fixture(scope="module")
async def nodes(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[tuple[Node, Node], None]:
    """A source and a target, with different data."""
    async with (
        start_node(engine, tmp_path_factory.mktemp("s"), rdbcompression="no") as source,
        start_node(engine, tmp_path_factory.mktemp("t")) as target,
    ):
        for node, prefix in ((source, "new"), (target, "old")):
            client = node.client()
            await fill(client, prefix=prefix)
            await client.aclose()
        yield source, target


@pytest.fixture
async def stage(
    nursery: Nursery, nodes: tuple[Node, Node], tmp_path: Path
) -> AsyncGenerator[Stage, None]:
    """A daemon that knows both, as `orders` and `copy`."""
    async with installation(nursery, directory_vault(tmp_path / "vault")) as daemon:
        await daemon.start()
        await daemon.add("orders", url=nodes[0].url)
        await daemon.add("copy", url=nodes[1].url)
        yield Stage(daemon, tmp_path / "vault", *nodes)


def failed(view: BackupView | RestoreView, code: str) -> None:
    """It failed for this reason, and says what to do."""
    assert view.phase == "failed"
    assert view.failure is not None
    assert (view.failure.code, bool(view.failure.hint)) == (code, True), view.failure


class Wrong(NamedTuple):
    """A request that cannot be met, and the answer to it."""

    request: Request
    kind: type[ValkeepError]
    code: str
    message: str


NOBODY = "valkey://127.0.0.1:1"
WRONG = [
    Wrong(RequestBackup("orders", "1st"), BadRequest, "backup-name", "'1st' cannot be"),
    Wrong(RequestBackup("orders", "a/../b"), BadRequest, "backup-name", "'a/../b' cannot be"),
    Wrong(RequestBackup("orders", "x" * 101), BadRequest, "backup-name", "cannot be"),
    Wrong(RequestBackup("orders", "taken"), Rejected, "backup-exists", "already has a backup"),
    Wrong(RequestBackup("order", "b"), NotFound, "unknown-cache", "no cache 'order'"),
    Wrong(DeleteBackup("orders/gone"), NotFound, "unknown-backup", "no backup 'orders/gone'"),
    Wrong(RequestRestore("orders/gone", "copy"), NotFound, "unknown-backup", "no backup"),
    Wrong(RequestRestore("orders/taken", "cop"), NotFound, "unknown-cache", "no cache 'cop'"),
    Wrong(AddCache("../x", NOBODY), BadRequest, "cache-name", "'../x' cannot be"),
    Wrong(AddCache("orders", NOBODY), Rejected, "cache-exists", "already a cache 'orders'"),
    Wrong(AddCache("new", "http://127.0.0.1"), BadRequest, "cache-url", "no scheme"),
    Wrong(AddCache("new", NOBODY), Failed, "cache-unreachable", "nothing listens there"),
    Wrong(AddCache("new", NOBODY, vault="other"), NotFound, "unknown-vault", "other"),
    Wrong(SetCache("copy", url=NOBODY), Failed, "cache-unreachable", "nothing listens there"),
]


async def test_a_wrong_request_is_refused_with_a_hint_and_leaves_no_event(stage: Stage) -> None:
    """Whatever cannot be meant is told apart by its kind and code, and the log stays as it was."""
    assert (await stage.daemon.backup("orders", name="taken")).phase == "complete"
    before = await stage.daemon.history()

    for wrong in WRONG:
        with pytest.raises(wrong.kind) as caught:
            await stage.daemon.command(wrong.request)
        assert (caught.value.code, bool(caught.value.hint)) == (wrong.code, True), caught.value
        assert wrong.message in caught.value.message

    assert await stage.daemon.history() == before
    await is_tidy(stage.daemon, stage.vault)


async def test_a_password_that_is_wrong_fails_at_adding_and_at_the_backup(
    stage: Stage, engine: Engine, short_path: Path
) -> None:
    """A wrong password is told when a cache is added; one changed later fails the backup."""
    secret = short_path / "password"
    secret.write_text("wrong")
    async with start_node(engine, short_path / "n", requirepass="right") as node:
        with pytest.raises(Failed, match="did not accept the password") as caught:
            await stage.daemon.add("locked", url=node.url, password_file=str(secret))
        assert caught.value.code == "cache-auth"
        secret.write_text("right\n")
        await stage.daemon.add("locked", url=node.url, password_file=str(secret))
        secret.write_text("wrong")

        failed(await stage.daemon.backup("locked", name="b"), "cache-auth")

    (event,) = [e for e in await stage.daemon.events() if isinstance(e, BackupFailed)]
    assert event.failure.permanent
    await stage.daemon.settled()
    await is_tidy(stage.daemon, stage.vault)


async def test_a_server_that_went_away_fails_the_backup(
    stage: Stage, engine: Engine, short_path: Path
) -> None:
    """A backup of a server that is down fails once, with the reason, and is given up."""
    async with start_node(engine, short_path) as node:
        await stage.daemon.add("away", url=node.url)

    failed(await stage.daemon.backup("away", name="b"), "cache-unreachable")

    assert [e.attempt for e in await stage.daemon.events() if isinstance(e, BackupFailed)] == [1]
    assert any(isinstance(e, BackupAbandoned) for e in await stage.daemon.events())
    await stage.daemon.settled()
    await is_tidy(stage.daemon, stage.vault)


async def test_a_server_that_loads_says_so(stage: Stage, engine: Engine, short_path: Path) -> None:
    """Adding and backing up a server that is still loading fails with that word."""
    async with start_node(engine, short_path) as node:
        await stage.daemon.add("slow", url=node.url)
        client = node.client()
        await fill(client, keys=1_000)
        await command(client, "SAVE")
        await client.aclose()
    delays = {"key-load-delay": "1000", "loading-process-events-interval-bytes": "1024"}
    process = await spawn(engine, short_path / "engine.log", node.settings | delays)
    try:
        await until(lambda: loads(node), "it loads")
        with pytest.raises(Failed, match="still loading") as caught:
            await stage.daemon.add("again", url=node.url)
        assert caught.value.code == "cache-loading"
        failed(await stage.daemon.backup("slow", name="b"), "cache-loading")
    finally:
        process.kill()
        await end(process)


async def loads(node: Node) -> bool:
    """Whether it lets anybody in by now, and loads."""
    client = node.client()
    try:
        await command(client, "PING")
    except BusyLoadingError:
        return True
    except NotThere:
        return False
    else:
        raise AssertionError("it has loaded already")
    finally:
        await client.aclose()


@pytest.mark.parametrize("place", ["file/vault", "missing", "occupied"])
async def test_a_folder_that_cannot_be_written_fails_the_backup(
    nursery: Nursery, nodes: tuple[Node, Node], tmp_path: Path, place: str
) -> None:
    """A vault that is below a file, or not there, or has a file in the way, is named as it is."""
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied" / "caches").write_text("in the way")
    before = files_in(tmp_path)
    async with installation(nursery, f'[vaults.main]\nurl = "file://{tmp_path / place}"') as daemon:
        await daemon.start()
        await daemon.add("orders", url=nodes[0].url)
        backup = await daemon.backup("orders", name="b")

    assert (backup.phase, backup.failure is None) == ("failed", False)
    assert backup.failure is not None
    assert backup.failure.code.startswith("vault-")
    assert str(tmp_path / place) in backup.failure.message
    assert backup.failure.hint
    assert files_in(tmp_path) - {"occupied/valkeep.json"} == before


class Keys(NamedTuple):
    """A bucket, the keys to it, and what is wrong with them."""

    bucket: str
    keys: dict[str, str]
    code: str


@pytest.mark.parametrize(
    "wrong",
    [
        Keys("no-such-bucket", S3_KEYS, "vault-bucket"),
        Keys("backups", S3_KEYS | {"VAULT_SECRET": "canary-secret"}, "vault-credentials"),
        Keys("backups", {}, "secret-missing"),
    ],
    ids=lambda wrong: wrong.code,
)
async def test_a_bucket_that_cannot_be_used_fails_the_backup(
    nursery: Nursery, nodes: tuple[Node, Node], tmp_path: Path, wrong: Keys
) -> None:
    """A missing bucket and wrong or missing keys are told apart, and no key is shown."""
    async with rclone_s3(tmp_path / "s3") as server:
        config = s3_vault(server).replace("s3://backups/", f"s3://{wrong.bucket}/")
        async with installation(nursery, config, wrong.keys) as daemon:
            await daemon.start()
            await daemon.add("orders", url=nodes[0].url)

            failed(await daemon.backup("orders", name="b"), wrong.code)

            assert "canary" not in daemon.output() + (await daemon.raw("backups")).decode()


async def test_a_full_disk_fails_the_backup_and_leaves_nothing(stage: Stage) -> None:
    """What a disk had no room for is swept, and the next backup succeeds when there is room."""
    limits = resource.prlimit(stage.daemon.pid, resource.RLIMIT_FSIZE)
    client = stage.source.client()
    await client.set("incompressible", hashlib.shake_128(b"noise").digest(2 << 20))
    await client.aclose()
    resource.prlimit(stage.daemon.pid, resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        backup = await stage.daemon.backup("orders", name="b")
    finally:
        resource.prlimit(stage.daemon.pid, resource.RLIMIT_FSIZE, limits)
    failed(backup, "vault-full")
    await stage.daemon.settled()
    await is_tidy(stage.daemon, stage.vault)
    assert (await stage.daemon.backup("orders", name="b")).phase == "complete"
