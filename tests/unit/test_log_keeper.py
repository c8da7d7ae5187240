"""The keeper of the log's copies, killed and refused at each of its steps."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
import pytest

from daemon.actors.history import Keeper, Outside
from daemon.actors.history.chain import read_chain
from daemon.commands import RequestBackup
from daemon.errors import Transient
from daemon.ledger import Ledger
from daemon.storage.memory import MemoryStore, MemoryVault
from daemon.storage.ownership import claim
from daemon.storage.sealing import Identities, Keys, NoKeys, Sealing
from daemon.storage.shelf import Shelf
from daemon.storage.vault import ObjectInfo, ObjectName
from events.facts import InstallationId, VaultName
from tests.simulation.virtual import CountedIds
from tests.support.api import SetClock, log_of
from tests.support.given import an_id
from tests.support.keys import IDENTITY, RECIPIENT, held, sealing
from tests.support.offload import THREADS
from tests.support.samples import HERE, MAIN, ORDERS, STARTED, complete, registered

pytestmark = pytest.mark.anyio

T = TypeVar("T")


class Trouble(MemoryVault):
    """A vault that fails at one of its calls, before or after the effect; `dead`, from then on."""

    def __init__(self, store: MemoryStore, at: int, *, after: bool, dead: bool) -> None:
        super().__init__(store)
        self.calls = 0
        self._at, self._after, self._dead = at, after, dead

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        self.calls += 1
        bad = self.calls == self._at or (self._dead and self.calls > self._at)
        if bad and not (self._after and self.calls == self._at):
            raise Transient("far", "it did not answer", "wait")
        answer = await call()
        if bad:
            raise Transient("far", "its answer was lost", "wait")
        return answer

    async def put(self, name: ObjectName, data: bytes) -> None:
        """See `Vault.put`."""
        await self._call(lambda: MemoryVault.put(self, name, data))

    async def get(self, name: ObjectName, limit_bytes: int) -> bytes | None:
        """See `Vault.get`."""
        return await self._call(lambda: MemoryVault.get(self, name, limit_bytes))

    async def delete(self, name: ObjectName) -> None:
        """See `Vault.delete`."""
        await self._call(lambda: MemoryVault.delete(self, name))

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo, None]:
        """See `Vault.list`."""
        await self._call(anyio.lowlevel.checkpoint)
        async for info in MemoryVault.list(self, prefix):
            yield info


class Sealed(NoKeys):
    """The vault is encrypted to a recipient, whose identity is here."""

    def sealing(self, vault: VaultName) -> Sealing | None:
        """See `Keys.sealing`."""
        assert vault
        return sealing(RECIPIENT)

    async def identities(self, vault: VaultName) -> Identities:
        """See `Keys.identities`."""
        assert vault
        return held(IDENTITY)


class Host:
    """A daemon's log and its keeper, over a vault that outlives both."""

    def __init__(self, ledger: Ledger, keys: Keys) -> None:
        self.ledger = ledger
        self._keys = keys

    def keeper(self, vault: MemoryVault) -> Keeper:
        """A fresh one, as after a start."""
        shelf = Shelf({MAIN: lambda: vault}, HERE)
        outside = Outside(shelf, self._keys, SetClock(), CountedIds(), THREADS, HERE)
        return Keeper(self.ledger, outside)


@asynccontextmanager
async def host(*, keys: Keys | None = None) -> AsyncIterator[Host]:
    """A host whose log has a cache and two backups."""
    backups = (*complete(an_id(1)), *complete(an_id(2)))
    ledger = Ledger(await log_of(STARTED, registered(), *backups), SetClock(), CountedIds(1))
    await ledger.load()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ledger.run)
        yield Host(ledger, keys or NoKeys())
        tasks.cancel_scope.cancel()


async def ours() -> MemoryStore:
    """A vault that is this installation's."""
    store = MemoryStore()
    await claim(MemoryVault(store), HERE)
    return store


async def more(ledger: Ledger) -> None:
    """One more event."""
    await ledger.report(RequestBackup(ORDERS, f"number-{ledger.state.position}"))


def segments(store: MemoryStore) -> list[ObjectName]:
    """The copies that lie there."""
    return sorted(name for name in store.objects if name.startswith("log/"))


async def whole(store: MemoryStore, host: Host, identities: Identities | None = None) -> None:
    """The copies are the log, from its first record to its last."""
    chain = await read_chain(MemoryVault(store), THREADS, identities)
    assert chain.whole, (chain.trouble, segments(store))
    assert await host.ledger.head() == chain.head
    assert host.ledger.state == chain.state


