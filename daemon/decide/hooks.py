"""Deciding on hooks: which there are, whether one may be run, and whether it is due again."""

from daemon.commands import HookCommand, ReconcileHooks, ReportHook, StartHook
from daemon.decide.decision import Decision, superseded
from events.facts import BackupId, RestoreId
from events.hooks import HookEnding, HookRan, HooksSet, HookStarted
from events.types import Event
from projections import catalog
from projections.hooks import MOST_TRIES, Key
from projections.state import State

CUT_OFF = HookEnding(result="cut-off", seconds=0.0, error="the daemon ended while it ran")


def decide(state: State, command: HookCommand) -> Decision:
    """The events of one command about hooks."""
    match command:
        case ReconcileHooks():
            if command.hooks == state.hooks.configured:
                return Decision(())
            return Decision((HooksSet(command.hooks, command.file),))
        case StartHook():
            return Decision((_started(state, command),))
        case ReportHook():
            return Decision((_ran(state, command),))


def _key(run: StartHook) -> Key:
    return (run.work_id, run.attempt, run.hook)


def _started(state: State, run: StartHook) -> HookStarted:
    """Recorded before it is run; never beside itself, and only while its time is."""
    key = _key(run)
    due = state.hooks.due.get(key)
    is_time = due is not None if run.when.startswith("after") else _is_before(state, run)
    if key in state.hooks.running or not is_time:
        raise superseded(f"Hook {run.hook} for {run.work_id}")
    return HookStarted(
        cache=run.cache,
        hook=run.hook,
        when=run.when,
        work_id=run.work_id,
        attempt=run.attempt,
        tries=due.tries + 1 if due is not None else 1,
    )


def _is_before(state: State, run: StartHook) -> bool:
    """Whether what the hook is before has begun, and has touched nothing yet."""
    if run.when == "before-restore":
        restore = state.restores.get(RestoreId(run.work_id))
        return restore is not None and restore.phase == "requested"
    backup = catalog.get(state.catalog, run.cache, BackupId(run.work_id))
    return backup is not None and backup.phase == "running" and backup.attempts == run.attempt


def _ran(state: State, command: ReportHook) -> HookRan:
    run, key = command.run, _key(command.run)
    started = state.hooks.running.get(key)
    if started is None and not command.by_hand:
        raise superseded(f"Hook {run.hook} for {run.work_id}")
    return HookRan(
        cache=run.cache,
        hook=run.hook,
        when=run.when,
        work_id=run.work_id,
        attempt=run.attempt,
        ending=command.ending,
        stops=command.stops,
        again=started is not None and _again(state, started, command.ending),
        by_hand=command.by_hand,
    )


def _again(state: State, started: HookStarted, ending: HookEnding) -> bool:
    """Only what did not come to its own end, and not for ever: it may be what ends the daemon."""
    key = (started.work_id, started.attempt, started.hook)
    return ending.result == "cut-off" and key in state.hooks.due and started.tries < MOST_TRIES


def cut_off(state: State) -> tuple[Event, ...]:
    """The daemon has ended while these ran; what is after an end is due once more."""
    return tuple(
        HookRan(
            cache=started.cache,
            hook=started.hook,
            when=started.when,
            work_id=started.work_id,
            attempt=started.attempt,
            ending=CUT_OFF,
            stops=started.when.startswith("before"),
            again=_again(state, started, CUT_OFF),
        )
        for _, started in sorted(state.hooks.running.items())
    )
