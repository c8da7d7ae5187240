"""Copies that are read back, damaged and made anew, in worlds that are killed and faulted."""

from functools import partial

import anyio
import pytest
from msgspec.structs import replace

from daemon.actors import copy
from daemon.actors.rereader import Rereader
from daemon.actors.stocktaker import StockTaker
from daemon.actors.verify import actor
from events.copy_proofs import (
    CopyMendingRequested,
    CopyVerificationFailed,
    CopyVerificationRequested,
)
from events.envelope import Envelope
from events.facts import Receipt
from events.proofs import VerificationFailed
from events.types import Event
from projections import catalog
from projections.catalog import Backup
from tests.simulation.breaking import Mutation, Patch, deciding, prove
from tests.simulation.copying import copied
from tests.simulation.line import FaultKind, Weather
from tests.simulation.rereading import (
    REREADING,
    both_rotten,
    checked,
    deleted_meanwhile,
    older_gone,
    reread,
    rotten,
    verified,
)
from tests.simulation.schedules import MINUTE, until
from tests.simulation.stories import length
from tests.simulation.world import Life, Plan, World

KINDS: tuple[FaultKind, ...] = ("before", "after")


@pytest.mark.parametrize("name", ["rotten", "object gone", "manifest gone", "older gone"])
def test_damage_is_found_and_mended_by_itself(name: str) -> None:
    """A copy that somebody damages is found out within the period, and made anew; once."""
    world = World(reread())
    world.live(REREADING[name])

    assert 1 == world.view.of(CopyVerificationFailed).total()
    assert 1 == world.view.of(CopyMendingRequested).total()
    assert {} == world.view.spoilt
    assert world.view.of(CopyVerificationRequested).total() >= 2


