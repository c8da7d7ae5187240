"""The doctor's rounds on virtual time: when vaults are tried, and what is recorded of it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

import anyio
import pytest
from structlog.testing import capture_logs

from daemon.doctor.rounds import (
    AGAIN_SECONDS,
    DAILY_SECONDS,
    FIRST_SECONDS,
    LOOK_SECONDS,
    Outcomes,
    Rounds,
)
from daemon.errors import Permanent
from daemon.ledger import Ledger
from daemon.storage.memory import MemoryStore, MemoryVault
from daemon.storage.vault import ObjectName, Vault
from events.facts import InstallationId, VaultName
from events.memory import InMemoryLog
from projections.vaults import faults_of
from tests.simulation.virtual import CountedIds, VirtualClock, pass_time, virtually
from tests.support.given import NOON

MAIN, SECOND = VaultName("main"), VaultName("second")
URLS = {MAIN: "memory:main", SECOND: "memory:second"}
OURS = InstallationId("20260301T120000Z-00000001")


class Ailing(MemoryVault):
    """A vault that may be told to refuse, and counts how often it was tried."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        super().__init__(self.store)
        self.tried: list[float] = []
        self.refuses = False
        self.breaks = False
        self.keeps = False

    async def delete(self, name: ObjectName) -> None:
        """See `Vault.delete`."""
        if self.keeps:
            raise Permanent("vault-rights", "refused", "ask for the right")
        await super().delete(name)

    async def clear(self, prefix: str) -> None:
        """See `Vault.clear`."""
        if self.keeps:
            raise Permanent("vault-rights", "refused", "ask for the right")
        await super().clear(prefix)

    async def put(self, name: ObjectName, data: bytes) -> None:
        """See `Vault.put`."""
        self.tried.append(anyio.current_time())
        if self.breaks:
            raise KeyError(name)
        if self.refuses:
            raise Permanent("vault-rights", "refused", "ask for the right")
        await super().put(name, data)


class Hospital:
    """Two vaults, a ledger, and the rounds through them."""

    def __init__(self) -> None:
        self.ledger = Ledger(InMemoryLog(), VirtualClock(), CountedIds(0))
        self.main, self.second = Ailing(), Ailing()
        self.unopened: Permanent | None = None
        self.rounds = Rounds(self, Outcomes(self.ledger, CountedIds(1), OURS, URLS))

    @property
    def names(self) -> tuple[VaultName, ...]:
        """See `Sickroom.names`."""
        return (MAIN, SECOND)

    async def readable(self, name: VaultName) -> Vault:
        """See `Sickroom.readable`."""
        if self.unopened is not None:
            raise self.unopened
        return self.main if name == MAIN else self.second

    def codes(self, name: VaultName = MAIN) -> list[str]:
        """What the log knows against a vault."""
        return [f.failure.code for f in faults_of(self.ledger.state.vaults, name, URLS[name])]

    @property
    def position(self) -> int:
        """How many events there are."""
        return self.ledger.state.position


def during(story: Callable[[Hospital], Awaitable[None]]) -> None:
    """What happens while the rounds are made."""

    async def live() -> None:
        hospital = Hospital()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hospital.ledger.run)
            tasks.start_soon(hospital.rounds.run)
            await story(hospital)
            tasks.cancel_scope.cancel()

    virtually(partial(live))


def test_vaults_are_tried_soon_after_the_start_and_daily() -> None:
    """Each vault is tried once after a while and then once a day; no event while all is well."""

    async def story(hospital: Hospital) -> None:
        await pass_time(FIRST_SECONDS - 1)
        assert [] == hospital.main.tried
        await pass_time(2 + 2 * DAILY_SECONDS)
        assert 3 == len(hospital.main.tried) == len(hospital.second.tried)
        assert 0 == hospital.position

    during(story)


