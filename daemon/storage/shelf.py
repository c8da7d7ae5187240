"""The configured vaults by name: opened once, looked at before each use that writes (S2).

Knows which vaults there are. What is in them, and what they are made of, is theirs.
"""

from collections.abc import Callable, Mapping
from functools import partial

from daemon.errors import Permanent
from daemon.storage.ownership import claim
from daemon.storage.vault import Vault
from events.facts import InstallationId, VaultName

Opener = Callable[[], Vault]


class Shelf:
    """All vaults of one daemon. Not safe to share between event loops."""

    def __init__(
        self,
        openers: Mapping[VaultName, Opener],
        installation: InstallationId,
        used: Callable[[VaultName], bool] = lambda _: False,
    ) -> None:
        """`used` tells whether the log knows of backups in a vault: then it is not fresh."""
        self._openers = dict(openers)
        self._installation = installation
        self._used = used
        self._open: dict[VaultName, Vault] = {}
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

        It is looked at each time, before a job that writes: it may have been taken over, or its
        disk may be gone. Raises ``vault-foreign`` for a vault of another installation, and
        ``vault-owner-missing`` for one that has lost what it held.
        """
        vault = await self.readable(name)
        await claim(vault, self._installation, used=partial(self._used, name))
        return vault

    def replace(self, openers: Mapping[VaultName, Opener]) -> None:
        """Take a new configuration; work under way keeps the vault objects it has."""
        self._openers = dict(openers)
        self._retired += self._open.values()
        self._open.clear()

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