@pytest.fixture
def merging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every round is a day's last."""
    monkeypatch.setattr("daemon.actors.history.keeper.MERGE_SECONDS", -1.0)


async def test_what_is_new_is_copied() -> None:
    """Each round copies what came since the last one, and nothing where nothing came."""
    store = await ours()
    async with host() as here:
        vault = Trouble(store, 0, after=False, dead=False)
        keeper = here.keeper(vault)
        await keeper.round(last=True)
        first, calls = segments(store), vault.calls
        await keeper.round(last=True)
        assert calls == vault.calls
        await more(here.ledger)
        await keeper.round(last=True)

        assert 1 == len(first)
        assert 2 == len(segments(store))
        await whole(store, here)
        assert here.ledger.state.position == keeper.standings()[0].copied


async def test_a_fresh_or_foreign_vault_is_left_alone() -> None:
    """S2: nothing is copied into a vault that is nobody's, or another installation's."""
    nobodys, anothers = MemoryStore(), MemoryStore()
    await claim(MemoryVault(anothers), InstallationId("another"))
    async with host() as here:
        for store in (nobodys, anothers):
            keeper = here.keeper(MemoryVault(store))
            await keeper.round(last=True)

            assert [] == segments(store)
            assert keeper.clearance(MAIN)
            assert () == keeper.standings()


async def test_copies_are_sealed_as_backups_are() -> None:
    """In an encrypted vault the copies are encrypted to its recipients, and opened by them."""
    store = await ours()
    async with host(keys=Sealed()) as here:
        await here.keeper(MemoryVault(store)).round(last=True)

        (name,) = segments(store)
        assert name.endswith(".age")
        assert b"orders" not in store.objects[name]
        await whole(store, here, held(IDENTITY))
        assert not (await read_chain(MemoryVault(store), THREADS, None)).whole


@pytest.mark.usefixtures("merging")
async def test_small_copies_are_merged() -> None:
    """At a day's end neighbours become one, which is all that is left."""
    store = await ours()
    async with host() as here:
        keeper = here.keeper(MemoryVault(store))
        for _ in range(4):
            await more(here.ledger)
            await keeper.round(last=True)

            assert 1 == len(segments(store))
            await whole(store, here)


@pytest.mark.usefixtures("merging")
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("dead", [False, True])
async def test_killed_or_refused_at_each_call(*, after: bool, dead: bool) -> None:
    """Killed or failing at any call, before or after its effect, no copied position is lost.

    The next daemon copies what is missing, and the copies are whole again.
    """
    at, calls = 0, 1
    while at < calls:
        at += 1
        store = await ours()
        async with host() as here:
            await here.keeper(MemoryVault(store)).round(last=True)
            trouble = Trouble(store, at, after=after, dead=dead)
            keeper = here.keeper(trouble)
            for _ in range(2):
                before = await read_chain(MemoryVault(store), THREADS, None)
                await more(here.ledger)
                await keeper.round(last=True)
                now = await read_chain(MemoryVault(store), THREADS, None)
                assert now.head.position >= before.head.position
            calls = trouble.calls
            if dead and at < calls:
                assert "did not answer" in keeper.standings()[0].trouble
            await here.keeper(MemoryVault(store)).round(last=True)
            await whole(store, here)
            assert 1 == len(segments(store))


async def test_a_log_that_went_back_is_not_copied() -> None:
    """L3: over the copy of a newer log nothing is written, and the log says so."""
    store = await ours()
    async with host() as newer:
        await more(newer.ledger)
        await newer.keeper(MemoryVault(store)).round(last=True)
    before = dict(store.objects)
    async with host() as older:
        keeper = older.keeper(MemoryVault(store))
        await keeper.round(last=True)

        assert before == store.objects
        assert MAIN in older.ledger.state.recovery.ahead
        assert keeper.clearance(MAIN)


async def cleared(keeper: Keeper) -> None:
    """Wait until the vault has been compared."""
    with anyio.fail_after(20):
        while not keeper.clearance(MAIN):
            await anyio.lowlevel.checkpoint()


async def test_a_vault_that_was_configured_anew_is_compared_anew() -> None:
    """L3: after a reload nothing may be deleted before the vaults were compared once more."""
    store = await ours()
    async with host() as here:
        keeper = here.keeper(MemoryVault(store))
        await keeper.round()
        assert keeper.clearance(MAIN)

        keeper.forget()
        assert not keeper.clearance(MAIN)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keeper.run)
            await cleared(keeper)
            tasks.cancel_scope.cancel()
