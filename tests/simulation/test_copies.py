"""Copies in a second vault under `kill -9`, faults, outages and deletions (S1, A11, R7)."""

from functools import partial

import anyio
import pytest

from daemon.commands import DeleteBackup
from events.copies import CopyCompleted, CopyFailed
from projections.copies import Copy
from tests.simulation.copying import COPIED, LET_GO, copied, deleted_while_copied
from tests.simulation.line import FaultKind, Weather
from tests.simulation.stories import ask, length
from tests.simulation.world import Life, Plan, World
from tests.support.samples import SECOND

PHASES = {"copied": {"complete"}, "copied and deleted": set(), "copied by command": {"complete"}}


def copies(world: World) -> list[Copy]:
    """Every copy that the log knows."""
    catalog = world.view.state.catalog
    return [copy for of_cache in catalog.values() for b in of_cache.values() for copy in b.copies]


@pytest.mark.parametrize("name", COPIED)
def test_kill_at_every_step(name: str) -> None:
    """A daemon that is killed at any step of a copy makes it whole in its next life."""
    story = COPIED[name]
    for world in World().deaths(story):
        assert world.live(story) == "done"
        assert {copy.phase for copy in copies(world)} == PHASES[name]


@pytest.mark.parametrize("kind", ["before", "after", "permanent", "odd"])
@pytest.mark.parametrize("name", COPIED)
def test_fault_at_every_call(name: str, kind: FaultKind) -> None:
    """Whatever call to the second vault or for a copy fails, the copy is made, or is gone."""
    story = COPIED[name]
    made = length(story).calls
    first = next(n for n, call in enumerate(made, 1) if call.startswith("second"))
    for number in range(first, len(made) + 1):
        if made[number - 1].startswith("append") and kind != "before":
            continue
        world = World()
        world.live(partial(patiently, story), Plan(weather=Weather({number: kind})))
        assert {copy.phase for copy in copies(world)} <= PHASES[name] | {"failed"}
        world.live(partial(patiently, story))
        assert {copy.phase for copy in copies(world)} == PHASES[name]


async def patiently(story: object, life: Life) -> None:
    """A story, and three days after it: a failure that is permanent is tried once a day."""
    assert callable(story)
    await story(life)
    for _ in range(100):
        with anyio.move_on_after(3000.0):
            await life.settled()


class Down(Weather, frozen=True):
    """The second vault does not answer until a while after the world's beginning."""

    hours: float = 5.0

    def fault(self, number: int, what: str) -> FaultKind | None:  # noqa: ARG002
        """See `Sky.fault`."""
        dark = anyio.current_time() < self.hours * 3600
        return "before" if dark and what.startswith("second") else None


@pytest.mark.parametrize("hours", [0.1, 5.0, 60.0])
def test_second_vault_is_down(hours: float) -> None:
    """A vault that is down for hours or days gets its copy when it is back; tries are few."""
    world = World()
    assert world.live(partial(patiently, copied), Plan(weather=Down(hours=hours))) == "done"

    assert ["complete"] == [copy.phase for copy in copies(world)]
    tries = world.view.of(CopyFailed).total()
    assert 1 <= tries <= 7 + min(hours, 24) + hours / 24
    assert 1 == world.view.of(CopyCompleted).total()


def test_second_vault_is_dead_and_the_first_is_cleared() -> None:
    """A deletion frees the first vault at once, and is told as finished when the second is."""

    async def story(life: Life) -> None:
        await copied(life)
        await life.settled()
        await ask(life, DeleteBackup("orders/one"))
        while life.line.far.under("caches/"):
            await life.ledger.changed(life.ledger.state)
        (of_cache,) = life.ledger.state.catalog.values()
        (backup,) = of_cache.values()
        assert ("deleting", True) == (backup.phase, backup.cleared)
        assert life.line.far.vault(SECOND).under("caches/")

    world = World()
    assert world.live(story, Plan(weather=Dying())) == "done"
    assert {} == world.backups()


class Dying(Weather, frozen=True):
    """The second vault refuses to delete, for a quarter of an hour."""

    def fault(self, number: int, what: str) -> FaultKind | None:  # noqa: ARG002
        """See `Sky.fault`."""
        refuses = what.startswith(("second: delete caches", "second: clear"))
        begun = anyio.current_time() > 10.0
        return "before" if refuses and begun and anyio.current_time() < 900 else None


@pytest.mark.parametrize("tick", range(0, 40, 2))
def test_deleted_while_it_is_copied(tick: int) -> None:
    """Whenever a backup is deleted its copy goes with it, and never while it is being read."""
    world = World()
    world.live(partial(deleted_while_copied, seconds=tick / 100))
    assert {} == world.backups()


def test_second_vault_is_let_go() -> None:
    """A copy that is not made when `copy_to` goes is given up and cleared; one that is stays."""
    ends = set()
    for story in LET_GO:
        world = World()
        world.live(story)
        ends.add(tuple(copy.phase for copy in copies(world)))
    assert {(), ("complete",)} == ends
