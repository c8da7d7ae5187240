"""The people of a simulated world: they add, change and remove caches, and ask for backups.

Each speaks to the ledger with a key, and some hang up before they are answered. They choose from
what the daemon shows them, and know nothing else of it.
"""

from collections import Counter
from collections.abc import Iterable
from functools import cached_property

import anyio

from daemon.commands import (
    AddCache,
    CancelBackup,
    Command,
    DeclaredCache,
    DeleteBackup,
    ReconcileCaches,
    RecordCache,
    RemoveCache,
    RequestAutoBackup,
    RequestBackup,
    SetPolicy,
)
from daemon.decide.policies import changed
from daemon.errors import Unavailable, ValkeepError
from daemon.ledger import KeyedBy
from events.facts import CacheName, CacheSettings
from projections import catalog
from tests.simulation.dice import Dice
from tests.simulation.setting import Setting, a_policy
from tests.simulation.virtual import pass_time
from tests.simulation.world import Life
from tests.support.given import ANNA
from tests.support.samples import FILE, MAIN, SECOND


class People:
    """Everybody who talks to the daemon of one world."""

    def __init__(self, setting: Setting, thrown: Dice, seen: Counter[str]) -> None:
        self._setting = setting
        self._dice = thrown
        self._seen = seen
        self._said = 0
        self._moved_in = False
        self._declared: dict[CacheName, DeclaredCache] = {}
        self._some_file = "file" in setting.per_day

    @cached_property
    def habits(self) -> tuple[str, ...]:
        """What they do now and then."""
        return ("policy", "remove", "file", "manual", "by hand", "delete", "cancel")

    def file(self) -> ReconcileCaches | None:
        """What the configuration file declares; None where there is none."""
        if not self._some_file:
            return None
        return ReconcileCaches(tuple(self._declared.values()), FILE)

    def mend(self, suspended: Iterable[CacheName]) -> None:
        """In the end everything that left the file by mistake is in it again."""
        for name in suspended:
            self._declare(int(name.rpartition("-")[2]))

    def _settings(self, number: int) -> CacheSettings:
        url = f"valkey://host-{number % self._setting.hosts}:{6379 + number}"
        copied = self._setting.seed % 5 == 0 and number % 3 == 0
        return CacheSettings(url=url, vault=MAIN, copy_to=SECOND if copied else None)

    async def move_in(self, life: Life) -> None:
        """The caches of the beginning; some are declared in the file, where there is one."""
        if self._moved_in:
            return
        self._moved_in = True
        for number in range(self._setting.caches):
            if self._some_file and number % 3 == 0:
                self._declare(number)
            else:
                await self._say(life, self._addition(number))
        if self._some_file:
            await self._reload(life)

    def _addition(self, number: int) -> RecordCache:
        settings = self._settings(number)
        policy = a_policy(self._dice)
        return RecordCache(AddCache(_name(number), settings.url, policy=policy), settings)

    def _declare(self, number: int) -> None:
        name = CacheName(_name(number))
        policy = changed(None, a_policy(self._dice)) if self._dice.random() < 0.9 else None
        self._declared[name] = DeclaredCache(name, self._settings(number), policy)

    async def _reload(self, life: Life) -> None:
        """SIGHUP: the daemon reads its file again."""
        if (declared := self.file()) is not None:
            try:
                await life.ledger.report(declared)
            except ValkeepError:
                self._seen["file refused"] += 1

    async def do(self, habit: str, life: Life) -> None:
        """One of the habits; now and then its client goes away in the middle."""
        patience = self._dice.expovariate(20.0) if self._dice.random() < 0.2 else 3600.0
        with anyio.move_on_after(patience) as talk:
            await self._do(habit, life)
        self._seen[f"hung up on {habit}" if talk.cancelled_caught else habit] += 1

    async def _do(self, habit: str, life: Life) -> None:
        number = self._dice.randrange(self._setting.caches)
        if habit == "file":
            await self._edit(life, number)
        elif (command := self._command(habit, life, number)) is not None:
            await self._say(life, command)

    def _command(self, habit: str, life: Life, number: int) -> Command | None:
        name = _name(number)
        match habit:
            case "policy":
                return SetPolicy(name, a_policy(self._dice, auto=self._dice.random() < 0.8))
            case "remove":
                known = name in life.ledger.state.caches
                return RemoveCache(name) if known else self._addition(number)
            case "manual":
                self._said += 1
                return RequestBackup(name, f"manual-{self._said}")
            case "by hand":
                return RequestAutoBackup(name)
            case "cancel":
                return self._cancel(life)
            case _:
                listed = list(catalog.listed(life.ledger.state.catalog))
                return DeleteBackup(self._dice.choice(listed).backup_id) if listed else None

    def _cancel(self, life: Life) -> Command | None:
        """One that waits or runs; or, at times, one that is complete already."""
        state = life.ledger.state
        under_way = [b for b in catalog.living(state.catalog) if b.phase != "complete"]
        found = under_way or list(catalog.listed(state.catalog))
        return CancelBackup(self._dice.choice(found).backup_id) if found else None

    async def _edit(self, life: Life, number: int) -> None:
        """A cache enters the file, or leaves it, or gets another policy there."""
        name = CacheName(_name(number))
        if name in self._declared and self._dice.random() < 0.5:
            del self._declared[name]
        else:
            self._declare(number)
        await self._reload(life)

    async def _say(self, life: Life, command: Command) -> None:
        """Say it until there is an answer; a refusal is an answer."""
        self._said += 1
        key = f"said-{self._said}"
        while True:
            try:
                await life.ledger.execute(command, ANNA, KeyedBy(1000, key, key.encode()))
            except Unavailable:
                await pass_time(2.0)
            except ValkeepError as error:
                self._seen[f"refused: {error.code}"] += 1
                return
            else:
                return


def _name(number: int) -> str:
    return f"cache-{number:02}"
