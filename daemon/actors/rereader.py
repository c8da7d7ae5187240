"""The rereader: has copies read back when it is time for one, in each vault one after the other.

Knows when to look, and at which caches: those that the ledger's records were about. Which copy is
next, and when, is a projection's to say; how often a vault is read is the configuration's.
"""

from functools import partial

import anyio
import anyio.lowlevel
import structlog

from daemon.actors.bulkhead import contained
from daemon.commands import VerifyCopy
from daemon.errors import Rejected, Unavailable
from daemon.ledger import Ledger
from daemon.ports import Clock
from events.envelope import Who
from events.facts import CacheName, VaultName
from projections import catalog
from projections.copy_rounds import Due, Periods, due
from projections.state import State

log = structlog.get_logger()

POLICY = Who(kind="scheduler")
LOOK_SECONDS = 60.0
"""The wall clock may be set while we sleep: look at least so often."""
BREATH_SECONDS = 2.0
"""Between two looks, however much happens meanwhile."""
AT_ONCE = 64
"""Caches that are looked at before others may use the loop."""


class Rereader:
    """Asks for the verification of copies; in each vault there is one at a time."""

    def __init__(self, ledger: Ledger, clock: Clock, periods: Periods) -> None:
        self._ledger = ledger
        self._clock = clock
        self._periods = periods
        self._due: dict[CacheName, tuple[Due, ...]] = {}
        self._afresh = True
        self._wake = anyio.Event()

    def forget(self) -> None:
        """The periods have changed: reckon everything anew."""
        self._afresh = True
        self._wake.set()

    async def run(self) -> None:
        """Look at every cache once, and from then on at those that changed, for ever."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch)
            seen: State | None = None
            while True:
                self._wake = anyio.Event()
                state = self._ledger.state
                await contained(partial(self._look, state, seen), work="reading copies back")
                seen = state
                soonest = anyio.current_time() + BREATH_SECONDS
                with anyio.move_on_after(self._patience()):
                    await self._wake.wait()
                await anyio.sleep_until(soonest)

    async def _watch(self) -> None:
        state = self._ledger.state
        while True:
            state = await self._ledger.changed(state)
            self._wake.set()

    async def _look(self, state: State, seen: State | None) -> None:
        await self._reckon(state, seen)
        await self._ask()

    async def _reckon(self, state: State, seen: State | None) -> None:
        """What is next of each cache that may have changed."""
        touched = None if seen is None or self._afresh else self._ledger.touched(seen.position)
        self._afresh = False
        now = self._clock.now()
        names = sorted(state.catalog) if touched is None else sorted(touched)
        for number, name in enumerate(names, 1):
            if found := due(state, name, self._periods, now):
                self._due[name] = found
            else:
                self._due.pop(name, None)
            if number % AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()

    async def _ask(self) -> None:
        """Have the copy read that is due for longest, in each vault in which none is read."""
        now, state = self._clock.now(), self._ledger.state
        busy = set(_being_read(state))
        for one in sorted(each for found in self._due.values() for each in found if each.at <= now):
            if one.vault not in busy:
                busy.add(one.vault)
                await self._verify(one)

    async def _verify(self, one: Due) -> None:
        try:
            await self._ledger.execute(VerifyCopy(one.cache, one.backup_id, one.vault), POLICY)
        except Rejected:
            return
        except Unavailable as error:
            log.warning("reading copies back put off", error=error.message, hint=error.hint)

    def _patience(self) -> float:
        """Until the first is due that is not yet; for one that is, an end is waited for."""
        now = self._clock.now()
        coming = [one.at for found in self._due.values() for one in found if one.at > now]
        if not coming:
            return LOOK_SECONDS
        return min(LOOK_SECONDS, (min(coming) - now).total_seconds())


def _being_read(state: State) -> list[VaultName]:
    """The vaults in which a copy is verified that the policy wants."""
    backups = (
        catalog.get(state.catalog, cache, backup_id)
        for backup_id, cache in state.open_backups.items()
    )
    return [
        copy.vault
        for backup in backups
        if backup is not None
        for copy in backup.copies
        if copy.check is not None and copy.check.cause == "policy"
    ]
