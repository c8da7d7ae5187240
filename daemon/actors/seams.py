"""Seams that several actors share; the composition root fills them."""

from typing import Protocol

from msgspec import Struct

from daemon.ports import Progress
from daemon.storage.manifest import ShardObject
from daemon.storage.vault import ObjectName, Vault
from daemon.valkey.source import Snapshot
from events.facts import RdbTotals, VaultName


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


class Packed(Struct, frozen=True):
    """One shard in the vault, and what the RDB checker counted in it, or why it could not."""

    shard: ShardObject
    totals: RdbTotals | None
    unread: str | None


class Packer(Protocol):
    """The pipeline from a snapshot to a vault, with everything that taps it."""

    async def __call__(
        self, snapshot: Snapshot, vault: Vault, name: ObjectName, progress: Progress
    ) -> Packed:
        """Store one snapshot whole under a name, or raise and leave nothing under it."""
        ...
