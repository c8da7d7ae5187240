"""One try at a verification, of a backup or of a copy of one: manifest, proof, verdict.

Knows what is held against a backup and what is not: a vault that does not answer, or that has
lost even its own name, says nothing of what lies in it.
"""

from msgspec import Struct
from msgspec.structs import replace

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
from projections.work import CopyProofWork, VerificationWork, checked_in


class Proving(Struct, frozen=True):
    """What a verification needs of the outside."""

    vaults: ReadableVaults
    prover: Prover


class VerifyActor:
    """Verifies stored backups, and copies of them: the same bytes under the same names."""

    def __init__(self, ledger: Ledger, outside: Proving) -> None:
        self._ledger = ledger
        self._outside = outside

    async def perform(self, work: VerificationWork | CopyProofWork, progress: Progress) -> None:
        """One try, from its start in the log to its end there."""
        vault = work.vault if isinstance(work, CopyProofWork) else None
        try:
            await self._ledger.execute(StartVerification(work.backup_id, vault), DAEMON)
        except Rejected:
            return
        state, wanted = self._ledger.state, self._wanted(work)
        if wanted is None:
            return
        backup = state.catalog[work.cache][work.backup_id]
        there = replace(backup, vault=vault or backup.vault)
        await self._report(await self._verdict(there, wanted, progress))

    async def crashed(self, work: VerificationWork | CopyProofWork, failure: Failure) -> None:
        """Our own bug says nothing of the backup."""
        wanted = self._wanted(work)
        if wanted is not None and wanted.running:
            report = ReportUnverified(wanted.verification_id, work.backup_id, failure)
            await self._report(report)

    def _wanted(self, work: VerificationWork | CopyProofWork) -> Verification | None:
        state = self._ledger.state
        if isinstance(work, CopyProofWork):
            return checked_in(state, work.cache, work.backup_id, work.vault)
        return state.verifications.get(work.backup_id)

    async def _report(self, report: ProofReport) -> None:
        try:
            await self._ledger.report(report)
        except Rejected:
            return

    async def _verdict(
        self, backup: Backup, wanted: Verification, progress: Progress
    ) -> ProofReport:
        """`backup` is as it lies in the vault that is read."""
        verification_id, backup_id = wanted.verification_id, backup.backup_id
        try:
            vault = await self._outside.vaults.readable(backup.vault)
            await _is_there(vault)
            progress.phase("reading the manifest")
            shard = await _shard(vault, backup)
            case = Case(vault, backup, shard, wanted.quick, progress, self._is_own(backup))
            receipt = await self._outside.prover(case)
        except Failed as error:
            return await self._judged(backup, verification_id, error)
        except ValkeepError as error:
            end = Permanent(error.code, error.message, error.hint)
            return ReportUnverified(verification_id, backup_id, end.as_failure())
        return ReportVerified(verification_id, backup_id, receipt)

    def _is_own(self, backup: Backup) -> bool:
        """Whether it is the backup itself: of its keys nothing else is learnt from a copy."""
        return self._ledger.state.catalog[backup.cache][backup.backup_id].vault == backup.vault

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
