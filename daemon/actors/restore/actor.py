"""A restore into a running cache by replication, from the plan to the durable result.

Knows the order that makes it safe (R3-R9): everything that will be changed is in the log
before the first change; the last bytes go out only when all are right; writes are refused
until the result is durable. Undoing is another actor's work, in this run or the next.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from msgspec import Struct

from daemon.actors.holding import bounded_elsewhere
from daemon.actors.restore.elsewhere import from_vault, with_copies
from daemon.actors.restore.keys import KeysRestore
from daemon.actors.restore.planning import Planning, Visit, known, unlocked
from daemon.actors.restore.relief import Relief
from daemon.actors.restore.safety import safety_backup
from daemon.actors.seams import Beforehand, ReadableVaults, nothing_beforehand
from daemon.commands import (
    ReportPlan,
    ReportRestored,
    ReportRestoreFailed,
    StartRestore,
)
from daemon.errors import Failed, Permanent, Rejected, Transient, ValkeepError
from daemon.ledger import Ledger
from daemon.ports import Offload, Progress
from daemon.storage.catalog import read_manifest
from daemon.storage.manifest import ShardObject
from daemon.storage.one_error import one_error
from daemon.storage.reader import Reading, read_plain
from daemon.storage.sealing import Identities, Keys, NoKeys
from daemon.storage.vault import Vault
from daemon.valkey.durable import Before, Durability, before, evicted
from daemon.valkey.rdb import RdbGuard
from daemon.valkey.seeder import Patience, Seeder
from daemon.valkey.target import Hold, Target
from daemon.valkey.target_facts import keys_now
from events.facts import Failure, RestorePlan, RestoreResult
from projections.catalog import Backup
from projections.hooks import before_restore
from projections.restore_plan import Wishes, restore_plan
from projections.restores import Restore
from projections.work import RestoreWork

LOADED_SECONDS = 60.0
"""From the target's acknowledgement until it says itself that it is in step."""
DURABLE_SECONDS = 3600.0
WATCH_SECONDS = 1.0
RECORDING = "waiting for the log, to record how it ended"
SWAPDB_STALL_SECONDS = 10.0


class Outside(Struct, frozen=True):
    """What a restore needs beside the ledger."""

    planning: Planning
    vaults: ReadableVaults
    offload: Offload
    relief: Relief
    keys: Keys = NoKeys()
    before: Beforehand = nothing_beforehand


class Stored(Struct, frozen=True):
    """One shard that can be read again and again, checked each time (R5)."""

    vault: Vault
    shard: ShardObject
    offload: Offload
    identities: Identities | None = None

    @asynccontextmanager
    async def chunks(self) -> AsyncGenerator[AsyncGenerator[bytes, None], None]:
        """The plain bytes from their beginning."""
        reading = Reading(self.offload, guards=(RdbGuard(),), identities=self.identities)
        async with read_plain(self.vault, self.shard, reading) as chunks:
            yield chunks


class Job(Struct, frozen=True):
    """One restore under way, from the moment its target is about to be changed."""

    restore: Restore
    plan: RestorePlan
    visit: Visit
    hold: Hold
    earlier: Before
    progress: Progress


