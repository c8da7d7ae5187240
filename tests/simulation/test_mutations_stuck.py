"""Mutations of what is done about work that hangs, and about cancelled backups.

`MUTATIONS` of `test_mutations` has the rest; all together prove every invariant.
"""

import pytest

from daemon.actors import backup
from daemon.actors.worker import Worker
from daemon.commands import CancelBackup, ReportStored
from events.facts import BackupId, StoredFacts
from events.types import BackupCancelled, Event
from projections.work import ComparisonWork, DeletionWork, RestoreWork, UndoWork, Work
from tests.simulation.breaking import Mutation, Patch, deciding, prove
from tests.simulation.line import FaultKind, Weather
from tests.simulation.schedules import until
from tests.simulation.stories import ask, length, one_backup
from tests.simulation.test_stuck import HOUR, window
from tests.simulation.world import Life, Plan, Script, World


async def cancelled(life: Life) -> None:
    """A backup is cancelled in the middle."""
    await one_backup(life)
    await until(life, 0.2)
    await ask(life, CancelBackup("orders/one"))


def cancel_is_told_twice(patch: Patch) -> None:
    """A cancelled backup is cancelled again in the same breath."""

    def twice(events: tuple[Event, ...]) -> tuple[Event, ...]:
        return events * 2 if any(isinstance(e, BackupCancelled) for e in events) else events

    deciding(patch, twice)


def stalled_work_goes_on(patch: Patch) -> None:
    """Nobody looks whether work gets on."""
    patch.setattr(Worker, "_end_stalled", lambda *_: None)


def stuck_work_is_swept_under(patch: Patch) -> None:
    """A sweep does not wait for a call that has not returned."""

    def name(work: Work) -> str:
        match work:
            case RestoreWork() | UndoWork():
                return work.restore_id
            case ComparisonWork():
                return work.comparison_id
            case _:
                return work.backup_id

    def busy(self: Worker, work: Work) -> bool:
        deleting = isinstance(work, DeletionWork)
        return name(work) in map(name, self._running) and not deleting

    patch.setattr(Worker, "_busy", busy)


def old_attempts_are_heard(patch: Patch) -> None:
    """A report does not say of which attempt it is."""

    def stored(backup_id: BackupId, facts: StoredFacts, _: int) -> ReportStored:
        return ReportStored(backup_id, facts)

    patch.setattr(backup, "ReportStored", stored)


def first(story: Script, *kinds: str) -> int:
    """The number of the first call of these kinds in a quiet world."""
    return next(n for n, call in enumerate(length(story).calls, 1) if call.startswith(kinds))


def overlapping() -> Plan:
    """The manifest's commit is stuck, and returns while the next attempt is frozen."""
    calls = length(window).calls
    commit = max(n for n, call in enumerate(calls, 1) if call.startswith("commit"))
    world, faults = World(), dict[int, FaultKind]({commit: "stuck"})
    world.live(window, Plan(weather=Weather(faults, stuck_seconds=2 * HOUR)))
    later = enumerate(world.calls[commit:], commit + 1)
    again = next(n for n, call in later if call.startswith("snapshot"))
    return Plan(weather=Weather({**faults, again: "frozen"}, stuck_seconds=1500.0))


MUTATIONS = [
    Mutation("cancelled_is_over", cancel_is_told_twice, stories=(cancelled,)),
    Mutation(
        "progress_is_made",
        stalled_work_goes_on,
        (Plan(weather=Weather({first(one_backup, "snapshot"): "frozen"})),),
        (one_backup,),
    ),
    Mutation(
        "sweeps_come_after_the_attempt",
        stuck_work_is_swept_under,
        (Plan(weather=Weather({first(one_backup, "write"): "stuck"})),),
        (one_backup,),
    ),
    Mutation("only_whole_backups_are_listed", old_attempts_are_heard, (overlapping(),), (window,)),
]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_broken_program_is_noticed(mutation: Mutation, monkeypatch: Patch) -> None:
    """A program that is broken in one place breaks the invariant that is meant for it."""
    prove(mutation, monkeypatch)
