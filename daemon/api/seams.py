"""What the API asks of the rest of the daemon, filled in by the composition root.

Protocols and values only: the API itself knows no Valkey, no vault and no actor.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from daemon.answers import TipView
from daemon.answers.doctor import Examined
from daemon.answers.hooks import HookTried, TryHook
from daemon.answers.recovery import Recover, Recoverable, RecoveredAnswer
from daemon.answers.standing import Vitals
from daemon.board import Standing
from daemon.commands.surveyed import KeyspaceDetail
from daemon.errors import NotFound
from daemon.ledger import Ledger
from daemon.ports import Clock, Offload, Tell, untold
from events.envelope import Who
from events.facts import BackupId, CacheName, CacheSettings, Probe, RestorePlan, VaultName
from events.hooks import Hook
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

    async def look(self, vault: str | None, tell: Tell = untold) -> Recoverable:
        """What a recovery would do; raises `NotFound` for a vault that is not configured."""
        ...

    async def recover(self, said: Recover, who: Who, tell: Tell = untold) -> RecoveredAnswer:
        """Do it; raises `Rejected`, `NotFound`, or what the vaults raise."""
        ...


def nothing_copied() -> tuple[CopyStanding, ...]:
    """No vault has a copy of the log."""
    return ()


async def no_names(_comparison_id: str) -> AsyncGenerator[bytes, None]:
    """Nobody keeps the names of what differs."""
    none: tuple[bytes, ...] = ()
    for line in none:
        yield line
    raise NotFound("no-names", "No names are kept here.", "Ask a running daemon.")


Keyspace = Callable[[CacheName, BackupId], Awaitable[KeyspaceDetail | None]]


async def no_keyspace(cache: CacheName, backup_id: BackupId) -> KeyspaceDetail | None:  # noqa: ARG001
    """Nobody counts keys."""
    return None


async def no_tips() -> tuple[TipView, ...]:
    """Nobody remembers anything."""
    return ()


class Upload(Protocol):
    """The way of one client's bytes to the import that wants them."""

    async def send(self, chunk: bytes) -> bool:
        """Hand over the next bytes, when there is room; False when nobody wants any more."""
        ...

    async def end(self) -> None:
        """All have come; returns when they were taken."""
        ...

    def cut(self, why: str) -> None:
        """No more will come, because of this, though there was more."""
        ...

    @property
    def taken(self) -> bool:
        """Whether an attempt has come for them."""
        ...


class Uploads(Protocol):
    """Where the bytes of clients go."""

    def way(self, backup_id: BackupId) -> AbstractContextManager[Upload]:
        """A way for one import; one that is left before its end cuts the import off."""
        ...


class NoUploads:
    """Nobody wants any."""

    def way(self, backup_id: BackupId) -> AbstractContextManager[Upload]:
        """See `Uploads.way`."""
        raise NotFound("import", f"{backup_id} cannot be imported here.", "Ask a running daemon.")


class Doctor(Protocol):
    """Looks whether every part would do its work now."""

    async def __call__(self, tell: Tell = untold) -> Examined:
        """Every finding, worst first; within two minutes, whatever hangs."""
        ...


async def no_doctor(tell: Tell = untold) -> Examined:  # noqa: ARG001
    """Nobody looks."""
    raise NotFound("doctor", "There is no doctor here.", "Ask a running daemon.")


class Pulse(Protocol):
    """Measures the daemon, its host and its vaults."""

    async def __call__(self) -> Vitals | None:
        """As they were within the last seconds; returns in time, whatever hangs. None: nobody."""
        ...


async def no_pulse() -> Vitals | None:
    """Nobody measures."""
    return None


class ExportPlace(Struct, frozen=True):
    """Where an export goes: a URL, and the ``[exports]`` entry that has the keys, if one has."""

    url: str
    entry: str | None = None


class Plain(Struct, frozen=True):
    """One shard's RDB: its length and hash as they should be, and its bytes, checked (R5)."""

    shard: str
    plain_bytes: int
    sha256: str
    chunks: AsyncGenerator[bytes, None]


class Exporter(Protocol):
    """Takes backups out."""

    def resolve(self, destination: str, entry: str | None) -> ExportPlace:
        """What a destination means; raises `BadRequest`, `NotFound` or `Rejected`."""
        ...

    def plain(
        self, backup: Backup, vault: VaultName | None, shard: str | None
    ) -> AbstractAsyncContextManager[Plain]:
        """A shard of a complete backup; entering raises `Failed` or `NotFound`, chunks `Failed`.

        The last 64 KiB are given only when everything is known to be right.
        """
        ...


class HookDesk(Protocol):
    """Looks at hooks, and runs them by hand."""

    async def doubts(self) -> Mapping[str, tuple[str, ...]]:
        """What is wrong with the programs of hooks, by the hook's name."""
        ...

    async def try_out(self, said: TryHook, hook: Hook, who: Who) -> HookTried:
        """Run it, and record that; raises `Rejected` when too many are being tried."""
        ...


class Outside(Struct, frozen=True):
    """Everything that answers are made of.

    `vaults` maps names to URLs without secrets. `check_url` raises `BadRequest` for a URL that
    can never be a cache's, without asking anybody. `locate` gives the URLs of the objects that
    hold a backup's shards. `names` gives the names that a comparison has found, as NDJSON.
    `keyspace` tells what a backup's keys take, with names, where they were counted.
    `encrypted` tells whether only what is encrypted may go into a vault. An upload may be silent
    for `upload_seconds`; `entries` are the names of ``[exports]``.
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
    exporter: Exporter | None = None
    keys_planner: KeysPlanner | None = None
    log_copies: Callable[[], tuple[CopyStanding, ...]] = nothing_copied
    names: Callable[[str], AsyncGenerator[bytes, None]] = no_names
    keyspace: Keyspace = no_keyspace
    uploads: Uploads = NoUploads()
    upload_seconds: float = 60.0
    entries: Callable[[], tuple[str, ...]] = tuple
    hooks: HookDesk | None = None
    pulse: Pulse = no_pulse
