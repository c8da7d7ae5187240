"""Being the first on a server that cannot decide it: every order of two claimants' calls (S2)."""

from collections.abc import AsyncGenerator

import anyio
import pytest

from daemon.errors import Transient
from daemon.storage import s3_first
from daemon.storage.memory import MemoryStore, MemoryVault
from daemon.storage.names import OWNER
from daemon.storage.s3_first import put_first
from daemon.storage.vault import ObjectInfo, ObjectName
from tests.simulation.dice import Dice, dice
from tests.simulation.virtual import pass_time, virtually

CLAIMANTS = (b"one", b"two", b"three")


class Careless(MemoryVault):
    """A vault that passes over conditions, and whose calls take as long as the dice say."""

    def __init__(self, store: MemoryStore, throws: Dice) -> None:
        super().__init__(store)
        self._dice = throws

    async def put(self, name: ObjectName, data: bytes) -> None:
        """Store it, some time between the call and its end."""
        await self._while()
        await super().put(name, data)
        await self._while()

    async def put_whatever(self, name: ObjectName, data: bytes) -> bool:
        """As `put`: the condition is not looked at."""
        await self.put(name, data)
        return True

    async def size(self, name: ObjectName) -> int | None:
        """What is there at some time between the call and its end."""
        await self._while()
        found = await super().size(name)
        await self._while()
        return found

    async def list(self, prefix: str) -> AsyncGenerator[ObjectInfo, None]:
        """What is there at one instant between the call and its end."""
        await self._while()
        found = [ObjectInfo(n, len(d)) for n, d in sorted(self._store.objects.items())]
        await self._while()
        for info in found:
            if info.name.startswith(prefix):
                yield info

    async def delete(self, name: ObjectName) -> None:
        """Remove it, some time between the call and its end."""
        await self._while()
        await super().delete(name)
        await self._while()

    async def _while(self) -> None:
        await pass_time(self._dice.choice((0.0, 0.01, 0.02, 0.03, 0.1, 3.0)))


def claimed(seed: int) -> tuple[list[bytes], list[bytes], dict[ObjectName, bytes]]:
    """Who was told to be first, who was told to try again, and what is in the vault then."""
    store, throws = MemoryStore(), dice(seed)
    first: list[bytes] = []
    again: list[bytes] = []

    async def claim(data: bytes) -> None:
        vault = Careless(store, throws)
        await pass_time(throws.choice((0.0, 0.05, 0.2)))
        if await vault.size(OWNER) is not None:
            return
        try:
            if await put_first(vault, OWNER, data, vault.put_whatever):
                first.append(data)
        except Transient:
            again.append(data)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for data in CLAIMANTS[: throws.choice((2, 3))]:
                tasks.start_soon(claim, data)

    virtually(main)
    return first, again, store.objects


def test_never_two_are_first() -> None:
    """In whatever order the calls of two or three claimants land, at most one is first."""
    contested = 0
    for seed in range(400):
        first, again, objects = claimed(seed)
        contested += bool(again)
        assert len(first) == 1, seed
        assert {OWNER: first[0]} == objects, seed
    assert contested, "no seed let two of them meet"


def test_without_flags_two_are_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above would find it: without a look at the flags two believe to be first."""

    async def nobody(*_: object, **__: object) -> list[ObjectName]:
        return []

    monkeypatch.setattr(s3_first, "_others", nobody)
    assert any(len(claimed(seed)[0]) > 1 for seed in range(100))


def test_a_flag_that_somebody_left_is_named() -> None:
    """Where a claimant died in the middle, the next one says which object is in the way."""

    async def main() -> str:
        vault = Careless(MemoryStore(), dice(1))
        left = ObjectName(f"{OWNER}.claim-0000000000000000")
        await vault.put(left, b"dead")
        with pytest.raises(Transient) as refused:
            await put_first(vault, OWNER, b"one", vault.put_whatever)
        assert await vault.size(OWNER) is None
        return refused.value.hint

    assert f"delete {OWNER}.claim-0000000000000000 there" in virtually(main)


def test_an_own_flag_is_taken_up_again() -> None:
    """Who died in the middle of a claim goes on from there after a restart."""

    async def main() -> dict[ObjectName, bytes]:
        store = MemoryStore()
        vault = Careless(store, dice(1))
        with anyio.move_on_after(0.2):
            await put_first(vault, OWNER, b"one", _hangs)
        assert store.objects
        assert await put_first(vault, OWNER, b"one", vault.put_whatever)
        return store.objects

    assert {OWNER: b"one"} == virtually(main)


async def _hangs(name: ObjectName, data: bytes) -> bool:
    """A call that is never answered."""
    await anyio.sleep_forever()
    return False
