"""Copies of real backups in a second vault: made, killed, damaged, deleted, and restored from."""

import shutil
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest

from daemon.answers import Accepted, BackupDetail, BackupView, CopyView
from daemon.commands import AddCache, DeleteBackup, RequestBackup, RequestCopy, RequestRestore
from daemon.errors import Rejected
from daemon.valkey.engine import Engine
from events.copies import CopyCompleted, CopyDeleted, CopyFailed
from events.proofs import VerificationFailed
from events.types import BackupDeleted
from tests.support.autos import told, typing
from tests.support.autos import until as until_told
from tests.support.daemon import S3_KEYS, DaemonProcess, directory_vault, installation, s3_vault
from tests.support.nursery import Nursery
from tests.support.outcome import data_of, files_in, place_of
from tests.support.s3 import BUCKET, rclone_s3
from tests.support.servers import Node, start_node

pytestmark = pytest.mark.anyio


class Place(NamedTuple):
    """An installation with two vaults, and the folders in which their objects can be seen."""

    daemon: DaemonProcess
    main: Path
    second: Path


def called(name: str, *, config: str) -> str:
    """The configuration of a vault, under another name."""
    return config.replace("[vaults.main]", f"[vaults.{name}]")


@pytest.fixture
async def place(nursery: Nursery, tmp_path: Path, node: Node) -> AsyncGenerator[Place, None]:
    """A running daemon whose cache "orders" is copied from one directory to another."""
    main, second = tmp_path / "main", tmp_path / "second"
    config = directory_vault(main) + called("second", config=directory_vault(second))
    async with installation(nursery, config) as daemon:
        await daemon.start()
        await added(daemon, node)
        yield Place(daemon, main, second)


async def added(daemon: DaemonProcess, node: Node, *, copy_to: str | None = "second") -> None:
    """Put the cache under backup."""
    request = AddCache("orders", node.url, vault="main", copy_to=copy_to, source="replication")
    await daemon.command(request)


async def shown(daemon: DaemonProcess, reference: str = "orders/one") -> BackupView:
    """One backup."""
    return (await daemon.get(BackupDetail, "backups", reference)).backup


async def copied(daemon: DaemonProcess) -> CopyView:
    """A backup is made and copied; its copy."""
    await daemon.backup("orders", name="one")
    await until_told(daemon, CopyCompleted)
    (copy,) = (await shown(daemon)).copies
    return copy


def same(one: Path, *, other: Path) -> bool:
    """Whether two vaults hold the same objects, whosever they are, copies of the log aside."""
    names = {name for name in files_in(one) | files_in(other) if not name.startswith("log/")}
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


@pytest.mark.parametrize("to_s3", [True, False])
async def test_copy_between_a_directory_and_a_bucket(
    nursery: Nursery, tmp_path: Path, node: Node, *, to_s3: bool
) -> None:
    """A backup in a directory is copied to a bucket, and one in a bucket to a directory."""
    folder = tmp_path / "folder"
    async with rclone_s3(tmp_path / "s3") as server:
        bucket = tmp_path / "s3" / BUCKET / "team"
        vaults = {"main": directory_vault(folder), "second": s3_vault(server)}
        if not to_s3:
            vaults = {"main": s3_vault(server), "second": directory_vault(folder)}
        config = "".join(called(name, config=text) for name, text in vaults.items())
        async with installation(nursery, config, S3_KEYS) as daemon:
            await daemon.start()
            await added(daemon, node)

            copy = await copied(daemon)

            assert ("second", "complete", "copy_to") == (copy.vault, copy.phase, copy.wanted_by)
            assert same(folder, other=bucket)
            assert 3 == len(files_in(folder))


async def test_restore_from_a_copy_when_the_first_vault_is_lost(
    place: Place, engine: Engine, node: Node, tmp_path: Path
) -> None:
    """With the first vault's folder gone, `--from` restores from the second; the error says so."""
    daemon = place.daemon
    await copied(daemon)
    shutil.rmtree(place.main)
    async with start_node(engine, tmp_path / "t") as target:
        await daemon.command(AddCache("spare", target.url, vault="main"))

        failed = await daemon.restore("orders/one", to="spare")
        words = ("restore", "orders/one", "--to", "spare", "--from", "second", "--yes", "--wait")
        await typing(daemon, *words)

        assert failed.failure is not None
        assert "--from second" in failed.failure.hint
        assert await data_of(node) == await data_of(target)


async def test_old_backup_is_copied_by_command(place: Place) -> None:
    """A backup of the time before gets a copy by command, which can be waited for."""
    daemon = place.daemon
    await typing(daemon, "cache", "set", "orders", "--copy-to", "none")
    await daemon.backup("orders", name="one")
    words = ("backup", "copy", "orders/one", "--to", "second", "--wait")
    assert "orders/one is copied to second" in (await typing(daemon, *words)).out
    assert same(place.main, other=place.second)


async def test_no_copy_there_is_refused(place: Place) -> None:
    """A restore from a vault that has no copy is refused, and tells where the backup is."""
    await copied(place.daemon)
    with pytest.raises(Rejected, match="no copy") as caught:
        await place.daemon.command(RequestRestore("orders/one", "orders", vault="third"))
    assert "main, second" in caught.value.hint
    printed = await typing(
        place.daemon, "restore", "orders/one", "--to", "orders", "--from", "secnd", code=4
    )
    assert "Did you mean 'second'?" in printed.err


