"""A vault belongs to one installation (S2)."""

import anyio
import pytest

from daemon.errors import Permanent, Transient
from daemon.storage.memory import MemoryVault
from daemon.storage.names import OWNER
from daemon.storage.ownership import claim, owner, take_over
from events.facts import InstallationId

pytestmark = pytest.mark.anyio

OURS, THEIRS = InstallationId("ours"), InstallationId("theirs")


async def test_a_fresh_vault_becomes_ours_and_stays_so() -> None:
    """The first claim writes the id, and later ones find it."""
    vault = MemoryVault()
    assert await owner(vault) is None
    for _ in range(2):
        assert (await claim(vault, OURS)).installation == OURS
    assert await vault.get(OWNER, 1_000) == b'{"format":1,"installation":"ours"}'


async def test_another_s_vault_is_read_only() -> None:
    """A vault with another id is refused, by name and with the way out, and left as it is."""
    vault = MemoryVault()
    await claim(vault, THEIRS)
    with pytest.raises(Permanent) as refused:
        await claim(vault, OURS)
    assert refused.value.code == "vault-foreign"
    assert "theirs" in refused.value.message
    assert "recover --adopt" in refused.value.hint
    assert await owner(vault) == await claim(vault, THEIRS)


async def test_of_many_claims_one_wins() -> None:
    """Daemons that claim a fresh vault at the same time find one owner."""
    vault = MemoryVault()
    won: list[str] = []
    lost: list[str] = []

    async def try_it(name: str) -> None:
        try:
            won.append((await claim(vault, InstallationId(name))).installation)
        except Permanent as refused:
            lost.append(refused.code)

    async with anyio.create_task_group() as tasks:
        for number in range(9):
            tasks.start_soon(try_it, f"daemon-{number}")
    assert len(won) == 1
    assert lost == ["vault-foreign"] * 8


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[" * 5_000, b'{"format":2}'])
async def test_an_unreadable_owner_is_nobody_s(data: bytes) -> None:
    """A vault whose owner cannot be read is not taken for a fresh one."""
    vault = MemoryVault()
    await vault.put(OWNER, data)
    with pytest.raises(Permanent) as refused:
        await claim(vault, OURS)
    assert refused.value.code == "vault-owner-unreadable"
    assert await vault.get(OWNER, 10_000) == data


async def test_fields_of_later_versions_are_passed_over() -> None:
    """A newer version may say more about the owner without locking this one out."""
    vault = MemoryVault()
    await vault.put(OWNER, b'{"format":1,"installation":"ours","since":"2026"}')
    assert (await claim(vault, OURS)).installation == OURS


async def test_a_vault_is_taken_over_from_whom_it_was_decided() -> None:
    """Taking over is repeatable, and refused where the owner is not the one that was shown."""
    vault = MemoryVault()
    await claim(vault, THEIRS)

    with pytest.raises(Transient) as refused:
        await take_over(vault, OURS, former=InstallationId("somebody"))
    assert refused.value.code == "vault-contested"
    for _ in range(2):
        await take_over(vault, OURS, former=THEIRS)

    assert (await claim(vault, OURS)).installation == OURS
    with pytest.raises(Permanent):
        await claim(vault, THEIRS)
