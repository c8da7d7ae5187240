"""What the API asks of the rest of the daemon, filled in by the composition root.

Protocols and values only: the API itself knows no Valkey, no vault and no actor.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from daemon.answers import TipView
from daemon.answers.doctor import Examined
from daemon.answers.recovery import Recover, Recoverable, RecoveredAnswer
from daemon.board import Standing
from daemon.errors import NotFound
from daemon.ledger import Ledger
from daemon.ports import Clock, Offload
from events.envelope import Who
from events.facts import CacheSettings, Probe, RestorePlan, VaultName
from projections.caches import Cache
from projections.catalog import Backup
from projections.keys_plan import Wanted
from projections.log_checks import CopyStanding


class Prober(Protocol):
    """Looks at caches before they are recorded (C2)."""

    async def probe(self, settings: CacheSettings) -> Probe:
        """What was found; raises `BadRequest`, `Transient` or `Permanent` with a hint."""
        ...


class Planner(Protocol):
    """Plans restores and touches nothing (R2)."""

    async def plan(
        self, backup: Backup, target: Cache, vault: VaultName | None = None
    ) -> RestorePlan:
        """What a restore would do now; raises `Transient` or `Permanent` with a hint.

        It reads from that vault, or else from the backup's own.
        """
        ...


class KeysPlanner(Protocol):
    """Plans restores by keys and touches nothing (R2); it loads the backup to count its keys."""

    async def plan(self, wanted: Wanted) -> RestorePlan:
        """What a restore of these keys would do now; raises as `Planner` does."""
        ...


class Standings(Protocol):
    """Where running work's progress can be read: the board."""

    def standing(self, work_id: str) -> Standing | None:
        """How far a backup or restore is, if anybody works on it now."""
        ...


class Tips(Protocol):
    """What the vaults remember of the log (L3)."""

    async def __call__(self) -> tuple[TipView, ...]:
        """One for each vault; a vault that cannot be read says so instead of raising."""
        ...


class Recovering(Protocol):
    """Brings back what a lost log has left in the vaults (L6)."""

    async def look(self, vault: str | None) -> Recoverable:
        """What a recovery would do; raises `NotFound` for a vault that is not configured."""
        ...

    async def recover(self, said: Recover, who: Who) -> RecoveredAnswer:
        """Do it; raises `Rejected`, `NotFound`, or what the vaults raise."""
        ...


def nothing_copied() -> tuple[CopyStanding, ...]:
    """No vault has a copy of the log."""
    return ()


async def no_tips() -> tuple[TipView, ...]:
    """Nobody remembers anything."""
    return ()


class Doctor(Protocol):
    """Looks whether every part would do its work now."""

    async def __call__(self) -> Examined:
        """Every finding, worst first; within two minutes, whatever hangs."""
        ...


async def no_doctor() -> Examined:
    """Nobody looks."""
    raise NotFound("doctor", "There is no doctor here.", "Ask a running daemon.")


class Outside(Struct, frozen=True):
    """Everything that answers are made of.

    `vaults` maps names to URLs without secrets. `check_url` raises `BadRequest` for a URL that
    can never be a cache's, without asking anybody. `locate` gives the URLs of the objects that
    hold a backup's shards. `encrypted` tells whether only what is encrypted may go into a vault.
    """

    ledger: Ledger
    board: Standings
    clock: Clock
    offload: Offload
    prober: Prober
    planner: Planner
    vaults: Mapping[VaultName, str]
    check_url: Callable[[str], object]
    locate: Callable[[Backup], tuple[str, ...]]
    version: str
    started_at: datetime
    tips: Tips = no_tips
    doctor: Doctor = no_doctor
    encrypted: Callable[[VaultName], bool] = lambda _: False
    recovering: Recovering | None = None
    keys_planner: KeysPlanner | None = None
    log_copies: Callable[[], tuple[CopyStanding, ...]] = nothing_copied
