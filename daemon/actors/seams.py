"""Seams that several actors share; the composition root fills them."""

from typing import Protocol

from daemon.storage.vault import Vault
from events.facts import VaultName


class WritableVaults(Protocol):
    """The configured vaults, each claimed for this installation before its first use (S2)."""

    async def writable(self, name: VaultName) -> Vault:
        """A vault that may be written to; raises `Permanent` when it may not."""
        ...