def test_a_vault_at_fault_that_takes_a_backup_is_tried_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The alarm ends soon after the first backup that is stored all the same, and once for each."""
    stored = [NOON]
    monkeypatch.setattr("daemon.doctor.rounds.last_stored", lambda *_: stored[-1])

    async def story(hospital: Hospital) -> None:
        hospital.main.refuses = True
        with capture_logs():
            await pass_time(FIRST_SECONDS + 2 * LOOK_SECONDS)
            assert 1 == len(hospital.main.tried)
            stored.append(NOON + timedelta(minutes=1))
            await pass_time(3 * LOOK_SECONDS)
        assert 2 == len(hospital.main.tried)
        hospital.main.refuses = False
        stored.append(NOON + timedelta(minutes=2))
        await pass_time(2 * LOOK_SECONDS)
        assert ([], 3) == (hospital.codes(), len(hospital.main.tried))

    during(story)


def test_a_fault_is_recorded_once_and_tried_again_soon() -> None:
    """One event when a fault comes and one when it goes; it is tried every ten minutes between."""

    async def story(hospital: Hospital) -> None:
        hospital.main.refuses = True
        with capture_logs() as logs:
            await pass_time(FIRST_SECONDS + 3.5 * AGAIN_SECONDS)
        assert ["vault-rights"] == hospital.codes()
        assert [] == hospital.codes(SECOND)
        assert (4, 1, 1) == (
            len(hospital.main.tried),
            len(hospital.second.tried),
            hospital.position,
        )
        assert {"vault at fault"} == {entry["event"] for entry in logs}
        hospital.main.refuses = False
        await pass_time(AGAIN_SECONDS)
        assert [] == hospital.codes()
        assert 2 == hospital.position
        await pass_time(10 * AGAIN_SECONDS)
        assert 5 == len(hospital.main.tried)

    during(story)


def test_a_vault_that_cannot_delete_is_not_filled() -> None:
    """Where every trial leaves something, there is one a day, and not one every ten minutes."""

    async def story(hospital: Hospital) -> None:
        hospital.main.keeps = True
        await pass_time(FIRST_SECONDS + 10 * AGAIN_SECONDS)
        assert ["vault-rights"] == hospital.codes()
        assert 1 == len(hospital.main.tried)
        hospital.main.keeps = False
        await pass_time(DAILY_SECONDS)
        assert [] == hospital.codes()
        assert {} == hospital.main.store.objects

    during(story)


def test_a_new_configuration_has_every_vault_tried() -> None:
    """After a reload all are tried at once, whenever they would have been due."""

    async def story(hospital: Hospital) -> None:
        hospital.rounds.wake()
        await pass_time(0.1)
        assert 1 == len(hospital.main.tried)
        hospital.rounds.wake()
        await pass_time(0.1)
        assert 2 == len(hospital.main.tried) == len(hospital.second.tried)

    during(story)


def test_a_vault_that_cannot_be_opened() -> None:
    """A secret that cannot be read is a fault of the vault that needs it."""

    async def story(hospital: Hospital) -> None:
        hospital.unopened = Permanent("secret-missing", "VAULT_KEY is not set", "set it")
        await pass_time(FIRST_SECONDS + 1)
        assert ["secret-missing"] == hospital.codes()

    during(story)


def test_a_bug_in_one_trial_does_not_end_the_rounds() -> None:
    """When our own program fails in a vault, the others are tried, and this one again."""

    async def story(hospital: Hospital) -> None:
        hospital.main.breaks = True
        with capture_logs() as logs:
            await pass_time(FIRST_SECONDS + 1)
        assert ["work crashed"] == [entry["event"] for entry in logs]
        assert 1 == len(hospital.second.tried)
        hospital.main.breaks = False
        await pass_time(AGAIN_SECONDS)
        assert 2 == len(hospital.main.tried)

    during(story)


def test_two_who_ask_take_turns() -> None:
    """Of two examinations of one vault at the same time neither sweeps the other's canary away."""

    async def story(hospital: Hospital) -> None:
        found: list[int] = []

        async def examine() -> None:
            found.append(len(await hospital.rounds.examine(MAIN)))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(examine)
        assert [0, 0, 0] == found

    during(story)


def test_a_log_that_cannot_be_written_keeps_no_answer() -> None:
    """What was found is answered within seconds also when it cannot be recorded."""

    async def main() -> None:
        hospital = Hospital()  # Nobody runs its ledger.
        hospital.main.refuses = True
        faults = await hospital.rounds.examine(MAIN)
        assert ["vault-rights"] == [fault.failure.code for fault in faults]
        assert anyio.current_time() < 10

    virtually(main)


def test_what_passes_is_no_other_outcome() -> None:
    """The same fault in other words is not recorded again."""

    async def story(hospital: Hospital) -> None:
        hospital.unopened = Permanent("vault-busy", "503 at 12:00", "wait")
        await hospital.rounds.examine(MAIN)
        hospital.unopened = Permanent("vault-busy", "503 at 12:01", "wait")
        await hospital.rounds.examine(MAIN)
        assert 1 == hospital.position

    during(story)
