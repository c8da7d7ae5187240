"""One attempt at a backup: snapshot, pipeline, manifest, reports.

Knows the order that makes it safe: the attempt is in the log before the first byte is
written, and the manifest is written last. Whether there is another attempt is decided
elsewhere; what a failed one left is swept elsewhere.
"""

from contextlib import suppress

from msgspec import Struct, field

from daemon.actors.holding import held
from daemon.actors.seams import (
    STALLED,
    STUCK,
    Beforehand,
    Imports,
    Judged,
    NoImports,
    Pack,
    Packer,
    WritableVaults,
    nothing_beforehand,
)
from daemon.commands import (
    ReportAttemptFailed,
    ReportSnapshot,
    ReportStored,
    ReportStuck,
    StartAttempt,
)
from daemon.errors import Failed, Permanent, Rejected, ValkeepError
from daemon.ledger import DAEMON, Ledger
from daemon.ports import Clock, Progress
from daemon.storage import names
from daemon.storage.bandwidth import Bandwidth, LimitedVault, Way
from daemon.storage.catalog import write_manifest
from daemon.storage.manifest import Manifest, ShardObject
from daemon.storage.sealing import Keys, NoKeys
from daemon.valkey.source import Caches
from events.facts import (
    ONLY_SHARD,
    CacheSettings,
    Failure,
    InstallationId,
    SnapshotFacts,
    StoredFacts,
)
from projections.catalog import Backup
from projections.hooks import before_backup
from projections.work import BackupWork


class Surroundings(Struct, frozen=True):
    """What an attempt needs of the outside; imports are packed without a checker of the pack's."""

    caches: Caches
    vaults: WritableVaults
    pack: Packer
    clock: Clock
    installation: InstallationId
    keys: Keys = NoKeys()
    bandwidth: Bandwidth = field(default_factory=Bandwidth)
    imports: Imports = NoImports()
    pack_imports: Packer | None = None
    before: Beforehand = nothing_beforehand


class BackupActor:
    """Makes attempts at backups."""

    def __init__(self, ledger: Ledger, outside: Surroundings) -> None:
        self._ledger = ledger
        self._outside = outside

    async def perform(self, work: BackupWork, progress: Progress) -> None:
        """One attempt, from its start in the log to its end there."""
        try:
            await self._ledger.execute(StartAttempt(work.backup_id), DAEMON)
        except Rejected:
            return
        state = self._ledger.state
        backup = state.catalog[work.cache][work.backup_id]
        try:
            if backup.origin is None:
                await self._outside.before(before_backup(backup), progress)
            await self._attempt(backup, state.caches[work.cache].settings, progress)
        except Failed as error:
            failure = error.as_failure()
            if backup.origin is not None:
                failure = self._outside.imports.explained(failure, backup.origin)
            await self._failed(work, failure, backup.attempts)
        except ValkeepError as error:
            # Superseded, and then so is this report; or refused by something, and that is for good.
            end = Permanent(error.code, error.message, error.hint)
            await self._failed(work, end.as_failure(), backup.attempts)

    async def crashed(self, work: BackupWork, failure: Failure) -> None:
        """The attempt failed. If it was our own bug, then we are to blame (M3)."""
        report: ReportAttemptFailed | ReportStuck
        if failure.code == STUCK:
            report = ReportStuck(work.backup_id, failure, "make an attempt at it")
        else:
            by_daemon = failure.code != STALLED
            report = ReportAttemptFailed(work.backup_id, failure, by_daemon=by_daemon)
        with suppress(Rejected):
            await self._ledger.report(report)

    async def _failed(self, work: BackupWork, failure: Failure, attempt: int) -> None:
        report = ReportAttemptFailed(work.backup_id, failure, attempt=attempt)
        with suppress(Rejected):
            await self._ledger.report(report)

    async def _attempt(self, backup: Backup, settings: CacheSettings, progress: Progress) -> None:
        """Bytes first, then the manifest, then the log: each makes the one before it true.

        The snapshot is let go, and told of, when it has been read: the vault may take longer.
        """
        progress.phase("connecting")
        way = Way(self._outside.bandwidth.of(backup.cache, settings.bandwidth), progress)
        vault = LimitedVault(await self._outside.vaults.writable(backup.vault), way)
        sealing = self._outside.keys.sealing(backup.vault)
        name = names.shard_object(
            backup.cache, backup.backup_id, ONLY_SHARD, backup.attempts, encrypted=bool(sealing)
        )
        imported = self._outside.pack_imports if backup.origin is not None else None
        async with (imported or self._outside.pack)(vault, name, progress, sealing) as pack:
            facts, judged = await self._read(backup, settings, progress, pack)
            report = ReportSnapshot(backup.backup_id, facts, backup.attempts)
            await self._ledger.report(report)
            shard = await pack.store()
            judged = judged or await pack.judge()
        progress.phase("writing the manifest")
        manifest = await self._manifest(backup, facts, shard)
        sha256 = await write_manifest(vault, manifest)
        stored = _stored(shard, judged, sha256)
        await self._ledger.report(ReportStored(backup.backup_id, stored, backup.attempts))

    async def _read(
        self, backup: Backup, settings: CacheSettings, progress: Progress, pack: Pack
    ) -> tuple[SnapshotFacts, Judged | None]:
        """Read it to its end, of the cache or of what is imported, which is judged by then."""
        if backup.origin is not None:
            imports = self._outside.imports
            async with held(imports.snapshot(backup, progress)) as foreign:
                progress.phase("storing", foreign.expected_bytes)
                await pack.read(foreign)
                return await foreign.facts(), foreign.judged
        safety = backup.kind == "safety"
        snapshots = self._outside.caches.snapshot(settings, progress, safety=safety)
        async with held(snapshots) as snapshot:
            progress.phase("storing", snapshot.expected_bytes)
            await pack.read(snapshot)
            return await snapshot.facts(), None

    async def _manifest(self, backup: Backup, facts: SnapshotFacts, shard: ShardObject) -> Manifest:
        head = await self._ledger.head()
        return Manifest(
            format=1,
            installation=self._outside.installation,
            backup_id=backup.backup_id,
            cache=backup.cache,
            name=backup.name,
            kind=backup.kind,
            created_at=self._outside.clock.now(),
            snapshot=facts,
            shards=(shard,),
            log_position=head.position,
            log_sha256=head.hash.hex(),
            attempt=backup.attempts,
        )


def _stored(shard: ShardObject, judged: Judged, manifest_sha256: str) -> StoredFacts:
    return StoredFacts(
        plain_bytes=shard.plain_bytes,
        stored_bytes=shard.stored_bytes,
        sha256=shard.sha256,
        manifest_sha256=manifest_sha256,
        blocks=len(shard.blocks),
        totals=judged.totals,
        unread=judged.unread,
        recipients=shard.recipients,
    )
