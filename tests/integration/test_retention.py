"""Retention in a running daemon, by the command line, against a real server (A2, A10-A12)."""

import json
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from daemon.answers import BackupDetail
from daemon.commands import RequestRestore
from daemon.valkey.engine import Engine
from events.facts import BackupId
from events.types import (
    BackupDeleted,
    DeletionRequested,
    Event,
    RestoreCompleted,
    RestoreFailed,
    RetentionExpired,
)
from projections.state import State
from tests.support.autos import typing
from tests.support.daemon import WORK_SECONDS, DaemonProcess, directory_vault, installation
from tests.support.nursery import Nursery
from tests.support.outcome import is_tidy, place_of
from tests.support.servers import Node, start_node

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def daemon(nursery: Nursery, vault: Path, node: Node) -> AsyncGenerator[DaemonProcess, None]:
    """A running daemon with the cache "orders", whose auto backups are kept for two days."""
    async with installation(nursery, directory_vault(vault)) as daemon:
        await daemon.start()
        await typing(
            daemon, "cache", "add", "orders", "--url", node.url, "--auto", "--retention-days", "2"
        )
        yield daemon


async def auto(daemon: DaemonProcess) -> BackupId:
    """An auto backup, made now and verified by its policy; its id.

    A daemon that is sent to another day while it verifies tries again after minutes, and all the
    while retention waits (A11).
    """
    words = ("backup", "create", "orders", "--auto", "--wait", "--json")
    printed = await typing(daemon, *words)
    backup = BackupId(json.loads(printed.out)["backup"]["backup_id"])
    proven = await daemon.get(BackupDetail, "proofs", backup, query={"wait": WORK_SECONDS})
    assert proven.backup.proof is None or proven.backup.proof.under_way is None
    return backup


async def ids(daemon: DaemonProcess) -> list[str]:
    """The ids of the backups that exist."""
    return [view.backup_id for view in await daemon.listed()]


async def why(daemon: DaemonProcess, backup: str, *, said: str) -> None:
    """`retention why` says this of a backup."""
    printed = await typing(daemon, "retention", "why", backup)
    assert said in " ".join(printed.out.split()), printed.out


async def taken(daemon: DaemonProcess, backup: str) -> datetime:
    """The instant of a backup's snapshot."""
    (found,) = [view for view in await daemon.listed() if view.backup_id == backup]
    assert found.taken_at is not None
    return found.taken_at


async def gone(daemon: DaemonProcess, backup: str) -> None:
    """Wait until the vault has confirmed that a backup is deleted."""

    def deleted(_: State, event: Event) -> bool:
        return isinstance(event, BackupDeleted) and event.backup_id == backup

    await daemon.until(deleted)


async def test_a_backup_goes_when_its_days_are_over(daemon: DaemonProcess, vault: Path) -> None:
    """A2: kept until its last second, then deleted, with the reason in the log before it."""
    first = await auto(daemon)
    end = await taken(daemon, first) + 2 * DAY
    await daemon.travel(end - DAY)
    second = await auto(daemon)
    await why(daemon, first, said=f"It is kept until {end:%Y-%m-%d %H:%M:%SZ}")
    forecast = json.loads((await typing(daemon, "retention", "simulate", "orders", "--json")).out)
    (told,) = [one for one in forecast["backups"] if one.get("backup_id") == first]
    assert f"{end:%Y-%m-%d}" == told["gone_day"]

    await daemon.travel(end - 5 * SECOND)
    assert [first, second] == await ids(daemon)
    await gone(daemon, first)

    assert daemon.clock.now() >= end
    assert [second] == await ids(daemon)
    await is_tidy(daemon, vault)
    await why(
        daemon, first, said="its retention was over: its snapshot is 2 days old, and it is kept"
    )
    order = [type(e) for e in await daemon.events() if getattr(e, "backup_id", "") == first][-3:]
    assert [RetentionExpired, DeletionRequested, BackupDeleted] == order


async def test_a_shorter_retention_deletes_at_once(daemon: DaemonProcess, vault: Path) -> None:
    """A2: setting fewer days deletes what they no longer cover; more days keep more."""
    first = await auto(daemon)
    await typing(daemon, "policy", "set", "orders", "--retention-days", "30")
    await daemon.travel(await taken(daemon, first) + 5 * DAY)
    second = await auto(daemon)
    assert [first, second] == await ids(daemon)

    await typing(daemon, "policy", "set", "orders", "--retention-days", "4", "--yes")
    await gone(daemon, first)

    assert [second] == await ids(daemon)
    await is_tidy(daemon, vault)


