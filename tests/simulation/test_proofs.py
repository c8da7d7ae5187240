"""Verifications in simulated worlds: killed and faulted anywhere, they end and tell no lie."""

import pytest

from daemon.actors.verify import actor
from events.facts import Receipt
from events.proofs import VerificationAbandoned, VerificationFailed, VerificationRequested
from events.types import (
    DeletionRequested,
    Event,
)
from projections.catalog import Backup
from tests.simulation.breaking import Mutation, Patch, deciding, prove
from tests.simulation.line import FaultKind, Weather
from tests.simulation.proofs import PROOFS, damaged, proven, removed_meanwhile
from tests.simulation.stories import length
from tests.simulation.world import Plan, World

KINDS: tuple[FaultKind, ...] = ("before", "after", "permanent", "odd", "hang")


def reading_calls() -> list[int]:
    """The numbers of the calls by which a verification reads."""
    made = length(proven).calls
    last_commit = max(n for n, call in enumerate(made, 1) if call.startswith("commit"))
    reads = ("get", "read", "size", "append")
    return [n for n, call in enumerate(made, 1) if n > last_commit and call.startswith(reads)]


@pytest.mark.parametrize("kind", KINDS)
def test_fault_at_every_call_of_a_verification(kind: FaultKind) -> None:
    """What the vault or the log does while a backup is proven is never held against it."""
    calls = reading_calls()
    assert len(calls) > 5
    for number in calls:
        world = World()
        world.live(proven, Plan(weather=Weather({number: kind})))
        assert world.hit == [kind]
        world.live(proven)
        assert not world.view.of(VerificationFailed)


@pytest.mark.parametrize("story", PROOFS)
def test_kills_in_verifications(story: str) -> None:
    """Killed at any step, everything ends in the next life, and nothing that is read goes."""
    whole = length(PROOFS[story]).steps
    first = whole // 2 if story == "damaged" else 1
    for world in World().deaths(PROOFS[story], first=first, every=11):
        world.live(PROOFS[story])


def test_a_damaged_backup_does_not_count() -> None:
    """Retention keeps the older one that is good, and takes the newer one that is not (A11)."""
    world = World()
    world.live(damaged)

    assert ["auto-20260301-1201"] == list(world.backups())
    assert 1 == sum(world.view.of(VerificationFailed).values())


def test_removal_ends_verifications() -> None:
    """A cache that is removed takes its backups with it, verified or not (A10)."""
    world = World()
    world.live(removed_meanwhile)

    assert {} == world.backups()
    assert 1 == sum(world.view.of(VerificationRequested).values())


def failed_ones_count(patch: Patch) -> None:
    """A backup that failed its verification counts for `keep_last` all the same."""
    patch.setattr(Backup, "good", property(lambda backup: backup.phase == "complete"))


def nobody_is_held(patch: Patch) -> None:
    """Removing a cache deletes what is being verified."""

    def without(events: tuple[Event, ...]) -> tuple[Event, ...]:
        if any(isinstance(event, DeletionRequested) for event in events):
            return tuple(e for e in events if not isinstance(e, VerificationAbandoned))
        return events

    deciding(patch, without)


def everything_is_damage(patch: Patch) -> None:
    """An error of the vault is held against the backup."""

    class All(dict[str, str]):
        def get(self, key: str, _: object = None) -> object:  # type: ignore[override]
            return super().get(key, "hashes")

    patch.setattr(actor, "DAMAGE", All())


def nothing_is_damage(patch: Patch) -> None:
    """A verification takes everything for proven."""

    async def content(self: object, case: object) -> object:
        return Receipt("hashes", 1, 1, 0.1)

    patch.setattr("daemon.actors.verify.proving.EngineProver.__call__", content)


def cut_off_verifications_are_forgotten(patch: Patch) -> None:
    """A start does not record the verifications that were cut off."""
    patch.setattr("daemon.decide.daemon.cut_off", lambda *_: ())


LATE = tuple(Plan(kill_at=step) for step in range(150, 230, 16))
FAULTS = tuple(Plan(weather=Weather({number: "before"})) for number in range(20, 40))
MUTATIONS = [
    Mutation("deletions_are_by_the_rules", failed_ones_count, stories=(damaged,)),
    Mutation("what_is_read_stays", nobody_is_held, stories=(removed_meanwhile,)),
    Mutation("verdicts_are_true", everything_is_damage, FAULTS, (proven,)),
    Mutation("verdicts_are_true", nothing_is_damage, stories=(damaged,)),
    Mutation("progress_is_made", cut_off_verifications_are_forgotten, LATE, (proven,)),
]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_broken_proofs_are_noticed(mutation: Mutation, monkeypatch: Patch) -> None:
    """A verification that is broken in one place breaks the invariant that is meant for it."""
    prove(mutation, monkeypatch)