class RestoreActor:
    """Carries restores out."""

    def __init__(
        self, ledger: Ledger, outside: Outside, by_keys: KeysRestore | None = None
    ) -> None:
        self._ledger = ledger
        self._outside = outside
        self._by_keys = by_keys

    async def perform(self, work: RestoreWork, progress: Progress) -> None:
        """One restore from its request to its end, or to the point where it must be undone."""
        restore = self._ledger.state.restores[work.restore_id]
        if restore.phase != "requested":
            return
        try:
            await self._outside.before(before_restore(restore), progress)
            if restore.keys is not None and self._by_keys is not None:
                await self._by_keys.restore(restore, restore.keys, progress)
            else:
                await self._restore(restore, progress)
        except Failed as error:
            progress.phase(RECORDING)
            backup = self._ledger.state.catalog[restore.backup_cache][restore.backup_id]
            await self._failed(work, with_copies(error, backup, restore).as_failure())
        except ValkeepError as error:
            progress.phase(RECORDING)
            # Superseded, and then so is this report; or refused by something, and that is for good.
            end = Permanent(error.code, error.message, error.hint)
            await self._failed(work, end.as_failure())

    async def crashed(self, work: RestoreWork, failure: Failure) -> None:
        """Our own bug: what was changed on the target is undone as after any failure."""
        await self._failed(work, failure)

    async def _failed(self, work: RestoreWork, failure: Failure) -> None:
        try:
            report = ReportRestoreFailed(work.restore_id, failure)
            await self._outside.relief.report(report, work.restore_id)
        except Rejected:
            return

    async def _restore(self, restore: Restore, progress: Progress) -> None:
        state = self._ledger.state
        backup = state.catalog[restore.backup_cache][restore.backup_id]
        settings = state.caches[restore.target].settings
        began = anyio.current_time()
        progress.phase("planning")
        offer = await self._outside.planning.offer(backup, restore.vault)
        backup = from_vault(backup, restore.vault)
        lock = await unlocked(backup, self._outside.keys)
        stored = await self._stored(backup, lock.identities)
        wishes = Wishes(safety_backup=restore.safety_backup)
        async with self._outside.planning.visit(settings) as visit:
            plan = restore_plan(offer, visit.facts, wishes)
            await self._ledger.report(ReportPlan(restore.restore_id, plan))
            if self._ledger.state.restores[restore.restore_id].phase != "planned":
                return
            job = await self._start(restore, plan, visit, progress)
            await self._try_way(job)
            await self._hold_still(job)
            served_seconds = await self._seed(job, stored)
            result = await self._make_durable(job, served_seconds)
            notes = await visit.target.thaw(job.hold)
        report = _result(result, notes, anyio.current_time() - began)
        await self._ledger.report(ReportRestored(restore.restore_id, report))

    async def _stored(self, backup: Backup, identities: Identities | None) -> Stored:
        """The backup's data, once its manifest has been found untouched."""
        _, facts = known(backup)
        vault = await self._outside.vaults.readable(backup.vault)
        manifest = await read_manifest(
            vault,
            backup.cache,
            backup.backup_id,
            facts.manifest_sha256,
            attempt=backup.attempts,
        )
        if len(manifest.shards) != 1:
            raise Permanent(
                "shards",
                f"The backup has {len(manifest.shards)} shards; the target is one node.",
                "Use a newer Valkeep: this one restores backups of single nodes.",
            )
        return Stored(vault, manifest.shards[0], self._outside.offload, identities)

    async def _start(
        self, restore: Restore, plan: RestorePlan, visit: Visit, progress: Progress
    ) -> Job:
        """Put into the log what will be changed and what was there; nothing is changed yet."""
        hold = await visit.target.hold(
            visit.entry,
            visit.listener,
            load_mode=plan.load_mode,
            replication_id=visit.names.replication_id,
            tls_trial=visit.facts.tls_trial,
        )
        earlier = await before(visit.target.node)
        await self._ledger.report(
            StartRestore(
                restore_id=restore.restore_id,
                run_id=hold.run_id,
                old_settings=hold.old_settings,
                changes=hold.changes,
                listener=hold.listener,
                replication_id=hold.replication_id,
            )
        )
        return Job(restore, plan, visit, hold, earlier, progress)

    async def _try_way(self, job: Job) -> None:
        """Where the target can try its way to us only by a setting: now, with writes going on."""
        visit = job.visit
        if not visit.facts.tls_trial:
            return
        job.progress.phase("trying the way back to us")
        trial = await visit.target.try_in_tls(job.hold, visit.entry, visit.listener, visit.names)
        if trial.outcome == "failed":
            raise Permanent(
                "listener",
                f"The target cannot reach us: {trial.reason}",
                trial.hint or "Set bind, port and advertise in [restore] to what it can reach.",
            )

    async def _hold_still(self, job: Job) -> None:
        """Refuse writes, and then make the safety backup: it has the last acknowledged write."""
        await job.visit.target.freeze(job.hold)
        keys = sum((await keys_now(job.visit.target.node)).values())
        if keys and not job.plan.target_keys:
            raise Transient(
                "target-changed",
                f"The target was empty when the restore was planned, and now holds {keys:,} keys.",
                "Look at who writes to it, and start the restore again.",
            )
        if job.plan.safety_backup:
            async with self._outside.relief.watched():
                await safety_backup(self._ledger, job.restore, job.progress)

    async def _seed(self, job: Job, stored: Stored) -> float:
        """Send the data and promote the target; seconds until the new data was served."""
        began = anyio.current_time()
        target, hold = job.visit.target, job.hold
        seeder = Seeder(job.visit.listener, _patience(job), job.progress)
        job.progress.phase("waiting for the target")
        try:
            await target.replicate_from(hold, job.visit.entry)
            with one_error():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_watch, target, hold)
                    await seeder.serve(stored.shard.plain_bytes, stored.chunks)
                    tasks.cancel_scope.cancel()
            await target.wait_loaded(hold, LOADED_SECONDS)
            await target.promote(hold)
        finally:
            seeder.close()
        return anyio.current_time() - began

    async def _make_durable(self, job: Job, served_seconds: float) -> RestoreResult:
        job.progress.phase("making it durable")
        durability = Durability(job.visit.target, job.hold, DURABLE_SECONDS)
        async with bounded_elsewhere(job.progress):
            sentence = await durability.wait(job.plan.load_mode, job.earlier)
        lost = await evicted(job.visit.target.node, job.earlier)
        warnings = () if not lost else (_eviction(lost),)
        keys = await keys_now(job.visit.target.node)
        await job.visit.target.check(job.hold)  # or these are the keys that its own files held
        return RestoreResult(
            keys=keys,
            evicted_keys=lost,
            durability=sentence,
            served_seconds=round(served_seconds, 3),
            total_seconds=0.0,
            warnings=warnings,
        )


async def _watch(target: Target, hold: Hold) -> None:
    """Raises `Transient("target-restarted")`: a target that was restarted does not come back to us.

    One that does not answer may be loading, and whether it lives is for the seeder to see.
    """
    while True:
        await anyio.sleep(WATCH_SECONDS)
        try:
            await target.check(hold)
        except Failed as error:
            if error.code == "target-restarted":
                raise


def _patience(job: Job) -> Patience:
    """The target's own patience with a silent primary, less a margin (R5).

    A target that loads from the stream itself (`swapdb`) answers nobody while the stream
    stalls, so there a vault that stalls is given up much sooner.
    """
    timeout = int(job.visit.facts.server.settings.get("repl-timeout", "60"))
    longest = 50.0 if job.plan.load_mode == "disabled" else SWAPDB_STALL_SECONDS
    return Patience(stall=max(2.0, min(longest, timeout - 10.0)))


def _eviction(keys: int) -> str:
    return (
        f"{keys:,} keys were evicted right after the restore: maxmemory is too small for this "
        "data. Raise it and restore again."
    )


def _result(result: RestoreResult, notes: tuple[str, ...], seconds: float) -> RestoreResult:
    return RestoreResult(
        keys=result.keys,
        evicted_keys=result.evicted_keys,
        durability=result.durability,
        served_seconds=result.served_seconds,
        total_seconds=round(seconds, 3),
        warnings=result.warnings + notes,
    )
