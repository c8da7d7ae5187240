"""The proof that the invariants bite: the program is broken on purpose, and each is noticed.

Without it nobody knows whether a quiet simulation has seen a sound program, or nothing at all.
"""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from daemon.actors import backup, packing, removal, worker
from daemon.actors.backup import BackupActor
from daemon.actors.worker import Worker
from daemon.decide import Context
from daemon.decide.attempts import Cut
from daemon.ledger import Ledger
from daemon.ports import Progress
from daemon.storage import names
from daemon.storage.catalog import write_manifest
from daemon.storage.manifest import Manifest, ShardObject
from daemon.storage.memory import MemoryStore, MemoryVault
from daemon.storage.pipeline import Packing, Storing
from daemon.storage.vault import ObjectName, Vault
from events.chain import sealed
from events.envelope import Envelope, Head, Record
from events.facts import ONLY_SHARD
from events.types import BackupCompleted, BackupDeleted, BackupFailed, Event, RetryScheduled
from projections.catalog import Backup
from projections.state import State
from projections.work import BackupWork, SweepWork, Work
from tests.simulation.breaking import Mutation, Patch, deciding, prove
from tests.simulation.checker import EVERY
from tests.simulation.line import Weather
from tests.simulation.stories import STORIES, one_backup
from tests.simulation.stories import removal as removal_story
from tests.simulation.test_copy_proofs import MUTATIONS as OF_COPY_PROOFS
from tests.simulation.test_mutations_auto import MUTATIONS as OF_SCHEDULES
from tests.simulation.test_mutations_copies import MUTATIONS as OF_COPIES
from tests.simulation.test_mutations_hooks import MUTATIONS as OF_HOOKS
from tests.simulation.test_mutations_stuck import MUTATIONS as OF_JOBS
from tests.simulation.test_proofs import MUTATIONS as OF_PROOFS
from tests.simulation.test_restores import MUTATIONS as OF_RESTORES
from tests.simulation.world import Life, Plan, Script, World

KILLED = [Plan(kill_at=step) for step in range(10, 200, 4)]
STOPPED = [Plan(stop_at=step) for step in range(2, 200)]
FAULTS = [Plan(weather=Weather({number: "before"})) for number in range(7, 20)]


def manifest_is_forgotten(patch: Patch) -> None:
    """The backup is reported as complete, and its manifest was never written."""

    async def forgotten(vault: Vault, manifest: Manifest) -> str:
        return "0" * 64

    patch.setattr(backup, "write_manifest", forgotten)


def manifest_comes_first(patch: Patch) -> None:
    """The manifest is written before the object that it names."""
    later: dict[ObjectName, bytes] = {}

    class Held(Storing):
        def __init__(self, _: Vault, name: ObjectName, how: Packing) -> None:
            self.memory = MemoryStore()
            super().__init__(MemoryVault(self.memory), name, how)

        async def finish(self) -> ShardObject:
            shard = await super().finish()
            later.update(self.memory.objects)
            return shard

    async def first(vault: Vault, manifest: Manifest) -> str:
        sha256 = await write_manifest(vault, manifest)
        for name, data in later.items():
            await vault.put(name, data)
        return sha256

    patch.setattr(packing, "Storing", Held)
    patch.setattr(backup, "write_manifest", first)


def nothing_is_swept(patch: Patch) -> None:
    """A sweep is reported, and nothing was removed."""

    async def nothing(*_: object, **__: object) -> None:
        return

    patch.setattr(removal, "delete_backup", nothing)


def cut_off_attempts_are_forgotten(patch: Patch) -> None:
    """A start does not record what was cut off."""
    patch.setattr("daemon.decide.daemon._cut_off", lambda *_: ())


def append_is_not_shielded(patch: Patch) -> None:
    """The ledger can be stopped between the append and the fold."""

    async def run(ledger: Ledger) -> None:
        while True:
            await ledger._wanted.wait()
            ledger._wanted = type(ledger._wanted)()
            batch, ledger._open = ledger._open, type(ledger._open)()
            await ledger._store(batch)

    async def stop(*_: object) -> None:
        return

    patch.setattr(Ledger, "run", run)
    patch.setattr("daemon.core.Core.stop", stop)


def worker_does_nothing(patch: Patch) -> None:
    """No work is ever started; every safety invariant is content with that."""
    patch.setattr(Worker, "_start_ready", lambda *_: None)


def sweep_does_not_wait(patch: Patch) -> None:
    """A sweep begins while the attempt that it sweeps after has not ended."""
    patch.setattr(Worker, "_busy", lambda self, work: work in self._running)


def running_attempts_are_swept(patch: Patch) -> None:
    """What may have left something is swept, even while it runs."""

    def swept(found: Backup) -> Work:
        kind = SweepWork if found.unswept else BackupWork
        return kind(found.backup_id, found.cache)

    patch.setattr("projections.work._backup_work", swept)


def attempts_never_end(patch: Patch) -> None:
    """Every failed attempt is followed by another."""

    def failed(
        state: State, found: Backup, cut: Cut, context: Context
    ) -> tuple[BackupFailed, RetryScheduled]:
        end = BackupFailed(
            cache=found.cache,
            backup_id=found.backup_id,
            attempt=found.attempts,
            failure=cut.failure,
        )
        again = RetryScheduled(cache=found.cache, backup_id=found.backup_id, retry_at=context.now)
        return (end, again)

    patch.setattr("daemon.decide.attempts.failed", failed)


def backups_do_not_exclude_each_other(patch: Patch) -> None:
    """Neither the log nor the worker keeps two backups of one cache apart."""
    patch.setattr("projections.work.waits_for", lambda *_: None)
    patch.setattr("daemon.decide.attempts.waits_for", lambda *_: None)
    patch.setattr(Worker, "_admitted", lambda *_: True)