@pytest.mark.parametrize(
    "doom",
    ["after copy-started", "phase copying", "bytes 1 copying", "before copy-completed"],
)
async def test_killed_in_the_middle_of_a_copy(place: Place, doom: str) -> None:
    """After ``kill -9`` while it copies, the copy begins again, and nothing is left beside it."""
    daemon = place.daemon
    await daemon.stop()
    await daemon.start(doom=doom)
    await daemon.command(RequestBackup("orders", "one"))
    await daemon.died()
    await daemon.start()
    await until_told(daemon, CopyFailed)

    await daemon.travel(daemon.clock.now() + timedelta(minutes=2))
    await until_told(daemon, CopyCompleted)

    assert same(place.main, other=place.second)
    assert "complete" == (await shown(daemon)).copies[0].phase


async def test_damaged_source_is_not_copied(place: Place) -> None:
    """A damaged backup is not copied: `check` says so, and the second vault has nothing."""
    daemon = place.daemon
    await typing(daemon, "cache", "set", "orders", "--copy-to", "none")
    view = await daemon.backup("orders", name="one")
    stored = place.main / place_of(view) / "0000.rdb.zst"
    data = bytearray(stored.read_bytes())
    data[len(data) // 2] ^= 1
    stored.write_bytes(data)

    words = ("backup", "copy", "orders/one", "--to", "second", "--wait")
    failed = (await typing(daemon, *words, code=1)).err
    assert "is not copied to second" in failed
    assert "It is tried again at" in failed

    (copy,) = (await shown(daemon)).copies
    assert copy.failure is not None
    assert ("failed", "block-damaged") == (copy.phase, copy.failure.code)
    assert {"valkeep.json"} == files_in(place.second)
    await until_told(daemon, VerificationFailed)  # the backup itself is looked at for that
    checked = await typing(daemon, "check", code=2)
    assert "CRITICAL damaged orders: backup one failed its verification" in checked.out
    assert "WARNING copies orders: one has no copy in second" in checked.out


async def test_deletion_takes_the_copy_along(place: Place) -> None:
    """A deleted backup is gone from both vaults when the log says that it is gone."""
    await copied(place.daemon)
    await place.daemon.command(DeleteBackup("orders/one"))
    await until_told(place.daemon, BackupDeleted)
    assert {"valkeep.json"} == files_in(place.main) == files_in(place.second)


async def test_dead_second_vault_does_not_hold_up_the_first(place: Place) -> None:
    """The first vault is freed at once, and the deletion is finished when the second is back."""
    daemon = place.daemon
    await copied(daemon)
    away = place.second.rename(place.second.with_name("away"))
    await daemon.command(DeleteBackup("orders/one"))
    with anyio.fail_after(30):
        while files_in(place.main) != {"valkeep.json"}:
            await daemon.get(BackupDetail, "backups", "orders/one")
    assert [] == await told(daemon, BackupDeleted)

    away.rename(place.second)
    await until_told(daemon, BackupDeleted)
    assert {"valkeep.json"} == files_in(place.second)


async def test_two_names_for_one_place_harm_nothing(
    nursery: Nursery, tmp_path: Path, node: Node
) -> None:
    """A second vault that is the first one under another name is found out, and nothing is lost."""
    main = tmp_path / "main"
    config = directory_vault(main)
    alias = tmp_path / "alias"
    alias.symlink_to(main)
    config += f'[vaults.second]\nurl = "file://{alias}"\n'
    async with installation(nursery, config) as daemon:
        await daemon.start()
        await added(daemon, node)
        view = await daemon.backup("orders", name="one")
        await until_told(daemon, CopyFailed)

        (copy,) = (await shown(daemon)).copies
        assert copy.failure is not None
        assert "copy-same-place" == copy.failure.code
        await typing(daemon, "cache", "set", "orders", "--copy-to", "none")
        await until_told(daemon, CopyDeleted)
        assert {"valkeep.json", *_objects(view)} == files_in(main)


def _objects(view: BackupView) -> set[str]:
    return {f"{place_of(view)}/{name}" for name in ("0000.rdb.zst", "manifest.json")}


async def test_vault_with_copies_cannot_leave(place: Place) -> None:
    """Without the second vault in its file the daemon does not start while copies are there."""
    daemon = place.daemon
    await copied(daemon)
    assert 0 == await daemon.stop()
    daemon.configure(directory_vault(place.main))
    daemon.launch()
    assert 2 == await daemon.ended()
    assert "[vaults.second] with 1" in daemon.output()


async def test_list_and_show_tell_of_copies(place: Place) -> None:
    """`backup list` has a column of copies, `backup show` their state, `status` their number."""
    daemon = place.daemon
    await copied(daemon)
    assert "COPY" in (await typing(daemon, "backup", "list")).out
    page = (await typing(daemon, "backup", "show", "orders/one")).out
    assert "copies\n  second  complete since" in page
    assert "0 + 1 copy" in (await typing(daemon, "status")).out
    again = await typing(daemon, "backup", "copy", "orders/one", code=3)
    assert "has a copy in 'second' already" in again.err


async def test_encrypted_vault_takes_no_plain_copy(
    nursery: Nursery, tmp_path: Path, node: Node
) -> None:
    """Plain data never goes into a vault with recipients: refused for a cache, and for a backup."""
    sealed = called("second", config=directory_vault(tmp_path / "second"))
    sealed += 'recipients = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]\n'
    async with installation(nursery, directory_vault(tmp_path / "main") + sealed) as daemon:
        await daemon.start()
        with pytest.raises(Rejected, match="not encrypted"):
            await added(daemon, node)
        await added(daemon, node, copy_to=None)
        await daemon.backup("orders", name="one")
        with pytest.raises(Rejected, match="not encrypted"):
            await daemon.command(RequestCopy("orders/one", "second"))
        accepted: Accepted = await daemon.command(DeleteBackup("orders/one"))
        assert accepted.deleted_backup_ids
