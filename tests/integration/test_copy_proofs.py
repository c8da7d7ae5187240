"""Copies of real backups that are verified, damaged, made anew, and read back by schedule."""

import shutil
import signal
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from daemon.answers import BackupDetail, BackupView
from daemon.commands import AddCache, RequestVerification
from daemon.errors import Rejected
from events.copies import CopyCompleted, CopyFailed
from events.copy_proofs import (
    CopyMendingRequested,
    CopyVerificationFailed,
    CopyVerificationPutOff,
    CopyVerificationRequested,
    CopyVerified,
)
from events.proofs import VerificationFailed
from events.types import Event
from projections.state import State
from tests.integration.test_completion import tab
from tests.support.autos import told, typing
from tests.support.daemon import S3_KEYS, DaemonProcess, directory_vault, installation, s3_vault
from tests.support.nursery import Nursery
from tests.support.outcome import files_in, place_of
from tests.support.s3 import BUCKET, rclone_s3
from tests.support.servers import Node

pytestmark = pytest.mark.anyio


NEVER = "verify_copies_days = 0"


class Place(NamedTuple):
    """An installation with three vaults, and the folders in which their objects can be seen."""

    daemon: DaemonProcess
    main: Path
    bucket: Path
    third: Path
    config: str

    async def copied(self, name: str) -> BackupView:
        """A backup of that name, with a whole copy in the second vault."""
        await self.daemon.backup("orders", name=name)
        while (view := await self.shown(name)).copies[0].phase != "complete":
            await self.daemon.get(
                BackupDetail, "backups", f"orders/{name}", query={"wait": 20, "copies": True}
            )
        return view

    async def shown(self, name: str) -> BackupView:
        """One backup."""
        return (await self.daemon.get(BackupDetail, "backups", f"orders/{name}")).backup

    async def times(self, kind: type[Event], view: BackupView) -> int:
        """How many events of a kind there are about a backup."""
        return sum(_is_of(event, view) for _, event in await told(self.daemon, kind))

    async def until(self, kind: type[Event], view: BackupView, *, count: int = 1) -> None:
        """Wait for so many events of a kind about a backup."""
        seen = 0

        def counted(_: State, event: Event) -> bool:
            nonlocal seen
            seen += isinstance(event, kind) and _is_of(event, view)
            return seen == count

        await self.daemon.until(counted)


def _is_of(event: Event, view: BackupView) -> bool:
    return getattr(event, "backup_id", "") == view.backup_id


