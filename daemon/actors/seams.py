"""Seams that several actors share; the composition root fills them."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from daemon.errors import Permanent
from daemon.ports import Progress
from daemon.storage.manifest import ShardObject
from daemon.storage.sealing import Sealing
from daemon.storage.vault import ObjectName, Vault
from daemon.valkey.source import Snapshot
from events.facts import Failure, RdbTotals, SnapshotFacts, VaultName
from projections.catalog import Backup
from projections.hooks import Occasion
from projections.imports import Origin

STALLED = "stalled"
"""The code of a failure: the work got nowhere for so long that it was ended."""
STUCK = "stuck"
"""The code of a failure: the work got nowhere, was to end, and has not returned."""


class ReadableVaults(Protocol):
    """The configured vaults, for reading: whoever they belong to."""

    async def readable(self, name: VaultName) -> Vault:
        """A vault by its name; raises `Permanent` when it is not configured."""
        ...


class WritableVaults(ReadableVaults, Protocol):
    """The configured vaults, each claimed for this installation before its first use (S2)."""

    async def writable(self, name: VaultName) -> Vault:
        """A vault that may be written to; raises `Permanent` when it may not."""
        ...


class Beforehand(Protocol):
    """What the user wants done before something begins: hooks."""

    async def __call__(self, occasion: Occasion, progress: Progress) -> None:
        """Do it; raises `Transient` or `Permanent` when that fails, and what it is before with it.

        When the caller is cancelled, whatever was begun has ended before that comes through.
        """
        ...


async def nothing_beforehand(occasion: Occasion, progress: Progress) -> None:
    """The `Beforehand` of a daemon without hooks."""


class Judged(Struct, frozen=True):
    """What the RDB checker counted in the stored bytes, or why it could not read them."""

    totals: RdbTotals | None
    unread: str | None = None


class Pack(Protocol):
    """One snapshot's way into a vault; a failure on it ends whatever its context runs."""

    async def read(self, snapshot: Snapshot) -> None:
        """Read the snapshot to its end; it may be released then, though the vault is behind."""
        ...

    async def store(self) -> ShardObject:
        """Wait until the vault has it whole, or raise and leave nothing under its name."""
        ...

    async def judge(self) -> Judged:
        """What an engine's own checker says of it; after `store`.

        Raises `Transient("rdb-broken")` when the bytes came whole and yet are damaged.
        """
        ...


class Packer(Protocol):
    """The pipeline from snapshots to vaults, with everything that taps it."""

    def __call__(
        self,
        vault: Vault,
        name: ObjectName,
        progress: Progress,
        sealing: Sealing | None = None,
    ) -> AbstractAsyncContextManager[Pack]:
        """One way into a vault under a name; leaving the context ends what it started.

        With a `sealing` nothing leaves it unencrypted.
        """
        ...


class Foreign(Snapshot, Protocol):
    """What is imported; an engine's checker reads it along, whatever becomes of the bytes."""

    async def facts(self) -> SnapshotFacts:
        """See `Snapshot.facts`; also raises `Permanent` for what the checker could not read."""
        ...

    @property
    def judged(self) -> Judged:
        """What the checker has counted; after `facts`."""
        ...


class Imports(Protocol):
    """Where the bytes of imports come from, and what they must be like to be kept (S4)."""

    def snapshot(self, backup: Backup, progress: Progress) -> AbstractAsyncContextManager[Foreign]:
        """What is to be imported, open for reading; leaving the context closes it.

        Its header is looked at: `Permanent` for what no engine here can read. The facts are what
        the RDB tells of itself.
        """
        ...

    def explained(self, failure: Failure, origin: Origin) -> Failure:
        """The same failure as somebody should hear it who brought these bytes."""
        ...


class NoImports:
    """Nothing can be imported."""

    def snapshot(
        self,
        backup: Backup,
        progress: Progress,  # noqa: ARG002 - the same for all
    ) -> AbstractAsyncContextManager[Foreign]:
        """See `Imports.snapshot`."""
        what = f"{backup.cache}/{backup.name}"
        raise Permanent("import", f"{what} cannot be imported here.", "Ask another daemon.")

    def explained(self, failure: Failure, origin: Origin) -> Failure:  # noqa: ARG002
        """See `Imports.explained`."""
        return failure
