"""What must hold of hooks in every world, by name.

Reckoned from the records of the log and from what was run on the far side, and not by the
daemon's own code. Where no hook is configured there is nothing to look at.
"""

from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase

from msgspec import Struct, field

from events import codec
from events.facts import BackupId, RestoreId
from events.hooks import Hook, HookRan, HooksSet, HookStarted
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCancelled,
    BackupCompleted,
    BackupRequested,
    Event,
    RestoreCompleted,
    RestoreFailed,
    RestorePlanned,
    RestoreRequested,
    SnapshotTaken,
)
from tests.simulation.invariants import Complaints, Invariant
from tests.simulation.view import View

_OfCache = (
    AttemptStarted
    | BackupAbandoned
    | BackupCancelled
    | BackupCompleted
    | RestoreCompleted
    | RestoreFailed
    | RestoreRequested
)


class Story(Struct):
    """What the log tells of hooks; keys are hook, work and attempt, as a run is called."""

    hooks: tuple[Hook, ...] = ()
    kinds: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    wanted: list[str] = field(default_factory=list)
    owed: list[str] = field(default_factory=list)
    starts: Counter[str] = field(default_factory=Counter)
    ended: dict[str, HookRan] = field(default_factory=dict)


def story(view: View) -> Story:
    """The whole log, as far as it is about hooks."""
    told = Story()
    for record in view.far.records:
        _take(told, codec.decode(record.data))
    return told


def _take(told: Story, event: Event) -> None:
    match event:
        case HooksSet():
            told.hooks = event.hooks
        case BackupRequested():
            told.kinds[event.backup_id] = event.kind
        case AttemptStarted():
            told.attempts[event.backup_id] = event.attempt
            told.wanted += _named(told, "before-backup", event, event.backup_id)
        case RestoreRequested():
            told.wanted += _named(told, "before-restore", event, event.restore_id)
        case BackupCompleted() | BackupAbandoned():
            told.owed += _named(told, "after-backup", event, event.backup_id)
        case BackupCancelled() if told.attempts.get(event.backup_id):
            told.owed += _named(told, "after-backup", event, event.backup_id)
        case RestoreCompleted() | RestoreFailed():
            told.owed += _named(told, "after-restore", event, event.restore_id)
        case HookStarted():
            told.starts[_name(event)] += 1
        case HookRan():
            told.ended[_name(event)] = event


def _named(told: Story, when: str, event: _OfCache, work: BackupId | RestoreId) -> Iterator[str]:
    for hook in told.hooks:
        kind = told.kinds.get(work)
        fits = any(fnmatchcase(event.cache, pattern) for pattern in hook.caches)
        if fits and hook.when == when and (kind is None or kind in hook.kinds):
            yield f"{hook.name} {work} {told.attempts.get(work, 0)}"


def _may_stop(told: Story, name: str) -> bool:
    return any(h.name == name.split(maxsplit=1)[0] and h.on_failure == "stop" for h in told.hooks)


def _name(event: HookStarted | HookRan) -> str:
    return f"{event.hook} {event.work_id} {event.attempt}"


def nothing_comes_before_its_hooks(view: View) -> Complaints:
    """No snapshot is taken and no restore planned before its hooks have ended as they should."""
    last = view.last
    if not view.state.hooks.configured:
        return
    if not isinstance(last, SnapshotTaken | RestorePlanned):
        return
    told = story(view)
    work = last.backup_id if isinstance(last, SnapshotTaken) else last.restore_id
    for name in told.wanted:
        _, of, attempt = name.split()
        if of != work or int(attempt) != told.attempts.get(work, 0):
            continue
        ran = told.ended.get(name)
        if ran is None or (ran.ending.result != "ok" and _may_stop(told, name)):
            yield f"{type(last).__name__} of {work}, and {name} is {ran and ran.ending.result}"


def no_snapshot_is_begun_beside_a_hook(view: View) -> Complaints:
    """While a hook before a backup runs, the server is left alone."""
    if not isinstance(view.last, str) or not view.last.startswith("snapshot"):
        return
    before = {hook.name for hook in view.state.hooks.configured if hook.when == "before-backup"}
    for name, count in view.far.open_hooks.items():
        if count and name.split()[0] in before and view.last.split()[1] in _urls(view, name):
            yield f"{view.last} while {name} runs"


def _urls(view: View, name: str) -> set[str]:
    """Where the cache is of whose backup this is a run."""
    work = BackupId(name.split()[1])
    caches = [cache for cache, keeping in view.caches.items() if work in keeping.backups]
    return {view.state.caches[c].settings.url for c in caches if c in view.state.caches}


def hooks_run_one_at_a_time(view: View) -> Complaints:
    """A hook never runs twice at once for the same thing; of one cache only one runs after."""
    if isinstance(view.last, str) and view.last.startswith("hook "):
        yield from (f"{name} runs twice" for name, n in view.far.open_hooks.items() if n > 1)
        after = {hook.name for hook in view.state.hooks.configured if hook.when.startswith("after")}
        runs = [name for name, n in view.far.open_hooks.items() if n and name.split()[0] in after]
        caches = Counter(str(_cache(view, name)) for name in runs)
        yield from (f"{runs} run at once for {cache}" for cache, n in caches.items() if n > 1)


def _cache(view: View, name: str) -> str | None:
    key = _key(name)
    started = view.state.hooks.running.get(key)
    return started.cache if started else None


def _key(name: str) -> tuple[str, int, str]:
    hook, work, attempt = name.split()
    return (work, int(attempt), hook)


def hooks_have_a_record(view: View) -> Complaints:
    """That a hook is run is in the log before it is run."""
    if isinstance(view.last, str) and view.last.startswith("hook "):
        name = view.last.removeprefix("hook ").removesuffix(", late")
        if _key(name) not in view.state.hooks.running and not view.last.endswith(", late"):
            yield f"{name} runs, and the log does not know"


def what_has_ended_had_its_hooks(view: View) -> Complaints:
    """Every hook after something has been run for it, at least once, and its end is recorded."""
    if not view.state.hooks.configured:
        return
    told = story(view)
    for name in told.owed:
        ran = told.ended.get(name)
        if ran is None or ran.again:
            yield f"{name} has no end"
        elif ran.ending.result == "cut-off" and told.starts[name] < 2:
            yield f"{name} was cut off, and not run once more"
        elif ran.ending.result == "ok" and name not in view.far.hooks:
            yield f"{name} was never run"
    for name, count in told.starts.items():
        if count > 2:
            yield f"{name} was begun {count} times"


AFTER_EVENTS: tuple[Invariant, ...] = (nothing_comes_before_its_hooks,)
AFTER_EFFECTS: tuple[Invariant, ...] = (
    no_snapshot_is_begun_beside_a_hook,
    hooks_run_one_at_a_time,
    hooks_have_a_record,
)
AT_THE_END: tuple[Invariant, ...] = (what_has_ended_had_its_hooks,)
