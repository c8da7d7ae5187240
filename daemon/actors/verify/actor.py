"""One try at a verification: manifest, proof, verdict.

Knows what is held against a backup and what is not: a vault that does not answer, or that has
lost even its own name, says nothing of what lies in it.
"""

from msgspec import Struct

from daemon.actors.seams import ReadableVaults
from daemon.actors.verify.proving import DAMAGE, Case, Prover
from daemon.commands import (
    ProofReport,
    ReportRefuted,
    ReportUnverified,
    ReportVerified,
    StartVerification,
)
from daemon.errors import Failed, Permanent, Rejected, Transient, ValkeepError
from daemon.ledger import DAEMON, Ledger
from daemon.ports import Progress
from daemon.storage.catalog import read_manifest
from daemon.storage.manifest import ShardObject
from daemon.storage.names import OWNER
from daemon.storage.ownership import owner
from daemon.storage.vault import Vault
from events.facts import Failure, VerificationId
from projections.catalog import Backup
from projections.proofs import Verification
from projections.work import VerificationWork


class Proving(Struct, frozen=True):
    """What a verification needs of the outside."""

    vaults: ReadableVaults
    prover: Prover


class VerifyActor:
    """Verifies stored backups."""

    def __init__(self, ledger: Ledger, outside: Proving) -> None:
        self._ledger = ledger
        self._outside = outside

    async def perform(self, work: VerificationWork, progress: Progress) -> None:
        """One try, from its start in the log to its end there."""
        try:
            await self._ledger.execute(StartVerification(work.backup_id), DAEMON)
        except Rejected:
            return
        state = self._ledger.state
        wanted = state.verifications.get(work.backup_id)
        if wanted is None:
            return
        backup = state.catalog[work.cache][work.backup_id]
        await self._report(await self._verdict(backup, wanted, progress))

    async def crashed(self, work: VerificationWork, failure: Failure) -> None:
        """Our own bug says nothing of the backup."""
        wanted = self._ledger.state.verifications.get(work.backup_id)
        if wanted is not None and wanted.running:
            report = ReportUnverified(wanted.verification_id, work.backup_id, failure)
            await self._report(report)

    async def _report(self, report: ProofReport) -> None:
        try:
            await self._ledger.report(report)
        except Rejected:
            return

    async def _verdict(
        self, backup: Backup, wanted: Verification, progress: Progress
    ) -> ProofReport:
        verification_id, backup_id = wanted.verification_id, backup.backup_id
        try:
            vault = await self._outside.vaults.readable(backup.vault)
            await _is_there(vault)
            progress.phase("reading the manifest")
            shard = await _shard(vault, backup)
            case = Case(vault, backup, shard, wanted.quick, progress)
            receipt = await self._outside.prover(case)
        except Failed as error:
            return await self._judged(backup, verification_id, error)
        except ValkeepError as error:
            end = Permanent(error.code, error.message, error.hint)
            return ReportUnverified(verification_id, backup_id, end.as_failure())
        return ReportVerified(verification_id, backup_id, receipt)

    async def _judged(
        self, backup: Backup, verification_id: VerificationId, error: Failed
    ) -> ReportRefuted | ReportUnverified:
        """Damage, if the vault is still the vault; else another try."""
        level, backup_id = DAMAGE.get(error.code), backup.backup_id
        if level is None:
            return ReportUnverified(verification_id, backup_id, error.as_failure())
        try:
            await _is_there(await self._outside.vaults.readable(backup.vault))
        except ValkeepError as gone:
            other = Transient(gone.code, gone.message, gone.hint)
            return ReportUnverified(verification_id, backup_id, other.as_failure())
        return ReportRefuted(verification_id, backup_id, level, error.as_failure())


async def _is_there(vault: Vault) -> None:
    """An empty mount point has no backups, and that is no news of them."""
    if await owner(vault) is None:
        raise Transient(
            "vault-owner-missing",
            f"{vault.url} holds backups by the log, but no {OWNER}",
            "is its disk mounted, and is it the right bucket? The backup is looked at again",
        )


async def _shard(vault: Vault, backup: Backup) -> ShardObject:
    sha256 = backup.stored.manifest_sha256 if backup.stored else None
    manifest = await read_manifest(
        vault, backup.cache, backup.backup_id, sha256, attempt=max(1, backup.attempts)
    )
    if len(manifest.shards) != 1:
        raise Permanent(
            "manifest-unreadable",
            f"the manifest of {backup.cache}/{backup.name} names {len(manifest.shards)} shards",
            "use the version of Valkeep that wrote it, or a newer one",
        )
    return manifest.shards[0]