async def test_the_newest_stays_until_another_takes_its_place(daemon: DaemonProcess) -> None:
    """A11: the newest good scheduled backup is kept whatever its age; A12: no other counts."""
    first = await auto(daemon)
    await daemon.travel(await taken(daemon, first) + 20 * DAY)
    await typing(daemon, "backup", "create", "orders", "by-hand", "--wait")
    await why(
        daemon, first, said="It stays because it is the newest scheduled backup (keep_last 1)"
    )

    second = await auto(daemon)
    await gone(daemon, first)

    assert {"by-hand", second} == {
        view.name if view.kind == "manual" else view.backup_id for view in await daemon.listed()
    }


async def test_keep_last_0_is_the_plain_rule(daemon: DaemonProcess, vault: Path) -> None:
    """A11: with keep_last 0 the newest goes too, and a manual backup is not retention's."""
    first = await auto(daemon)
    await typing(daemon, "backup", "create", "orders", "by-hand", "--wait")
    await daemon.travel(await taken(daemon, first) + 3 * DAY)
    assert 2 == len(await ids(daemon))

    await typing(daemon, "policy", "set", "orders", "--keep-last", "0", "--yes")
    await gone(daemon, first)

    assert ["by-hand"] == [view.name for view in await daemon.listed()]
    await why(daemon, "orders/by-hand", said="It stays until somebody deletes it")
    await is_tidy(daemon, vault)


async def test_auto_off_does_not_stop_retention(daemon: DaemonProcess) -> None:
    """A1: with auto off what exists goes in its time, but for the newest."""
    first, second = await auto(daemon), await auto(daemon)
    await typing(daemon, "policy", "set", "orders", "--no-auto")

    await daemon.travel(await taken(daemon, second) + 2 * DAY + SECOND)
    await gone(daemon, first)

    assert [second] == await ids(daemon)
    await why(
        daemon, second, said="Auto backups of orders are off; the retention of what exists goes"
    )


async def test_a_safety_backup_has_seven_days(daemon: DaemonProcess) -> None:
    """A11, A12: a safety backup is kept for seven days where the policy says two, then it goes."""
    first = await auto(daemon)
    assert "completed" == (await daemon.restore(first, to="orders")).phase
    (safety,) = [view.backup_id for view in await daemon.listed() if view.kind == "safety"]
    end = await taken(daemon, safety) + 7 * DAY

    await daemon.travel(end - DAY)
    await why(daemon, safety, said="safety backups of orders are kept for 7 days")
    assert [first, safety] == await ids(daemon)
    await daemon.travel(end)
    await gone(daemon, safety)

    assert [first] == await ids(daemon)


async def test_a_backup_that_is_read_goes_after_its_reader(
    daemon: DaemonProcess, engine: Engine, tmp_path: Path
) -> None:
    """A11: what is due to go while a restore reads it goes at once when that has ended."""
    first = await auto(daemon)
    await typing(daemon, "policy", "set", "orders", "--retention-days", "30")
    await daemon.travel(await taken(daemon, first) + 2 * DAY)
    second = await auto(daemon)
    async with start_node(engine, tmp_path / "target") as target:
        await typing(daemon, "cache", "add", "users", "--url", target.url)
        target.pause()
        await daemon.command(RequestRestore(first, "users", safety_backup=False))
        await typing(daemon, "policy", "set", "orders", "--retention-days", "1", "--yes")
        await why(daemon, first, said="a restore is reading it: it goes after that")
        assert [first, second] == await ids(daemon)

        target.resume()
        await gone(daemon, first)

    ends = [type(e) for e in await daemon.events()]
    ended = next(n for n, kind in enumerate(ends) if kind in (RestoreCompleted, RestoreFailed))
    assert ended < ends.index(RetentionExpired)
    assert [second] == await ids(daemon)


async def test_with_its_cache_go_its_auto_backups(daemon: DaemonProcess, vault: Path) -> None:
    """A10, M2: removing a cache deletes its auto backups; manual ones stay and can be deleted."""
    first = await auto(daemon)
    place = vault / place_of((await daemon.listed())[0])
    await typing(daemon, "backup", "create", "orders", "by-hand", "--wait")

    await typing(daemon, "cache", "remove", "orders", "--yes")
    await gone(daemon, first)

    assert not place.exists()
    await why(daemon, first, said="It is gone since")
    await why(
        daemon, "orders/by-hand", said="The cache orders was removed; its manual backups stay."
    )
    await typing(daemon, "backup", "delete", "orders/by-hand", "--yes")
    await daemon.settled()
    assert [] == await ids(daemon)
    await is_tidy(daemon, vault)
