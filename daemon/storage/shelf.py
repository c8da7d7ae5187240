"""The configured vaults by name: opened once, claimed before the first write (S2).

Knows which vaults there are. What is in them, and what they are made of, is theirs.
"""

from collections.abc import Callable, Mapping

from daemon.errors import Permanent
from daemon.storage.ownership import claim
from daemon.storage.vault import Vault
from events.facts import InstallationId, VaultName

Opener = Callable[[], Vault]


class Shelf:
    """All vaults of one daemon. Not safe to share between event loops."""

    def __init__(self, openers: Mapping[VaultName, Opener], installation: InstallationId) -> None:
        self._openers = dict(openers)
        self._installation = installation
        self._open: dict[VaultName, Vault] = {}
        self._ours: set[VaultName] = set()
        self._retired: list[Vault] = []

    @property
    def names(self) -> tuple[VaultName, ...]:
        """The configured names, in order."""
        return tuple(sorted(self._openers))

    async def readable(self, name: VaultName) -> Vault:
        """A vault for reading, whoever it belongs to."""
        if name not in self._open:
            if name not in self._openers:
                raise self._unknown(name)
            self._open[name] = self._openers[name]()
        return self._open[name]

    async def writable(self, name: VaultName) -> Vault:
        """A vault that is ours; the first use of a fresh one makes it ours.

        Raises `Permanent("vault-foreign")` for a vault of another installation.
        """
        vault = await self.readable(name)
        if name not in self._ours:
            await claim(vault, self._installation)
            self._ours.add(name)
        return vault

    def replace(self, openers: Mapping[VaultName, Opener]) -> None:
        """Take a new configuration; work under way keeps the vault objects it has."""
        self._openers = dict(openers)
        self._retired += self._open.values()
        self._open.clear()
        self._ours.clear()

    async def aclose(self) -> None:
        """Close every vault that was opened."""
        for vault in (*self._open.values(), *self._retired):
            await vault.aclose()
        self._open.clear()
        self._retired.clear()

    def _unknown(self, name: VaultName) -> Permanent:
        known = ", ".join(self.names) or "none"
        return Permanent(
            "vault-unknown",
            f"There is no vault {name!r} in the configuration.",
            f"Configured vaults: {known}. Bring [vaults.{name}] back, or choose another vault.",
        )
