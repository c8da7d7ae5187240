"""Whose vault it is (S2), and what is never deleted there (S1): real daemons, real places."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from anyio import create_task_group
from msgspec import Struct

from daemon.answers import BackupView
from daemon.commands import DeleteBackup
from daemon.storage.names import OWNER
from events.types import BackupDeleted, DeletionRequested, Event, LeftoversSwept
from projections.state import State
from tests.support.autos import typing
from tests.support.daemon import S3_KEYS, DaemonProcess, directory_vault, installation, s3_vault
from tests.support.nursery import Nursery
from tests.support.outcome import place_of
from tests.support.poll import until
from tests.support.proxy import Fault, proxy_before
from tests.support.s3 import BUCKET, S3Server, rclone_s3
from tests.support.servers import Node

pytestmark = pytest.mark.anyio

STRANGER = "caches/orders/20200101T000000Z-0badcafe"
"""A backup's folder that no log of these tests knows."""


class Place(Struct, frozen=True):
    """Where a vault is: as a configuration says it, and as a folder that can be looked into."""

    config: str
    folder: Path
    environment: Mapping[str, str] = {}

    def contents(self) -> dict[str, bytes]:
        """Everything that is there, whoever put it there."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }


@pytest.fixture(params=["directory", "rclone"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Place, None]:
    """A fresh vault; that of rclone cannot decide who is first."""
    if request.param == "directory":
        yield Place(directory_vault(tmp_path / "vault"), tmp_path / "vault")
        return
    async with rclone_s3(tmp_path) as server:
        yield Place(s3_vault(server), tmp_path / BUCKET / "team", S3_KEYS)


class Installing:
    """Makes installations on one vault, each with a log of its own."""

    def __init__(self, nursery: Nursery, place: Place, node: Node, stack: AsyncExitStack) -> None:
        self._nursery = nursery
        self._place = place
        self._node = node
        self._stack = stack

    async def __call__(self, config: str | None = None) -> DaemonProcess:
        """A running daemon with the cache "orders"."""
        daemon = await self._stack.enter_async_context(
            installation(self._nursery, config or self._place.config, self._place.environment)
        )
        await daemon.start()
        await daemon.add("orders", url=self._node.url)
        return daemon


@pytest.fixture
async def install(nursery: Nursery, place: Place, node: Node) -> AsyncGenerator[Installing, None]:
    """Installations that end with the test."""
    async with AsyncExitStack() as stack:
        yield Installing(nursery, place, node, stack)


def code(backup: BackupView) -> str:
    """Why a backup failed, or how it is."""
    return backup.failure.code if backup.failure else backup.phase


async def said(daemon: DaemonProcess, words: str) -> None:
    """Wait until the daemon's own log says this."""

    async def says() -> bool:
        return words in daemon.output()

    await until(says, f"the daemon says {words!r}")


def is_deletion(_: State, event: Event) -> bool:
    """Whether the vault has confirmed a deletion."""
    return isinstance(event, BackupDeleted)


async def test_a_fresh_log_may_not_write_to_an_old_vault(install: Installing, place: Place) -> None:
    """S2: a new installation on an old vault is told whose it is, and changes nothing there."""
    first = await install()
    assert "complete" == (await first.backup("orders", name="kept")).phase
    assert await first.stop() == 0
    before = place.contents()

    fresh = await install()
    printed = await typing(fresh, "backup", "create", "orders", "mine", "--wait", code=1)
    await said(fresh, "work put off")  # the sweep of that attempt
    await typing(fresh, "cache", "remove", "orders", "--yes")

    assert "belongs to another installation" in printed.err
    assert "valkeep recover --adopt" in printed.err
    assert before == place.contents()
    assert not any(isinstance(e, LeftoversSwept | BackupDeleted) for e in await fresh.events())


async def test_the_owner_goes_on_after_a_stranger_came(install: Installing, place: Place) -> None:
    """S2: what the second installation tried does not keep the first from its work."""
    first = await install()
    kept = await first.backup("orders", name="kept")
    second = await install()
    assert "vault-foreign" == code(await second.backup("orders", name="kept"))

    assert "complete" == (await first.backup("orders", name="more")).phase
    await first.command(DeleteBackup("orders/kept"))
    await first.until(is_deletion)

    assert not (place.folder / place_of(kept)).exists()
    assert 1 == len(await first.listed())


