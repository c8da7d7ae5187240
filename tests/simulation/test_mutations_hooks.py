"""The proof that the rules of hooks bite: they are broken on purpose."""

from collections.abc import Mapping

import pytest
from anyio.abc import TaskGroup

from daemon.actors.hooks.after import AfterHooks
from daemon.actors.hooks.before import BeforeHooks
from daemon.actors.hooks.facts import facts_of
from daemon.actors.hooks.turn import Turn
from daemon.commands import StartHook
from events.hooks import HookEnding
from projections.hooks import Occasion, due
from tests.simulation.breaking import Mutation, Patch, prove
from tests.simulation.hooking import AROUND_BACKUPS, AROUND_RESTORES, FarHooks, configured, hook
from tests.simulation.restoring import KINDS, restored
from tests.simulation.stories import one_backup
from tests.simulation.world import Plan

AROUND = [Plan(hooks=AROUND_BACKUPS)]
FAILING = [Plan(hooks=configured(hook("fail", "before-backup")))]
KILLED = [Plan(hooks=AROUND_BACKUPS, kill_at=step) for step in range(235, 320, 4)]


async def _nothing(*_: object, **__: object) -> None:
    return


def nothing_is_run_before(patch: Patch) -> None:
    """Hooks before something are forgotten."""
    patch.setattr(BeforeHooks, "__call__", _nothing)


def failures_are_overlooked(patch: Patch) -> None:
    """A hook that fails stops nothing."""
    take = Turn.take

    async def well(self: Turn, hook: str, occasion: Occasion, *, stops: bool = False) -> HookEnding:
        await take(self, hook, occasion, stops=stops)
        return HookEnding("ok", 0.0)

    patch.setattr(Turn, "take", well)


def hooks_are_left_running(patch: Patch) -> None:
    """A hook is said to have ended, and goes on."""

    async def left(self: FarHooks, hook: str, facts: Mapping[str, str | int]) -> HookEnding:
        name = f"{hook} {facts['backup_id']} {facts['attempt']}"
        self._line.do(f"hook {name}", lambda far: far.open_hooks.update({name: 1}))
        return HookEnding("ok", 0.0)

    patch.setattr(FarHooks, "run", left)


def starts_are_not_recorded(patch: Patch) -> None:
    """A hook is run, and only then told of."""

    async def early(
        self: Turn, hook: str, occasion: Occasion, *, stops: bool = False
    ) -> HookEnding:
        facts = facts_of(self._ledger.state, hook, occasion)
        ending = await self._runner.run(hook, facts)
        run = StartHook(occasion.cache, hook, occasion.when, occasion.work_id, occasion.attempt)
        await self._ledger.report(run)
        await self._end(run, ending, stops=stops)
        return ending

    patch.setattr(Turn, "take", early)


def nothing_is_due(patch: Patch) -> None:
    """What ends owes nothing."""
    patch.setattr(AfterHooks, "_start", lambda *_: None)
    patch.setattr("projections.hooks._owed", lambda hooks, *_: hooks)


def what_is_cut_off_is_over(patch: Patch) -> None:
    """A hook that the daemon's end has cut off is not run again."""
    patch.setattr("daemon.decide.hooks._again", lambda *_: False)


def all_run_at_once(patch: Patch) -> None:
    """Whatever is due is begun, whatever runs."""

    def start(self: AfterHooks, tasks: TaskGroup) -> None:
        for one in due(self._ledger.state.hooks):
            if one.key not in self._running:
                self._running[one.key] = one.occasion.cache
                tasks.start_soon(self._run, one)

    patch.setattr(AfterHooks, "_start", start)


MUTATIONS = [
    Mutation("nothing_comes_before_its_hooks", nothing_is_run_before, AROUND, (one_backup,)),
    Mutation("nothing_comes_before_its_hooks", failures_are_overlooked, FAILING, (one_backup,)),
    Mutation(
        "nothing_comes_before_its_hooks",
        nothing_is_run_before,
        [Plan(hooks=AROUND_RESTORES)],
        (restored,),
        KINDS["disabled"].far,
    ),
    Mutation("no_snapshot_is_begun_beside_a_hook", hooks_are_left_running, AROUND, (one_backup,)),
    Mutation("hooks_have_a_record", starts_are_not_recorded, AROUND, (one_backup,)),
    Mutation("what_has_ended_had_its_hooks", nothing_is_due, AROUND, (one_backup,)),
    Mutation("what_has_ended_had_its_hooks", what_is_cut_off_is_over, KILLED, (one_backup,)),
    Mutation("hooks_run_one_at_a_time", all_run_at_once, AROUND, (one_backup,)),
]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_broken_hooks_are_noticed(mutation: Mutation, monkeypatch: Patch) -> None:
    """A program whose hooks are broken breaks the invariant that is meant for it."""
    prove(mutation, monkeypatch)
