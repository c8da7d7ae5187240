"""Restores in simulated worlds: the daemon or the target dies anywhere, calls fail (R4-R8).

Every world is checked after each event and effect, see `restores`; here only some of the steps,
and fresh seeds without end in `make soak`.
"""

from collections import Counter
from collections.abc import Iterator

import pytest

from daemon.actors.restore import UndoActor, actor
from daemon.commands import ReportUndone
from daemon.ports import Progress
from daemon.storage.reader import read_plain
from daemon.valkey.durable import Durability
from daemon.valkey.target import Hold, Target
from events.types import Event, RestoreCompleted, RestoreFailed, RestoreRequested
from projections.work import UndoWork
from tests.simulation import restore_worlds
from tests.simulation.breaking import Mutation, Patch, deciding, prove
from tests.simulation.line import FaultKind, Weather
from tests.simulation.restoring import KINDS, RESTORES, crowded, restarted, restored, undone
from tests.simulation.world import Plan, Script, World
from tests.support.samples import RESULT

EVERY_STEP, EVERY_TICK, SEEDS = 67, 0.27, 14
FAULTS: tuple[FaultKind, ...] = ("before", "after", "permanent", "odd", "late")


def lived(kind: str, *lives: tuple[Script, Plan]) -> World:
    """A world with a target of this kind, after these lives."""
    world = World(KINDS[kind].far())
    for story, plan in lives:
        world.live(story, plan)
    return world


def ends(world: World) -> list[str]:
    """How each restore ended, and with which data."""
    found = world.view.state.restores.values()
    return [f"{r.phase} {r.ended.serves}" if r.ended else r.phase for r in found]


@pytest.mark.parametrize("kind", KINDS)
def test_daemon_dies_at_some_steps(kind: str) -> None:
    """A restore that is cut off leaves a free target, with old data or new as the log says."""
    seen = Counter[str]()
    for world in lived(kind).deaths(restored, first=500, every=EVERY_STEP):
        world.live(restored)
        seen.update(ends(world))
    assert {"failed old", "failed new"} <= seen.keys()


@pytest.mark.parametrize("story", ["undone", "crowded"])
def test_daemon_dies_in_other_stories(story: str) -> None:
    """So does the undoing of one, and one that others want to disturb."""
    told = RESTORES[story]
    for world in lived("disabled").deaths(told, first=600, every=2 * EVERY_STEP):
        world.live(told)


@pytest.mark.parametrize("kind", KINDS)
def test_target_dies_at_some_instants(kind: str) -> None:
    """A target that is killed in a restore comes back as its files say, and the log tells so."""
    seen, end = Counter[str](), lived(kind, (restored, Plan())).far.now
    at = 0.7
    while at < min(end, 2.0):
        seen.update(ends(lived(kind, (restarted(restored, at), Plan()))))
        at += EVERY_TICK
    assert {"failed unknown", "failed old", "completed"} >= seen.keys()
    assert seen["failed unknown"]


def calls() -> Iterator[tuple[int, FaultKind]]:
    """Every other call to the target in a restore, each with another fault than the one before."""
    made = lived("swapdb, saved", (restored, Plan())).calls
    targets = [number for number, call in enumerate(made, 1) if call.startswith("target")]
    for turn, number in enumerate(targets[::2]):
        yield number, FAULTS[turn % len(FAULTS)]


def test_commands_to_the_target_fail() -> None:
    """Whatever a call to the target comes to, late or never, nothing of ours stays set there."""
    for number, kind in calls():
        weather = Weather({number: kind}, late_calls=4)
        lived("swapdb, saved", (restored, Plan(weather=weather)), (restored, Plan()))


def test_seeds() -> None:
    """Dying daemons, dying targets and failing calls together break no invariant either."""
    seen = Counter[str]()
    for seed in range(SEEDS):
        seen.update(ends(restore_worlds.lived(seed)))
    assert {"completed", "failed old", "failed new"} <= seen.keys()


def test_undo_brings_data_back_and_away_again() -> None:
    """Undone twice, a restore is there again: each undoing brings what the one before replaced."""
    world = lived("disabled", (RESTORES["undone twice"], Plan()))
    assert ["completed"] * 3 == ends(world)
    assert 3 == len(world.view.restores.replaced)


def freezes_before_the_record(patch: Patch) -> None:
    """The target is changed before the log holds what was there."""
    hold = Target.hold

    async def early(self: Target, *given: object, **named: object) -> Hold:
        found = await hold(self, *given, **named)  # type: ignore[arg-type]
        await self.freeze(found)
        return found

    patch.setattr(Target, "hold", early)


def writes_go_on(patch: Patch) -> None:
    """Writes are never refused."""

    async def freeze(*_: object) -> None:
        return

    patch.setattr(Target, "freeze", freeze)


def another_dump_goes_out(patch: Patch) -> None:
    """What is sent is not what is stored, and nobody compares."""

    def wrong(*given: object) -> object:
        return _Flipped(read_plain(*given))  # type: ignore[arg-type]

    patch.setattr(actor, "read_plain", wrong)


