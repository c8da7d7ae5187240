"""A log that was replaced by an older copy of itself: the chain is whole, and yet it lies (L3)."""

import shutil
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

import pytest

from daemon.answers import VerdictView
from daemon.commands import DeleteBackup, RemoveCache
from daemon.errors import Failed, Rejected
from events.recoveries import LogRecovered, LogWentBack
from events.types import (
    BackupDeleted,
    DeletionRequested,
    Event,
)
from projections.state import State
from tests.support.autos import typing, until
from tests.support.daemon import DaemonProcess, installation
from tests.support.nursery import Nursery
from tests.support.places import Place, place_for
from tests.support.poll import until as poll_until
from tests.support.servers import Node

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)


@pytest.fixture(params=["directory", "rclone"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Place, None]:
    """A fresh vault."""
    async with place_for(request.param, tmp_path) as place:
        yield place


@pytest.fixture
async def daemon(nursery: Nursery, place: Place, node: Node) -> AsyncGenerator[DaemonProcess, None]:
    """A running daemon with the cache "orders", whose auto backups are kept for a day."""
    async with installation(nursery, place.config, place.environment) as daemon:
        await daemon.start()
        await typing(
            daemon,
            *("cache", "add", "orders", "--url", node.url, "--auto", "--retention-days", "1"),
            *("--keep-last", "0"),
        )
        yield daemon


async def auto(daemon: DaemonProcess) -> None:
    """An auto backup, made now."""
    await typing(daemon, "backup", "create", "orders", "--auto", "--wait")


async def ids(daemon: DaemonProcess) -> list[str]:
    """The ids of the backups that exist by the log."""
    return sorted(view.backup_id for view in await daemon.listed())


class Copy:
    """A copy of a stopped daemon's log, as one in a machine's snapshot."""

    def __init__(self, daemon: DaemonProcess, folder: Path) -> None:
        self._daemon = daemon
        self._file = folder / "older.db"
        shutil.copy(daemon.log, self._file)

    def put_back(self) -> None:
        """The newer log is lost."""
        shutil.copy(self._file, self._daemon.log)


async def set_back(daemon: DaemonProcess, folder: Path) -> None:
    """Lose the log's newest part: a backup of each kind, and the deletion of an older one."""
    await daemon.backup("orders", name="first")
    await auto(daemon)
    assert await daemon.stop() == 0
    copy = Copy(daemon, folder)
    await daemon.start()
    await daemon.backup("orders", name="second")
    await auto(daemon)
    await daemon.command(DeleteBackup("orders/first"))
    await daemon.until(lambda _, event: isinstance(event, BackupDeleted))
    assert await daemon.stop() == 0
    copy.put_back()


async def noticed(daemon: DaemonProcess) -> None:
    """Wait until the daemon knows."""
    await until(daemon, LogWentBack)


async def test_nothing_is_deleted_until_somebody_decides(
    daemon: DaemonProcess, place: Place, tmp_path: Path
) -> None:
    """L3: with a log that went back nothing goes, though retention is due; `recover` mends it."""
    await set_back(daemon, tmp_path)
    there = place.manifests()
    assert 3 == len(there)

    await daemon.travel(daemon.clock.now() + 2 * DAY)
    await noticed(daemon)
    checked = await typing(daemon, "check", "--quiet", code=2)
    with pytest.raises(Rejected, match="went back"):
        await daemon.command(DeleteBackup("orders/first"))
    with pytest.raises(Rejected, match="went back"):
        await daemon.command(RemoveCache("orders"))
    fresh = await daemon.backup("orders", name="fresh")
    status = await typing(daemon, "status")
    assert await daemon.stop() == 0
    await daemon.start()

    assert "the log went back" in checked.out
    assert "valkeep recover" in status.out
    assert sorted([*there, fresh.backup_id]) == place.manifests()
    assert not any(isinstance(e, DeletionRequested) for e in await daemon.events())

    printed = await typing(daemon, "recover", "--yes")
    assert "2 backups" in printed.out
    await daemon.until(lambda _, event: isinstance(event, BackupDeleted))  # "first", once more
    assert place.manifests() == await ids(daemon)
    assert "went back" not in (await typing(daemon, "status")).out
    assert (await daemon.get(VerdictView, "audit", "verify")).records

    await daemon.travel(daemon.clock.now() + 2 * DAY)
    left = 2

    def both_gone(_: State, event: Event) -> bool:
        nonlocal left
        left -= isinstance(event, BackupDeleted)
        return left < 0

    await daemon.until(both_gone)
    assert ["fresh", "second"] == sorted(view.name for view in await daemon.listed())


@pytest.mark.parametrize("place", ["directory"], indirect=True)
async def test_the_copies_are_of_the_mended_log(
    daemon: DaemonProcess, place: Place, tmp_path: Path
) -> None:
    """L6: the copy of the log that was given up is kept aside, and the mended one is copied."""
    await set_back(daemon, tmp_path)
    old = place.segments()
    await daemon.start()
    await noticed(daemon)
    assert await daemon.stop() == 0
    assert old == place.segments()

    await daemon.start()
    await typing(daemon, "recover", "--yes")
    assert [] == place.segments()
    assert len(old) == len(place.names("log/aside-"))
    assert await daemon.stop() == 0

    assert place.segments()
    await daemon.start()
    await typing(daemon, "recover", "--yes", code=3)
    await typing(daemon, "audit", "verify")


@pytest.mark.parametrize("place", ["directory"], indirect=True)
async def test_a_dropped_wal_is_noticed(daemon: DaemonProcess, place: Place) -> None:
    """L3: a log whose newest part was in a WAL that is gone is noticed by a manifest alone."""
    await daemon.backup("orders", name="first")
    assert await daemon.stop() == 0
    shutil.rmtree(place.folder / "log")
    await daemon.start()
    second = await daemon.backup("orders", name="second")
    await daemon.kill()
    wal = daemon.log.with_name(f"{daemon.log.name}-wal")
    assert wal.stat().st_size
    wal.unlink()

    await daemon.start()
    await noticed(daemon)
    await typing(daemon, "recover", "--yes")

    assert second.backup_id in await ids(daemon)
    assert "completed" == (await daemon.restore("orders/second", to="orders")).phase


@pytest.mark.parametrize("place", ["directory"], indirect=True)
@pytest.mark.parametrize(
    "point", ["before backup-recovered", "after backup-recovered", "before log-recovered"]
)
async def test_a_recovery_that_was_killed_is_repeated(
    daemon: DaemonProcess, place: Place, tmp_path: Path, point: str
) -> None:
    """Killed at any of its steps, a recovery is told again and ends the same."""
    await set_back(daemon, tmp_path)
    await daemon.start(doom=point)
    await noticed(daemon)
    await typing(daemon, "recover", "--yes", code=5)
    await daemon.died()

    await daemon.start()
    await typing(daemon, "recover", "--yes")
    await daemon.until(lambda _, event: isinstance(event, BackupDeleted))

    assert place.manifests() == await ids(daemon)
    assert 1 == sum(isinstance(event, LogRecovered) for event in await daemon.events())


@pytest.mark.parametrize("place", ["directory"], indirect=True)
async def test_a_vault_that_cannot_be_reached_keeps_its_backups(
    daemon: DaemonProcess, place: Place
) -> None:
    """L3: until a vault was compared with the log nothing goes there; then it does."""
    await daemon.backup("orders", name="first")
    assert await daemon.stop() == 0
    away = place.folder.with_name("away")
    place.folder.rename(away)
    await daemon.start()
    await daemon.command(DeleteBackup("orders/first"))

    async def told() -> bool:
        return "log not copied" in daemon.output()

    await poll_until(told, "the daemon says that the vault cannot be reached")
    away.rename(place.folder)

    await daemon.until(lambda _, event: isinstance(event, BackupDeleted))
    assert [] == place.manifests()


@pytest.mark.parametrize("place", ["directory"], indirect=True)
async def test_audit_notices_that_the_log_went_back(daemon: DaemonProcess, tmp_path: Path) -> None:
    """`audit verify` compares the log with what the vault's newest manifest remembers (L3)."""
    first = await daemon.backup("orders", name="first")
    verdict = await daemon.get(VerdictView, "audit", "verify")
    assert [first.backup_id] == [tip.backup_id for tip in verdict.tips]
    await daemon.stop()
    copy = Copy(daemon, tmp_path)
    await daemon.start()
    second = await daemon.backup("orders", name="second")
    await daemon.stop()
    copy.put_back()
    await daemon.start()

    with pytest.raises(Failed, match=f"went back.*{second.backup_id}") as raised:
        await daemon.get(VerdictView, "audit", "verify")

    assert raised.value.code == "log-set-back"
