"""The configured vaults: whose they are is looked at before each job that writes (S2)."""

import pytest

from daemon.errors import Permanent, Transient
from daemon.storage.memory import MemoryStore, MemoryVault
from daemon.storage.names import OWNER
from daemon.storage.shelf import Shelf
from events.facts import InstallationId, VaultName
from events.types import DeletionRequested
from projections.catalog import stored_in
from tests.support.given import given
from tests.support.samples import B1, MAIN, ORDERS, complete, registered, requested

pytestmark = pytest.mark.anyio

OURS, THEIRS = InstallationId("ours"), InstallationId("theirs")


def shelf(store: MemoryStore, installation: InstallationId, *, used: bool = False) -> Shelf:
    """A shelf with one vault, which the log knows to hold backups or not."""
    return Shelf({MAIN: lambda: MemoryVault(store)}, installation, used=lambda _: used)


async def test_a_vault_that_was_taken_over_is_read_only_from_then_on() -> None:
    """Who has owned a vault and does no longer may not write there, without a restart."""
    store = MemoryStore()
    ours = shelf(store, OURS)
    await ours.writable(MAIN)

    store.objects[OWNER] = store.objects[OWNER].replace(b"ours", b"theirs")

    with pytest.raises(Permanent) as refused:
        await ours.writable(MAIN)
    assert refused.value.code == "vault-foreign"
    await shelf(store, THEIRS).writable(MAIN)
    await ours.readable(MAIN)


async def test_a_used_vault_that_is_empty_is_not_claimed() -> None:
    """S1: a vault that holds backups by the log and is empty now is not written to, nor claimed.

    It is an empty mount point, and a deletion there would seem to have succeeded.
    """
    store = MemoryStore()
    with pytest.raises(Transient) as refused:
        await shelf(store, OURS, used=True).writable(MAIN)

    assert refused.value.code == "vault-owner-missing"
    assert store.objects == {}
    assert '{"format":1,"installation":"ours"}' in refused.value.hint
    store.objects[OWNER] = b'{"format":1,"installation":"ours"}'
    await shelf(store, OURS, used=True).writable(MAIN)


def test_a_vault_is_used_while_a_backup_lies_in_it() -> None:
    """Complete backups and those being deleted lie in their vault; what is asked for does not."""
    asked = given(registered(), requested())
    there = given(registered(), *complete())
    going = given(DeletionRequested(cache=ORDERS, backup_id=B1, reason="command"), state=there)

    assert [False, True, True] == [
        stored_in(state.catalog, MAIN) for state in (asked, there, going)
    ]
    assert not stored_in(there.catalog, VaultName("other"))