def flip(file: Path) -> None:
    """One bit in the middle of a file is another."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def called(name: str, *, config: str) -> str:
    """The configuration of a vault, under another name."""
    return config.replace("[vaults.main]", f"[vaults.{name}]")


@pytest.fixture(scope="module")
async def place(
    nursery: Nursery, tmp_path_factory: pytest.TempPathFactory, node: Node
) -> AsyncGenerator[Place, None]:
    """A running daemon whose cache "orders" is copied from a directory to a bucket."""
    folder = tmp_path_factory.mktemp("v")
    async with rclone_s3(folder / "s3") as server:
        config = directory_vault(folder / "main") + called("second", config=s3_vault(server))
        config += called("third", config=directory_vault(folder / "third"))
        config += f"{NEVER}\n"
        async with installation(nursery, config, S3_KEYS) as daemon:
            await daemon.start()
            request = AddCache("orders", node.url, vault="main", copy_to="second")
            await daemon.command(request)
            bucket = folder / "s3" / BUCKET / "team"
            yield Place(daemon, folder / "main", bucket, folder / "third", config)


async def test_copy_is_proven(place: Place) -> None:
    """`verify --from` loads the copy, and says nothing of the backup; all pages tell of it."""
    daemon, view = place.daemon, await place.copied("whole")
    printed = await typing(daemon, "backup", "verify", "orders/whole", "--from", "second")
    assert "The copy of backup orders/whole in second is good: loaded." in printed.out
    view = await place.shown("whole")
    assert view.proof is None
    assert view.copies[0].proof is not None
    assert "second (proven)" in (await typing(daemon, "backup", "list")).out
    assert "read back" in (await typing(daemon, "backup", "show", "orders/whole")).out
    assert "one read back" in (await typing(daemon, "status", "orders")).out


async def test_vault_without_a_copy_is_refused(place: Place) -> None:
    """A vault without a copy is refused with where it is, and a typo with what was meant."""
    await place.copied("refused")
    with pytest.raises(Rejected, match="no copy") as caught:
        await place.daemon.command(RequestVerification("orders/refused", vault="third"))
    assert "main, second" in caught.value.hint
    offered = tab("backup verify orders/refused --from ", socket=str(place.daemon.socket))
    assert ["main", "second"] == offered
    words = ("backup", "verify", "orders/refused", "--from", "secnd")
    assert "Did you mean 'second'?" in (await typing(place.daemon, *words, code=4)).err


async def test_flipped_byte_in_a_bucket_is_found_and_mended(place: Place) -> None:
    """A copy with one wrong byte fails, is made anew from its backup, and is told of for a day."""
    daemon, view = place.daemon, await place.copied("flipped")
    stored = place.bucket / place_of(view) / "0000.rdb.zst"
    whole = stored.read_bytes()
    flip(stored)

    words = ("backup", "verify", "orders/flipped", "--from", "second", "--quick")
    failed = (await typing(daemon, *words, code=1)).err
    assert "The copy of backup orders/flipped in second failed its verification" in failed
    await place.until(CopyCompleted, view, count=2)

    assert stored.read_bytes() == whole
    view = await place.shown("flipped")
    assert view.proof is None
    assert view.copies[0].mended_at is not None
    checked = (await typing(daemon, "check", code=1)).out
    assert "WARNING copy-damaged orders: the copy of flipped in second was damaged" in checked
    assert "CRITICAL damaged" not in checked
    await typing(daemon, *words)


@pytest.mark.parametrize("gone", ["0000.rdb.zst", "manifest.json"])
async def test_object_that_is_gone_is_found_and_mended(place: Place, gone: str) -> None:
    """A copy of which an object was taken away fails, and has it back."""
    view = await place.copied(f"gone-{gone[:4]}")
    await typing(place.daemon, "backup", "copy", view.backup_id, "--to", "third", "--wait")
    (place.third / place_of(view) / gone).unlink()
    await place.daemon.command(RequestVerification(view.backup_id, quick=True, vault="third"))
    await place.until(CopyCompleted, view, count=3)
    assert (place.third / place_of(view) / gone).exists()


async def test_silent_vault_says_nothing_of_its_copies(place: Place) -> None:
    """While a vault is away its copies are neither good nor bad: it is tried again."""
    view = await place.copied("silent")
    await typing(place.daemon, "backup", "copy", view.backup_id, "--to", "third", "--wait")
    away = place.third.rename(place.third.with_name("away"))
    try:
        words = ("backup", "verify", view.backup_id, "--from", "third", "--no-wait")
        await typing(place.daemon, *words)
        await place.until(CopyVerificationPutOff, view)
    finally:
        away.rename(place.third)
    assert 0 == await place.times(CopyVerificationFailed, view)
    page = (await typing(place.daemon, "status")).out
    assert "verification of orders/silent in third" in page
    await typing(place.daemon, "backup", "delete", view.backup_id, "--yes")


async def test_both_damaged_are_told_and_left_as_they_are(place: Place) -> None:
    """With the backup damaged too nothing of the copy is removed, and both are told of."""
    view = await place.copied("both")
    copy = place.bucket / place_of(view) / "0000.rdb.zst"
    flip(copy)
    flip(place.main / place_of(view) / "0000.rdb.zst")
    kept = copy.read_bytes()
    await place.daemon.command(RequestVerification(view.backup_id, quick=True, vault="second"))
    await place.until(VerificationFailed, view)

    assert copy.read_bytes() == kept
    checked = (await typing(place.daemon, "check", code=2)).out
    assert "CRITICAL damaged orders: backup both failed" in checked
    assert "it could not be made anew" in checked
    refused = await typing(
        place.daemon, "restore", view.backup_id, "--to", "orders", "--from", "second", code=3
    )
    assert "found damaged, and is to be made anew" in refused.err
    await typing(place.daemon, "backup", "delete", view.backup_id, "--yes")


async def test_copy_that_is_whole_is_named_when_its_backup_is_not(place: Place) -> None:
    """A backup that fails its verification, and has a whole copy, says how to restore that."""
    view = await place.copied("lost")
    shutil.rmtree(place.main / place_of(view))
    failed = await typing(place.daemon, "backup", "verify", view.backup_id, code=1)
    assert "Its copy can be restored: say --from second" in failed.err
    assert "--from second" in (await typing(place.daemon, "check", code=2)).out
    await typing(place.daemon, "backup", "delete", view.backup_id, "--yes")


async def test_killed_while_it_is_verified(place: Place) -> None:
    """After ``kill -9`` in the middle of a verification the next start begins it again at once."""
    view = await place.copied("killed-reading")
    flip(place.bucket / place_of(view) / "0000.rdb.zst")
    await doomed(place, view, "phase checking hashes")
    await place.until(CopyCompleted, view, count=2)
    assert same(place, view)


async def test_killed_while_it_is_made_anew(place: Place) -> None:
    """After ``kill -9`` while a copy is made anew that begins again, and is asked for once."""
    daemon, view = place.daemon, await place.copied("killed-mending")
    flip(place.bucket / place_of(view) / "0000.rdb.zst")
    await doomed(place, view, "phase proving the backup")
    await place.until(CopyFailed, view)
    await daemon.travel(daemon.clock.now() + timedelta(minutes=2))
    await place.until(CopyCompleted, view, count=2)

    assert 1 == await place.times(CopyMendingRequested, view)
    assert same(place, view)


async def doomed(place: Place, view: BackupView, doom: str) -> None:
    """The copy of a backup is verified by a daemon that dies there, and the next one starts."""
    await place.daemon.stop()
    await place.daemon.start(doom=doom)
    await place.daemon.command(RequestVerification(view.backup_id, quick=True, vault="second"))
    await place.daemon.died()
    await place.daemon.start()


def same(place: Place, view: BackupView) -> bool:
    """Whether the copy has what the backup has."""
    one, other = place.main / place_of(view), place.bucket / place_of(view)
    names = files_in(one) | files_in(other)
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


async def test_newest_copy_is_read_back_by_itself(place: Place) -> None:
    """A week later the newest copy is read back, found damaged, and made anew; nobody has asked."""
    view = await place.copied("newest")
    flip(place.bucket / place_of(view) / "0000.rdb.zst")
    await place.daemon.travel(place.daemon.clock.now() + timedelta(days=7, minutes=1))
    await place.until(CopyVerificationFailed, view)
    await place.until(CopyCompleted, view, count=2)
    assert same(place, view)
    assert 0 == await place.times(CopyVerified, view)


async def test_vault_is_read_when_its_setting_says_so(place: Place) -> None:
    """Copies of a vault with no period are left alone; a reload with one has them read at once."""
    daemon, view = place.daemon, await place.copied("late")
    await typing(daemon, "backup", "copy", view.backup_id, "--to", "third", "--wait")
    await daemon.travel(daemon.clock.now() + timedelta(days=2))
    assert not await wanted_in(place, "third")

    daemon.configure(place.config.replace(NEVER, "verify_copies_days = 1"))
    daemon.signal(signal.SIGHUP)
    await place.until(CopyVerified, view)
    assert await wanted_in(place, "third")


async def wanted_in(place: Place, vault: str) -> bool:
    """Whether the policy has asked for a copy there."""
    asked = [event for _, event in await told(place.daemon, CopyVerificationRequested)]
    return any(event.vault == vault and event.cause == "policy" for event in asked)
