"""The doctor's rounds: every vault is tried out soon after the start, and once a day.

What changes is recorded, so that a restart hides no alarm. A vault that takes no backups is
tried again soon, so that the alarm ends when its reason does. Nothing waits for a round.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Protocol

import anyio
import structlog
from msgspec import Struct

from daemon.actors.bulkhead import contained
from daemon.commands import ReportVault
from daemon.errors import BadRequest, Failed, Permanent, Unavailable, ValkeepError
from daemon.ledger import DAEMON, Ledger
from daemon.ports import Ids
from daemon.storage.canary import Trial, try_out
from daemon.storage.vault import Vault
from events.facts import InstallationId, VaultFault, VaultName
from projections.catalog import stored_in
from projections.vault_checks import last_stored, level_of
from projections.vaults import faults_of

log = structlog.get_logger()

FIRST_SECONDS = 20.0
"""Until the first round: a daemon in a restart loop never comes to it."""
DAILY_SECONDS = 86_400.0
AGAIN_SECONDS = 600.0
"""Until a vault that takes no backups is tried again. Not one that only cannot delete: what the
trial leaves there stays."""
LOOK_SECONDS = 15.0
"""Until it is looked whether a vault at fault has taken a backup all the same: then it is tried
again at once, and the alarm ends."""
RECORD_SECONDS = 5.0
"""The answer does not wait longer for a log that cannot be written."""


class Sickroom(Protocol):
    """Vaults in a form in which a call that hangs can be left behind."""

    @property
    def names(self) -> tuple[VaultName, ...]:
        """The configured names, in order."""
        ...

    async def readable(self, name: VaultName) -> Vault:
        """A vault by its name; raises `Permanent` when it cannot be opened."""
        ...


class Outcomes(Struct, frozen=True):
    """Where outcomes are recorded, and under whose name; `urls` are the configured ones."""

    ledger: Ledger
    ids: Ids
    installation: InstallationId
    urls: Mapping[VaultName, str]


class Rounds:
    """Tries vaults out, one canary at a time for each."""

    def __init__(self, vaults: Sickroom, outcomes: Outcomes) -> None:
        self._vaults = vaults
        self._outcomes = outcomes
        self._busy: dict[VaultName, anyio.Lock] = {}
        self._due: dict[VaultName, float] = {}
        self._stored: dict[VaultName, datetime | None] = {}
        self._woken = anyio.Event()

    async def run(self, first_seconds: float = FIRST_SECONDS) -> None:
        """Go round for ever."""
        with anyio.move_on_after(first_seconds):
            await self._woken.wait()
        while True:
            self._woken = anyio.Event()
            async with anyio.create_task_group() as tasks:
                for name in self._now_due():
                    tasks.start_soon(self._visit, name)
            with anyio.move_on_after(self._patience()):
                await self._woken.wait()

    def _now_due(self) -> list[VaultName]:
        now = anyio.current_time()
        names = self._vaults.names
        return [n for n in names if self._due.get(n, now) <= now or self._works_again(n)]

    def _works_again(self, name: VaultName) -> bool:
        """Whether a vault at fault has taken a backup since it was tried."""
        return self._takes_none(name) and self._last_stored(name) != self._stored.get(name)

    def _last_stored(self, name: VaultName) -> datetime | None:
        return last_stored(self._outcomes.ledger.state, name)

    def _patience(self) -> float:
        """Seconds until a vault is due, if nobody wakes us."""
        now = anyio.current_time()
        waits = [self._due.get(name, now) - now for name in self._vaults.names]
        longest = LOOK_SECONDS if any(map(self._takes_none, self._vaults.names)) else DAILY_SECONDS
        return max(0.0, min(longest, *waits, DAILY_SECONDS))

    def wake(self) -> None:
        """The configuration has changed: every vault is due."""
        self._due.clear()
        self._woken.set()

    async def examine(self, name: VaultName) -> tuple[VaultFault, ...]:
        """Try a vault out now, and record it when the outcome is another one."""
        async with self._busy.setdefault(name, anyio.Lock()):
            faults = await self._faults(name)
            url = self._outcomes.urls.get(name)
            if url is not None:
                with suppress(Unavailable), anyio.move_on_after(RECORD_SECONDS):
                    report = ReportVault(name, url, faults)
                    await self._outcomes.ledger.execute(report, DAEMON)
        return faults

    async def _visit(self, name: VaultName) -> None:
        self._due[name] = anyio.current_time() + AGAIN_SECONDS
        self._stored[name] = self._last_stored(name)
        try:
            bug = await contained(partial(self._round, name), work=f"the trial of vault {name}")
        except ValkeepError as error:
            log.warning("vault not tried", vault=name, error=error.message, hint=error.hint)
            return
        if bug is None and not self._takes_none(name):
            self._due[name] = anyio.current_time() + DAILY_SECONDS

    async def _round(self, name: VaultName) -> None:
        for fault in await self.examine(name):
            failure = fault.failure
            log.warning(
                "vault at fault",
                vault=name,
                deed=fault.deed,
                error=failure.message,
                hint=failure.hint,
            )

    def _takes_none(self, name: VaultName) -> bool:
        vaults, url = self._outcomes.ledger.state.vaults, self._outcomes.urls.get(name, "")
        return any(level_of(fault) == "critical" for fault in faults_of(vaults, name, url))

    async def _faults(self, name: VaultName) -> tuple[VaultFault, ...]:
        try:
            vault = await self._vaults.readable(name)
        except (Failed, BadRequest) as error:
            refused = Permanent(error.code, error.message, error.hint)
            return (VaultFault("open", refused.as_failure()),)
        outcomes = self._outcomes
        used: Callable[[], bool] = partial(stored_in, outcomes.ledger.state.catalog, name)
        return await try_out(vault, Trial(outcomes.installation, outcomes.ids.new(), used))