@pytest.mark.parametrize("name", ["verified", "rotten", "both rotten"])
def test_kills_at_many_steps(name: str) -> None:
    """Killed at any step, a damaged copy is made anew in the next life, and nothing is lost."""
    story = REREADING[name]
    whole = World(reread())
    whole.live(story)
    for step in range(1, whole.steps, 1 + whole.steps // 7):
        world = World(reread())
        world.live(story, Plan(kill_at=step))
        world.live(story)


@pytest.mark.parametrize("kind", KINDS)
def test_fault_at_every_call(kind: FaultKind) -> None:
    """Whatever call fails while a copy is verified and made anew, nothing untrue is said of it."""
    made, before = length(verified).calls, len(length(copied).calls)
    numbers = range(before + 1, len(made) + 1, 3)
    calls = [number for number in numbers if not made[number - 1].startswith("append")]
    assert len(calls) > 6
    for number in calls:
        world = World()
        world.live(verified, Plan(weather=Weather({number: kind})))
        assert world.hit == [kind]
        world.live(verified)
        assert 1 == world.view.of(CopyMendingRequested).total()


class Silent(Weather, frozen=True):
    """The second vault answers nothing for a good half hour, when a copy is to be read."""

    def fault(self, number: int, what: str) -> FaultKind | None:  # noqa: ARG002
        """See `Sky.fault`."""
        dark = 15 * MINUTE < anyio.current_time() < 50 * MINUTE
        return "before" if dark and what.startswith("second") else None


def test_silent_vault_says_nothing_of_its_copies() -> None:
    """While the second vault is away nothing is held against a copy; when it is back it is read."""

    async def quiet(life: Life) -> None:
        await copied(life)
        await until(life, 100 * MINUTE)

    world = World(reread())
    world.live(quiet, Plan(weather=Silent()))
    assert not world.view.of(CopyVerificationFailed)
    (of_cache,) = world.view.state.catalog.values()
    (backup,) = of_cache.values()
    assert backup.copies[0].proof.unproven is None
    assert backup.copies[0].proof.receipt is not None


def test_both_damaged_are_both_told_and_kept() -> None:
    """When the backup is damaged too, the copy stays as it is, and both are known to be bad."""
    world = World()
    world.live(both_rotten)
    assert 1 == world.view.of(VerificationFailed).total()
    assert {} == world.backups()


@pytest.mark.parametrize("tick", range(0, 60, 12))
def test_deleted_while_its_copy_is_verified(tick: int) -> None:
    """Whenever a backup goes, the verification of its copy ends, and the copy goes with it."""
    world = World()
    world.live(partial(deleted_meanwhile, seconds=tick / 100))
    assert {} == world.backups()


def nobody_reads(patch: Patch) -> None:
    """It is never time to read a copy back."""

    async def nothing(_: object) -> None:
        return

    patch.setattr(Rereader, "_ask", nothing)


def nobody_takes_stock(patch: Patch) -> None:
    """Nobody looks whether the objects of copies are there."""

    async def nothing(_: object) -> None:
        return

    patch.setattr(StockTaker, "run", nothing)


def nothing_is_damage(patch: Patch) -> None:
    """A verification takes everything for proven."""

    async def content(*_: object) -> object:
        return Receipt("hashes", 1, 1, 0.1)

    patch.setattr("daemon.actors.verify.proving.EngineProver.__call__", content)


def everything_is_damage(patch: Patch) -> None:
    """An error of the vault is held against the copy."""

    class All(dict[str, str]):
        def get(self, key: str, _: object = None) -> object:  # type: ignore[override]
            return super().get(key, "hashes")

    patch.setattr(actor, "DAMAGE", All())


def originals_are_not_proven(patch: Patch) -> None:
    """A damaged copy is cleared without a look at the backup."""

    async def nothing(*_: object) -> None:
        return

    patch.setattr(copy, "prove_original", nothing)


def copies_are_taken_for_backups(patch: Patch) -> None:
    """What is found in a copy is held against the backup."""
    plain = catalog._flagged

    def wrong(backup: Backup, envelope: Envelope, event: catalog._Flag) -> Backup:
        changed = plain(backup, envelope, event)
        if isinstance(event, CopyVerificationFailed):
            return replace(changed, proof=replace(changed.proof, refuted=event.failure))
        return changed

    patch.setattr(catalog, "_flagged", wrong)


def nothing_is_mended(patch: Patch) -> None:
    """A damaged copy is made anew by nobody."""

    def without(events: tuple[Event, ...]) -> tuple[Event, ...]:
        return tuple(event for event in events if not isinstance(event, CopyMendingRequested))

    deciding(patch, without)


def cut_off_ones_are_forgotten(patch: Patch) -> None:
    """A start does not record the verifications of copies that were cut off."""
    patch.setattr("daemon.decide.copy_proofs.interrupted", lambda *_: ())


FAULTS = tuple(Plan(weather=Weather({number: "before"})) for number in range(43, 46))
LATE = tuple(Plan(kill_at=step) for step in range(310, 379, 8))
MUTATIONS = [
    Mutation("rot_is_found", nobody_reads, stories=(rotten,), far=reread),
    Mutation("rot_is_found", nobody_takes_stock, stories=(older_gone,), far=reread),
    Mutation("verdicts_on_copies_are_true", nothing_is_damage, stories=(verified,)),
    Mutation("verdicts_on_copies_are_true", everything_is_damage, FAULTS, (checked,)),
    Mutation("damaged_copies_outlive_doubt", originals_are_not_proven, stories=(both_rotten,)),
    Mutation("copies_say_nothing_of_backups", copies_are_taken_for_backups, stories=(verified,)),
    Mutation("damage_is_mended", nothing_is_mended, stories=(verified,)),
    Mutation("progress_is_made", cut_off_ones_are_forgotten, LATE, (checked,)),
]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_broken_verification_of_copies_is_noticed(mutation: Mutation, monkeypatch: Patch) -> None:
    """What is broken in one place breaks the invariant that is meant for it."""
    prove(mutation, monkeypatch)
