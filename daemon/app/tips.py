"""What the configured vaults remember of the log, for the audit (L3)."""

from collections.abc import Callable

from daemon.answers import TipView
from daemon.errors import Failed
from daemon.storage.shelf import Shelf
from daemon.storage.tips import newest_tip
from events.facts import BackupId, InstallationId, VaultName


class VaultTips:
    """Asks each vault for its newest manifest."""

    def __init__(
        self,
        shelf: Shelf,
        installation: InstallationId,
        recovered: Callable[[], frozenset[BackupId]] = frozenset,
    ) -> None:
        """`recovered` are the backups that the log knows from their manifests alone."""
        self._shelf = shelf
        self._installation = installation
        self._recovered = recovered

    async def __call__(self) -> tuple[TipView, ...]:
        """One for each vault, in the order of their names."""
        return tuple([await self._of(name) for name in self._shelf.names])

    async def _of(self, name: VaultName) -> TipView:
        try:
            vault = await self._shelf.readable(name)
            tip = await newest_tip(vault, self._installation, but=self._recovered())
        except Failed as error:
            return TipView(name, unread=error.message)
        if tip is None:
            return TipView(name)
        return TipView(name, tip.backup_id, tip.position, tip.sha256)