async def test_what_the_log_does_not_know_is_never_deleted(
    install: Installing, place: Place
) -> None:
    """S1: deletions, sweeps and the removal of the cache leave strange objects as they are."""
    daemon = await install()
    assert "complete" == (await daemon.backup("orders", name="one")).phase
    strange = {
        f"{STRANGER}/manifest.json": b"{}",
        f"{STRANGER}/0000.rdb.zst": b"not ours",
        "caches/orders/notes.txt": b"by hand",
        "notes.txt": b"by hand",
    }
    for name, data in strange.items():
        path = place.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    await daemon.kill()
    await daemon.start()
    await daemon.command(DeleteBackup("orders/one"))
    await typing(daemon, "cache", "remove", "orders", "--yes")
    await daemon.settled()

    left = place.contents()
    assert left.pop(OWNER)
    assert strange == left
    assert () == await daemon.listed()


async def test_a_vault_that_was_taken_over_is_left_alone(install: Installing, place: Place) -> None:
    """S2: when another installation's id is in the vault, the old owner stops at its next job.

    What it was to delete stays outstanding, and goes on when the vault is its own again.
    """
    daemon = await install()
    assert "complete" == (await daemon.backup("orders", name="one")).phase
    own = (place.folder / OWNER).read_bytes()
    (place.folder / OWNER).write_bytes(b'{"format":1,"installation":"20200101T000000Z-0badcafe"}')
    before = place.contents()

    assert "vault-foreign" == code(await daemon.backup("orders", name="two"))
    await daemon.command(DeleteBackup("orders/one"))
    await said(daemon, "work put off")
    assert before == place.contents()
    assert not any(isinstance(event, BackupDeleted) for event in await daemon.events())

    (place.folder / OWNER).write_bytes(own)
    await daemon.until(is_deletion)


@pytest.mark.parametrize("place", ["directory"], indirect=True)
async def test_an_empty_mount_point_is_not_the_vault(install: Installing, place: Place) -> None:
    """S1: where a vault's disk is not mounted nothing is written, and nothing counts as gone."""
    daemon = await install()
    view = await daemon.backup("orders", name="one")
    away = place.folder.with_name("unmounted")
    place.folder.rename(away)
    place.folder.mkdir()

    refused = await daemon.backup("orders", name="two")
    await daemon.command(DeleteBackup("orders/one"))
    await said(daemon, "but no valkeep.json")
    assert "vault-owner-missing" == code(refused)
    assert {} == place.contents()
    assert (away / place_of(view) / "manifest.json").exists()
    assert not any(isinstance(event, BackupDeleted) for event in await daemon.events())

    place.folder.rmdir()
    away.rename(place.folder)
    await daemon.until(is_deletion)
    assert not (place.folder / place_of(view)).exists()


async def test_two_that_want_a_fresh_vault_at_once(install: Installing, place: Place) -> None:
    """S2: of two daemons that begin on a fresh vault at the same moment one gets it.

    The other one's backup fails and says why, and nothing of it stays.
    """
    daemons = [await install(), await install()]
    ended: list[tuple[str, DaemonProcess]] = []

    async def back_up(daemon: DaemonProcess) -> None:
        ended.append((code(await daemon.backup("orders", name="first")), daemon))

    async with create_task_group() as tasks:
        for daemon in daemons:
            tasks.start_soon(back_up, daemon)
    codes = dict(ended)
    assert {"complete"} < codes.keys() <= {"complete", "vault-foreign", "vault-contested"}

    (loser,) = [daemon for told, daemon in ended if told != "complete"]
    assert "vault-foreign" == code(await loser.backup("orders", name="again"))
    (view,) = await codes["complete"].listed()
    folder = place_of(view)
    assert {OWNER, f"{folder}/0000.rdb.zst", f"{folder}/manifest.json"} == place.contents().keys()
    assert "completed" == (await codes["complete"].restore("orders/first", to="orders")).phase


@pytest.mark.parametrize("place", ["rclone"], indirect=True)
async def test_a_listing_that_fails_does_not_end_a_deletion(
    install: Installing, place: Place, tmp_path: Path
) -> None:
    """S1: while the vault cannot be listed a deletion stays outstanding; then it is finished."""
    port = int(place.config.split("127.0.0.1:")[1].split('"')[0])
    async with proxy_before(port) as proxy:
        server = S3Server(proxy.port, pid=0)
        daemon = await install(s3_vault(server))
        view = await daemon.backup("orders", name="one")
        fault = Fault("list", "refuse", times=1_000, status=403, code="AccessDenied")
        proxy.faults.append(fault)

        await daemon.command(DeleteBackup("orders/one"))
        await said(daemon, "work put off")
        assert fault.fired
        assert (place.folder / place_of(view) / "0000.rdb.zst").exists()
        kinds = [type(event) for event in await daemon.events()]
        assert (DeletionRequested in kinds, BackupDeleted in kinds) == (True, False)

        proxy.faults.clear()
        await daemon.until(is_deletion)
        assert not (place.folder / place_of(view)).exists()
        await daemon.aclose()
