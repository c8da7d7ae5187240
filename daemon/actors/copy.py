"""Copies of backups in further vaults: making them and taking them away.

Each try begins from zero (R7). The log says which copies are wanted and when one is tried again;
here it is only done and reported.
"""

from msgspec import Struct, field

from daemon.actors.seams import WritableVaults
from daemon.commands import ReportCopied, ReportCopyFailed, ReportCopyGone, StartCopy
from daemon.errors import Failed, Permanent, Rejected, ValkeepError
from daemon.ledger import DAEMON, Ledger
from daemon.ports import Offload, Progress
from daemon.storage.bandwidth import Bandwidth, LimitedVault, Way
from daemon.storage.catalog import delete_backup
from daemon.storage.copying import (
    SAME_PLACE,
    Original,
    clear_copy,
    copy_backup,
    prove_original,
)
from daemon.storage.sealing import Keys, NoKeys
from daemon.storage.vault import Vault
from events.facts import Failure
from projections.catalog import Backup
from projections.copies import in_vault
from projections.work import CopyWork, UncopyWork


class Between(Struct, frozen=True):
    """What copying needs beside the ledger; `keys` tell which vaults are to be encrypted."""

    vaults: WritableVaults
    offload: Offload
    keys: Keys = NoKeys()
    bandwidth: Bandwidth = field(default_factory=Bandwidth)


class CopyActor:
    """Makes one try at a copy, or removes what there is of one."""

    def __init__(self, ledger: Ledger, between: Between) -> None:
        self._ledger = ledger
        self._between = between

    async def perform(self, work: CopyWork | UncopyWork, progress: Progress) -> None:
        """One try at a copy from its start in the log to its end there; or its removal."""
        if isinstance(work, UncopyWork):
            await self._remove(work, progress)
            return
        try:
            await self._ledger.execute(StartCopy(work.backup_id, work.vault), DAEMON)
        except Rejected:
            return
        try:
            stored_bytes = await self._copy(work, progress)
        except Failed as error:
            await self._failed(work, error.as_failure())
        except ValkeepError as error:
            end = Permanent(error.code, error.message, error.hint)
            await self._failed(work, end.as_failure())
        else:
            await self._report(ReportCopied(work.backup_id, work.vault, stored_bytes))

    async def crashed(self, work: CopyWork | UncopyWork, failure: Failure) -> None:
        """Our own bug: a try has failed; a removal is outstanding all the same."""
        if isinstance(work, CopyWork):
            await self._failed(work, failure)

    async def _failed(self, work: CopyWork, failure: Failure) -> None:
        await self._report(ReportCopyFailed(work.backup_id, work.vault, failure))

    async def _report(self, report: ReportCopied | ReportCopyFailed | ReportCopyGone) -> None:
        try:
            await self._ledger.report(report)
        except Rejected:
            return

    async def _copy(self, work: CopyWork, progress: Progress) -> int:
        backup = self._backup(work)
        between = self._between
        progress.phase("connecting")
        self._stays_sealed(backup, work)
        cache = self._ledger.state.caches.get(backup.cache)
        own = cache.settings.bandwidth if cache else None
        way = Way(between.bandwidth.of(backup.cache, own), progress)
        vault = LimitedVault(await between.vaults.writable(work.vault), way)
        original, copy = await self._original(backup), in_vault(backup.copies, work.vault)
        if copy is not None and copy.mending:
            await prove_original(original, between.offload, progress)
        return await copy_backup(original, vault, between.offload, progress)

    def _stays_sealed(self, backup: Backup, work: CopyWork) -> None:
        """Plain data does not go into a vault that is configured to be encrypted."""
        recipients = backup.stored.recipients if backup.stored else ()
        if not recipients and self._between.keys.sealing(work.vault) is not None:
            raise Permanent(
                "copy-plain",
                f"Backup {backup.cache}/{backup.name} is not encrypted, and vault "
                f"{work.vault!r} is only for what is.",
                "A copy is the stored bytes as they are: set recipients in "
                f"[vaults.{backup.vault}] as well, for the backups to come; or copy this one to "
                "another vault.",
            )

    async def _remove(self, work: UncopyWork, progress: Progress) -> None:
        """What there is of a copy; while its backup lives, only from another place than that."""
        backup = self._backup(work)
        progress.phase("removing a copy")
        vault = await self._between.vaults.writable(work.vault)
        if backup.phase == "deleting" or await self._is_elsewhere(backup, vault):
            await delete_backup(vault, backup.cache, backup.backup_id, attempts=backup.attempts)
        await self._report(ReportCopyGone(work.backup_id, work.vault))

    async def _is_elsewhere(self, backup: Backup, vault: Vault) -> bool:
        """Clears what tries have left there; in the backup's own place there is nothing of them."""
        try:
            await clear_copy(await self._original(backup), vault)
        except Permanent as error:
            if error.code == SAME_PLACE:
                return False
            raise
        return True

    def _backup(self, work: CopyWork | UncopyWork) -> Backup:
        return self._ledger.state.catalog[work.cache][work.backup_id]

    async def _original(self, backup: Backup) -> Original:
        if backup.stored is None:
            raise TypeError(f"backup {backup.backup_id} is not complete")
        return Original(
            vault=await self._between.vaults.readable(backup.vault),
            cache=backup.cache,
            backup_id=backup.backup_id,
            attempt=backup.attempts,
            manifest_sha256=backup.stored.manifest_sha256,
        )
