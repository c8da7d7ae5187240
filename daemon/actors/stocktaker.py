"""The stocktaker: looks once a day whether the objects of every copy are still there.

Reads no data: it asks for sizes, which costs next to nothing in a bucket. It judges nothing: a
copy that lacks something is verified at once, and that finds out what is the matter.
"""

from collections.abc import Iterator
from functools import partial

import anyio
import anyio.lowlevel
import structlog

from daemon.actors.bulkhead import contained
from daemon.actors.seams import ReadableVaults
from daemon.commands import VerifyCopy
from daemon.errors import Rejected, ValkeepError
from daemon.ledger import Ledger
from daemon.storage import names
from daemon.storage.ownership import owner
from daemon.storage.vault import Vault
from events.envelope import Who
from events.facts import ONLY_SHARD, VaultName
from projections.catalog import Backup
from projections.copies import Copy
from projections.copy_rounds import Periods

log = structlog.get_logger()

POLICY = Who(kind="scheduler")
FIRST_SECONDS = 600.0
"""After a start others have more to do."""
EVERY_SECONDS = 86_400.0
AT_ONCE = 64
"""Caches that are looked at before others may use the loop."""


class StockTaker:
    """Looks for the objects of copies, in vaults whose copies are to be read back at all."""

    def __init__(self, ledger: Ledger, vaults: ReadableVaults, periods: Periods) -> None:
        self._ledger = ledger
        self._vaults = vaults
        self._periods = periods

    async def run(self) -> None:
        """Look for the first time some minutes after the start, and then every day."""
        await anyio.sleep(FIRST_SECONDS)
        while True:
            there = await self._known()
            for name, backups in sorted(there.items()):
                if self._periods(name) is not None:
                    await contained(partial(self._look, name, backups), work=f"stock of {name}")
            await anyio.sleep(EVERY_SECONDS)

    async def _known(self) -> dict[VaultName, list[Backup]]:
        """The backups that have a copy in each vault."""
        there: dict[VaultName, list[Backup]] = {}
        for number, of_cache in enumerate(self._ledger.state.catalog.values(), 1):
            for backup in of_cache.values():
                for copy in _whole(backup):
                    there.setdefault(copy.vault, []).append(backup)
            if number % AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()
        return there

    async def _look(self, name: VaultName, backups: list[Backup]) -> None:
        try:
            vault = await self._vaults.readable(name)
            if await owner(vault) is None:
                return  # An empty mount point has no copies, and that is no news of them.
            for backup in backups:
                if not await _is_there(vault, backup):
                    await self._verify(backup, name)
        except ValkeepError as error:
            log.warning("stock not taken", vault=name, error=error.message, hint=error.hint)

    async def _verify(self, backup: Backup, name: VaultName) -> None:
        """Unless it was deleted, or is being looked at, by now."""
        try:
            command = VerifyCopy(backup.cache, backup.backup_id, name)
            await self._ledger.execute(command, POLICY)
        except Rejected:
            return
        log.warning("copy incomplete", vault=name, cache=backup.cache, backup_id=backup.backup_id)


def _whole(backup: Backup) -> Iterator[Copy]:
    """The copies that are there by all that is known, and that nobody looks at now."""
    for copy in backup.copies:
        if backup.phase == "complete" and copy.good and copy.check is None:
            yield copy


async def _is_there(vault: Vault, backup: Backup) -> bool:
    """Whether a vault has manifest and data of a backup, in the sizes that they should have."""
    stored, attempt = backup.stored, max(1, backup.attempts)
    if stored is None:
        return True
    manifest = names.manifest_object(backup.cache, backup.backup_id, attempt)
    if await vault.size(manifest) is None:
        return False
    data = names.shard_object(
        backup.cache, backup.backup_id, ONLY_SHARD, attempt, encrypted=bool(stored.recipients)
    )
    return await vault.size(data) == stored.stored_bytes