class _Flipped:
    """The chunks of a reading with one bit of each flipped."""

    def __init__(self, reading: object) -> None:
        self._reading = reading

    async def __aenter__(self) -> object:
        return self._chunks(await self._reading.__aenter__())  # type: ignore[attr-defined]

    async def __aexit__(self, *error: object) -> None:
        await self._reading.__aexit__(*error)  # type: ignore[attr-defined]

    @staticmethod
    async def _chunks(chunks: object) -> object:
        async for chunk in chunks:  # type: ignore[attr-defined]
            yield bytes([chunk[0] ^ 1]) + chunk[1:]


def nothing_is_undone(patch: Patch) -> None:
    """An undoing is reported, and nothing was done."""

    async def perform(self: UndoActor, work: UndoWork, _: Progress) -> None:
        await self._ledger.report(ReportUndone(work.restore_id, loaded=False))

    patch.setattr(UndoActor, "perform", perform)


def thaw_forgets(patch: Patch) -> None:
    """Writes stay refused after a restore."""

    async def thaw(*_: object) -> tuple[str, ...]:
        return ()

    patch.setattr(Target, "thaw", thaw)


def nobody_looks_what_is_loaded(patch: Patch) -> None:
    """An undoing says that the old data is there, without a look at it."""
    patch.setattr("daemon.valkey.target._ours", lambda *_: False)


def nothing_is_waited_for(patch: Patch) -> None:
    """A restore is complete as soon as its data is served."""

    async def wait(*_: object) -> str:
        return "durable, surely"

    patch.setattr(Durability, "wait", wait)


def undo_takes_the_backup_again(patch: Patch) -> None:
    """Undo restores what the restore restored, in place of what it replaced."""

    def wrong(events: tuple[Event, ...]) -> tuple[Event, ...]:
        return tuple(_wrong(event) for event in events)

    deciding(patch, wrong)


def _wrong(event: Event) -> Event:
    if not isinstance(event, RestoreRequested) or event.undoes is None:
        return event
    first = event.undoes[:-8] + "00000004"
    return RestoreRequested(
        event.cache,
        event.restore_id,
        type(event.backup_id)(first),
        type(event.backup_cache)("orders"),
        replace=True,
        safety_backup=True,
        undoes=event.undoes,
    )


def backups_do_not_wait(patch: Patch) -> None:
    """A backup of a cache begins while a restore into it runs."""
    patch.setattr("projections.work.waits_for", lambda *_: None)
    patch.setattr("daemon.decide.attempts.waits_for", lambda *_: None)


def cut_off_restores_go_on(patch: Patch) -> None:
    """A restore that was interrupted is carried out all the same."""
    perform = UndoActor.perform

    async def again(self: UndoActor, work: UndoWork, progress: Progress) -> None:
        state = self._ledger.state
        started = state.restores[work.restore_id].started
        assert started is not None
        async with self._target(state.caches[work.cache].settings) as target:
            await target.node.call("REPLICAOF", "127.0.0.1", 1)
        await perform(self, work, progress)

    patch.setattr(UndoActor, "perform", again)


def interrupted_is_completed(patch: Patch) -> None:
    """An actor that was cut off reports success in its next life."""
    deciding(patch, lambda events: tuple(_claimed(event) for event in events))


def _claimed(event: Event) -> Event:
    if isinstance(event, RestoreFailed) and event.failure.code == "interrupted":
        return RestoreCompleted(event.cache, event.restore_id, RESULT)
    return event


DYING = [Plan(kill_at=step) for step in range(620, 900, 20)]
DISABLED, SAVED = KINDS["disabled"].far, KINDS["swapdb, saved"].far
MUTATIONS: list[Mutation] = [
    Mutation(
        "changes_are_recorded_first", freezes_before_the_record, stories=(restored,), far=DISABLED
    ),
    Mutation("last_writes_are_kept", writes_go_on, stories=(restored,), far=DISABLED),
    Mutation(
        "only_the_backup_reaches_a_target", another_dump_goes_out, stories=(restored,), far=DISABLED
    ),
    Mutation("targets_are_left_free", nothing_is_undone, DYING, (restored,), far=DISABLED),
    Mutation("nothing_stays_frozen", thaw_forgets, stories=(restored,), far=DISABLED),
    Mutation(
        "the_log_tells_what_is_served",
        nobody_looks_what_is_loaded,
        DYING,
        (restored,),
        far=DISABLED,
    ),
    Mutation("completed_means_durable", nothing_is_waited_for, stories=(restored,), far=SAVED),
    Mutation("undo_brings_back", undo_takes_the_backup_again, stories=(undone,), far=DISABLED),
    Mutation("restores_exclude_others", backups_do_not_wait, stories=(crowded,), far=DISABLED),
    Mutation(
        "cut_off_restores_stay_ended", interrupted_is_completed, DYING, (restored,), far=DISABLED
    ),
    Mutation("targets_follow_us_once", cut_off_restores_go_on, DYING, (restored,), far=DISABLED),
]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_broken_restore_is_noticed(mutation: Mutation, monkeypatch: Patch) -> None:
    """A restore that is broken in one place breaks the invariant that is meant for it."""
    prove(mutation, monkeypatch)