def bytes_come_before_the_record(patch: Patch) -> None:
    """An attempt writes before its start is in the log."""
    perform = BackupActor.perform

    async def hasty(self: BackupActor, work: BackupWork, progress: Progress) -> None:
        found = self._ledger.state.catalog[work.cache][work.backup_id]
        vault = await self._outside.vaults.writable(found.vault)
        await vault.put(names.shard_object(work.cache, work.backup_id, ONLY_SHARD), b"hasty")
        await perform(self, work, progress)

    patch.setattr(BackupActor, "perform", hasty)


def deletion_is_not_asked_for(patch: Patch) -> None:
    """A deletion is recorded as done without having been recorded as wanted."""

    def gone(state: State, command: object) -> tuple[Event, ...]:
        (found,) = [b for of in state.catalog.values() for b in of.values()]
        return (BackupDeleted(cache=found.cache, backup_id=found.backup_id),)

    patch.setattr("daemon.decide.backups._deletion", gone)


def completion_is_told_twice(patch: Patch) -> None:
    """A backup is completed twice."""

    def twice(events: tuple[Event, ...]) -> tuple[Event, ...]:
        return (*events, *(event for event in events if isinstance(event, BackupCompleted)))

    deciding(patch, twice)


def nothing_is_thought_outstanding(patch: Patch) -> None:
    """The daemon believes that all is done."""
    patch.setattr(worker, "outstanding", lambda _: ())
    patch.setattr("tests.simulation.world.outstanding", lambda _: ())


def chain_is_broken(patch: Patch) -> None:
    """A record's hash does not cover what came before it."""

    def alone(previous: Head, envelope: Envelope, data: bytes) -> Record:
        return sealed(Head(previous.position, bytes(32)), envelope, data)

    patch.setattr("events.batch.sealed", alone)


def _performing(patch: Patch, deed: Callable[[], object]) -> None:
    perform = BackupActor.perform

    async def strange(self: BackupActor, work: BackupWork, progress: Progress) -> None:
        deed()
        await perform(self, work, progress)

    patch.setattr(BackupActor, "perform", strange)


def actor_crashes(patch: Patch) -> None:
    """An actor has a bug."""
    _performing(patch, lambda: 1 // 0)


def task_is_left_behind(patch: Patch) -> None:
    """An actor starts a task that nobody waits for."""
    _performing(patch, lambda: asyncio.get_running_loop().create_task(asyncio.Event().wait()))


def callback_fails(patch: Patch) -> None:
    """A callback of the event loop raises, and nobody is there to hear it."""
    _performing(patch, lambda: asyncio.get_running_loop().call_soon(lambda: 1 // 0))


REMOVALS = tuple(partial(removal_story, seconds=tick / 100) for tick in range(1, 40, 2))
ONE: tuple[Script, ...] = (one_backup,)
MUTATIONS = [
    Mutation("only_whole_backups_are_listed", manifest_is_forgotten, stories=ONE),
    Mutation("manifest_is_last", manifest_comes_first, stories=ONE),
    Mutation("gone_means_gone", nothing_is_swept, KILLED, ONE),
    Mutation("progress_is_made", cut_off_attempts_are_forgotten, KILLED, ONE),
    Mutation("memory_is_the_log", append_is_not_shielded, STOPPED, ONE),
    Mutation("progress_is_made", worker_does_nothing, stories=ONE),
    Mutation("sweeps_come_after_the_attempt", sweep_does_not_wait, stories=REMOVALS),
    Mutation("nothing_is_left_over", nothing_is_swept, KILLED, ONE),
    Mutation("the_living_are_not_swept", running_attempts_are_swept, stories=ONE),
    Mutation("two_attempts_at_most", attempts_never_end, FAULTS, ONE),
    Mutation(
        "one_attempt_at_a_time",
        backups_do_not_exclude_each_other,
        stories=(STORIES["two backups"],),
    ),
    Mutation("bytes_have_a_recorded_attempt", bytes_come_before_the_record, stories=ONE),
    Mutation("deletion_was_asked_for", deletion_is_not_asked_for, stories=(STORIES["deletion"],)),
    Mutation("outcomes_come_once", completion_is_told_twice, stories=ONE),
    Mutation("everything_has_ended", nothing_is_thought_outstanding, stories=ONE),
    Mutation("the_chain_holds", chain_is_broken, stories=ONE),
    Mutation("nothing_crashes", actor_crashes, stories=ONE),
    Mutation("nobody_stays_behind", task_is_left_behind, stories=ONE),
    Mutation("no_error_goes_unheard", callback_fails, stories=ONE),
]
OF_A_LIFE = {
    "progress_is_made",
    "memory_is_the_log",
    "nothing_crashes",
    "nobody_stays_behind",
    "no_error_goes_unheard",
}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_broken_program_is_noticed(mutation: Mutation, monkeypatch: Patch) -> None:
    """A program that is broken in one place breaks the invariant that is meant for it."""
    prove(mutation, monkeypatch)


def test_every_invariant_is_proven() -> None:
    """There is no invariant that no mutation breaks."""
    named = EVERY | OF_A_LIFE

    of_work = (*MUTATIONS, *OF_SCHEDULES, *OF_JOBS, *OF_RESTORES, *OF_HOOKS)
    of_vaults = (*OF_COPIES, *OF_PROOFS, *OF_COPY_PROOFS)
    assert named == {mutation.noticed_by for mutation in (*of_work, *of_vaults)}


async def _nothing(_: Life) -> None:
    """A story without commands."""


def test_empty_world_is_sound() -> None:
    """A daemon that is asked for nothing does nothing, and nobody complains."""
    world = World()
    assert world.live(_nothing) == "done"
    assert world.far.objects == {}
