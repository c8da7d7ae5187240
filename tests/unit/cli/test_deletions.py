"""Waiting until the bytes of what was deleted are gone."""

from datetime import timedelta

import anyio
import pytest

from daemon.commands import ReportDeleted
from events.facts import BackupId
from tests.support.api import Printed, Served, serving
from tests.support.samples import B1, B2, complete, registered

pytestmark = pytest.mark.anyio


async def typed(api: Served, *words: str, removed: tuple[BackupId, ...]) -> Printed:
    """A command that waits, while somebody removes these one after the other."""
    printed: list[Printed] = []
    api.clock.step = timedelta(seconds=1)

    async def type_() -> None:
        printed.append(await api.type(*words))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(type_)
        for backup_id in removed:
            while not _going(api, backup_id):
                await api.ledger.changed(api.ledger.state)
            await api.ledger.report(ReportDeleted(backup_id))
    return printed[0]


def _going(api: Served, backup_id: BackupId) -> bool:
    every = (one for of_cache in api.ledger.state.catalog.values() for one in of_cache.values())
    return any(one.backup_id == backup_id and one.phase == "deleting" for one in every)


async def test_a_deletion_is_waited_for_until_nothing_is_left() -> None:
    """`backup delete --wait` says that nothing is left when the vault has confirmed it."""
    async with serving(registered(), complete(B1, name="nightly")) as api:
        words = ("backup", "delete", "orders/nightly", "--yes", "--wait")
        printed = await typed(api, *words, removed=(B1,))

    assert 0 == printed.code
    assert "Backup orders/nightly is deleted; nothing of it is left.\n" == printed.out


async def test_removing_a_cache_waits_for_all_that_goes_with_it() -> None:
    """`cache remove --wait` ends when every backup that was deleted with the cache is gone."""
    safety = (complete(B1, name="a", kind="safety"), complete(B2, name="b", kind="safety"))
    async with serving(registered(), *safety) as api:
        words = ("cache", "remove", "orders", "--yes", "--wait")
        printed = await typed(api, *words, removed=(B2, B1))

    assert (0, "Cache orders is removed.\n") == (printed.code, printed.out)


async def test_a_deletion_that_takes_too_long_goes_on_by_itself() -> None:
    """After the time-out the exit code is 1, and it is said that the deletion goes on."""
    async with serving(registered(), complete(B1, name="nightly")) as api:
        words = ("backup", "delete", "orders/nightly", "--yes", "--timeout", "1s")
        printed = await typed(api, *words, removed=())

    assert 1 == printed.code
    assert "deleting orders/nightly\n" in printed.err
    assert "The deletion of orders/nightly has not ended within 1.0 s" in printed.err
    assert "it goes on in the daemon" in printed.err
    assert f"`valkeep retention why {B1}`" in printed.err
