"""Hooks before and after backups and restores, with the daemon killed at every step."""

import pytest
from msgspec.structs import replace

from events.facts import CacheName
from events.hooks import Hook, HookStarted
from events.types import BackupFailed, RestoreFailed, RestoreStarted, SnapshotTaken
from projections.restores import Phase
from tests.simulation.hooking import AROUND_BACKUPS, AROUND_RESTORES, configured, hook
from tests.simulation.line import FaultKind, Weather
from tests.simulation.restoring import KINDS, restored
from tests.simulation.stories import one_backup, removal, two_backups
from tests.simulation.world import Plan, Script, World

PLAN = Plan(hooks=AROUND_BACKUPS)


def results(world: World) -> list[tuple[str, str]]:
    """How each run ended, in the order of the log."""
    runs = [ran for of_work in world.view.state.hooks.ran.values() for ran in of_work]
    return [(ran.hook, ran.result) for ran in sorted(runs, key=lambda ran: ran.at)]


def test_hooks_run_around_a_backup_in_their_order() -> None:
    """What is before comes before the snapshot, what is after comes after the end, in order."""
    world = World()
    assert world.live(one_backup, PLAN) == "done"
    assert {"one": "complete"} == world.backups()
    assert [(name, "ok") for name in ("pause", "flush", "resume", "tell")] == results(world)


STRIDES: dict[Script, int] = {one_backup: 11, two_backups: 41, removal: 13}


@pytest.mark.parametrize("story", STRIDES, ids=lambda story: story.__name__)
def test_kill_at_many_steps(story: Script) -> None:
    """A daemon that is killed at any step owes no hook in its next life, and runs one there."""
    for world in World().deaths(story, PLAN, every=STRIDES[story]):
        assert world.live(story, PLAN) == "done"
        assert not world.view.state.hooks.due
        assert not world.view.state.hooks.running


def test_stop_at_many_steps() -> None:
    """SIGTERM ends what runs, and the next life goes on where the log says."""
    whole = World()
    whole.live(one_backup, PLAN)
    for step in range(1, whole.steps + 1, 19):
        world = World()
        world.live(one_backup, replace(PLAN, stop_at=step))
        assert world.live(one_backup, PLAN) == "done"


@pytest.mark.parametrize("name", ["fail", "hang"])
def test_a_backup_whose_hook_fails_is_not_made(name: str) -> None:
    """The attempt fails by its hook: no snapshot is taken, and hooks after it are told."""
    hooks = configured(hook(name, "before-backup"), hook("tell", "after-backup"))
    world = World()
    world.live(one_backup, Plan(hooks=hooks))
    assert {"one": "failed"} == world.backups()
    assert not world.view.of(SnapshotTaken)
    assert 1 == world.view.of(BackupFailed).total()
    assert ("tell", "ok") in results(world)


def test_a_hook_that_may_fail_stops_nothing() -> None:
    """With ``go-on`` the backup is made all the same, and the failure is in the log."""
    hooks = configured(replace(hook("faulty", "before-backup"), on_failure="go-on"))
    world = World()
    world.live(one_backup, Plan(hooks=hooks, weather=_Refusing()))
    assert {"one": "complete"} == world.backups()
    assert [("faulty", "failed")] == results(world)


class _Refusing(Weather, frozen=True):
    """Every hook fails."""

    def fault(self, number: int, what: str) -> FaultKind | None:  # noqa: ARG002
        """See `Sky.fault`."""
        return "after" if what.startswith("hook") else None


def test_kill_at_many_steps_of_a_restore() -> None:
    """Whenever it dies, hooks before a restore come first, and those after it come at last."""
    kind = KINDS["disabled"]
    plan = Plan(hooks=AROUND_RESTORES)
    for world in World(kind.far()).deaths(restored, plan, every=97):
        world.live(restored, plan)
        assert not world.view.state.hooks.due


def test_a_restore_whose_hook_fails_touches_nothing() -> None:
    """The restore fails before its target is looked at, and serves what it has served."""
    world = World(KINDS["disabled"].far())
    world.live(restored, Plan(hooks=configured(hook("fail", "before-restore"))))
    assert not world.view.of(RestoreStarted)
    assert 1 == world.view.of(RestoreFailed).total()
    phases: set[Phase] = {one.phase for one in world.view.state.restores.values()}
    assert {"failed"} == phases


def test_an_old_log_owes_nothing_to_a_new_hook() -> None:
    """A hook that is configured after a backup has ended is not run for it."""
    world = World()
    world.live(one_backup)
    world.live(one_backup, PLAN)
    assert [] == world.far.hooks
    assert 0 == world.view.of(HookStarted).total()


def test_a_hook_that_is_gone_owes_nothing() -> None:
    """When a hook leaves the configuration, what was due of it is let go."""
    whole = World()
    whole.live(one_backup, PLAN)
    world = World()
    for step in range(whole.steps, 0, -10):
        world = World()
        world.live(one_backup, replace(PLAN, kill_at=step))
        if world.view.state.hooks.due:
            break
    world.live(one_backup, Plan(hooks=configured()))
    assert not world.view.state.hooks.due
    assert "complete" == world.backups()["one"]
    assert ["pause", "flush"] == [name for name, result in results(world) if result == "ok"][:2]


def test_only_fitting_caches_have_hooks() -> None:
    """A hook for other caches is not run."""
    only: Hook = replace(hook("pause", "before-backup"), caches=(CacheName("shop-*"),))
    world = World()
    world.live(one_backup, Plan(hooks=configured(only)))
    assert [] == world.far.hooks
