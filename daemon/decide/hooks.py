"""Deciding on hooks: which there are, whether one may be run, and whether it is due again."""

from msgspec.structs import replace

from daemon.commands import HookAsks, HookCommand, ReconcileHooks, ReportHook, StartHook
from daemon.decide.decision import Decision, superseded
from events.facts import BackupId, CacheName, RestoreId
from events.hooks import HookAsked, HookEnding, HookRan, HooksSet, HookStarted, Passed
from events.types import BackupRequested, Event, RestoreRequested
from projections import catalog
from projections.hooks import MOST_TRIES, Key, asking
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


def asked(state: State, command: HookAsks, decision: Decision) -> Decision:
    """What was decided, and that a hook has asked for it, if it is true that it runs."""
    run = asking(state.hooks, hook=command.hook, work_id=command.work_id)
    if run is None:
        return decision
    before = state.hooks.passed.get(command.work_id, ())
    one = Passed(run.hook, run.cache)
    passed = before if one in before else (*before, one)
    told = tuple(
        HookAsked(cache, hook=run.hook, cause_id=run.work_id, work_id=work_id, passed=passed)
        for event in decision.events
        for cache, work_id in _begun(event)
    )
    return replace(decision, events=(*decision.events, *told))


def _begun(event: Event) -> tuple[tuple[CacheName, str], ...]:
    """The backup or restore that an event begins, and its cache; nothing for any other event."""
    match event:
        case BackupRequested():
            return ((event.cache, event.backup_id),)
        case RestoreRequested():
            return ((event.cache, event.restore_id),)
        case _:
            return ()


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
