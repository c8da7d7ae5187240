"""Hooks: which are configured, which are due after something has ended, and how they went.

A hook is due for what ends while it is configured, so an old log owes nothing to a new hook.
Knows no command line: whoever runs a hook finds it by its name.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from events.envelope import Envelope
from events.facts import BackupKind, CacheName
from events.hooks import (
    Hook,
    HookAsked,
    HookEnding,
    HookEvent,
    HookOutcome,
    HookRan,
    HookResult,
    HooksSet,
    HookStarted,
    HookWhen,
    Passed,
)
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCancelled,
    BackupCompleted,
    BackupDeleted,
    Event,
    RestoreCompleted,
    RestoreFailed,
    RetryScheduled,
)
from projections import catalog
from projections.catalog import Backup, Catalog
from projections.restores import Restore

MOST_TRIES = 2
"""A hook that was cut off by the daemon's end is run once more, and then let go."""
RECENT = timedelta(days=1)
"""A hook that failed is told of for so long."""
LINE = 200

Key = tuple[str, int, str]
"""The work, its attempt, and the hook's name: what a hook is run for once."""


class Occasion(Struct, frozen=True):
    """What a hook is run at; `kind` is a backup's, None for a restore."""

    when: HookWhen
    cache: CacheName
    work_id: str
    attempt: int = 0
    kind: BackupKind | None = None
    outcome: HookOutcome | None = None


class Due(Struct, frozen=True):
    """A hook that is to be run, in this order: what ended first, then as they are configured."""

    hook: str
    occasion: Occasion
    order: tuple[int, int]
    tries: int = 0

    @property
    def key(self) -> Key:
        """What it is run for."""
        return (self.occasion.work_id, self.occasion.attempt, self.hook)


class Ran(Struct, frozen=True):
    """How a hook went; of what it printed only the last words."""

    hook: str
    when: HookWhen
    cache: CacheName
    work_id: str
    attempt: int
    result: HookResult
    at: datetime
    seconds: float
    told: str
    last_words: str = ""
    stops: bool = False
    again: bool = False


class Hooks(Struct, frozen=True):
    """All that is known of hooks.

    `running` were started and have not ended; `ran` has the runs for each backup and restore,
    `last` the last one of each hook for each cache, `counts` how often each has ended how.
    `passed` are the hooks that led to a backup or restore, and are not run again for it.
    """

    configured: tuple[Hook, ...] = ()
    file: str = ""
    due: Map[Key, Due] = Map()
    running: Map[Key, HookStarted] = Map()
    ran: Map[str, tuple[Ran, ...]] = Map()
    last: Map[tuple[CacheName, str], Ran] = Map()
    counts: Map[tuple[str, HookResult], int] = Map()
    passed: Map[str, tuple[Passed, ...]] = Map()


_End = BackupCompleted | BackupAbandoned | BackupCancelled | RetryScheduled
_ENDS = (*_End.__args__, RestoreCompleted, RestoreFailed)
_OUTCOMES: dict[type[Event], HookOutcome] = {
    BackupCompleted: "completed",
    BackupAbandoned: "failed",
    BackupCancelled: "cancelled",
    RetryScheduled: "retry",
    RestoreCompleted: "completed",
    RestoreFailed: "failed",
}
ABOUT = frozenset({*HookEvent.__args__, *_ENDS, AttemptStarted, BackupDeleted})
"""Every other event, and there are many, says nothing of hooks."""


def evolve(hooks: Hooks, known: Catalog, envelope: Envelope, event: Event) -> Hooks:
    """The hooks after one more event; `known` are the backups before it."""
    if type(event) not in ABOUT:
        return hooks
    if isinstance(event, HookEvent):
        return _of_hook(hooks, envelope, event)
    if isinstance(event, BackupDeleted):
        return _forgotten(hooks, event.backup_id)
    if not hooks.configured:
        return hooks
    if isinstance(event, AttemptStarted):
        return _too_late(hooks, event)
    if isinstance(event, _ENDS):
        occasion = _ended(known, event)
        return hooks if occasion is None else _owed(hooks, occasion, envelope.position)
    return hooks


def _forgotten(hooks: Hooks, work_id: str) -> Hooks:
    """Nothing is told any more of what has been deleted."""
    if work_id in hooks.ran:
        hooks = replace(hooks, ran=hooks.ran.delete(work_id))
    if work_id in hooks.passed:
        hooks = replace(hooks, passed=hooks.passed.delete(work_id))
    return hooks


def _ended(known: Catalog, event: Event) -> Occasion | None:
    """What has ended; None for what is no end that hooks follow: an import, or nothing begun."""
    outcome = _OUTCOMES[type(event)]
    if isinstance(event, RestoreCompleted | RestoreFailed):
        return Occasion("after-restore", event.cache, event.restore_id, outcome=outcome)
    if not isinstance(event, _End):
        return None
    backup = catalog.get(known, event.cache, event.backup_id)
    if backup is None or backup.origin is not None:
        return None
    if outcome == "cancelled" and not backup.attempts:
        return None
    return Occasion(
        "after-backup", event.cache, event.backup_id, backup.attempts, backup.kind, outcome
    )


def before_backup(backup: Backup) -> Occasion:
    """The beginning of an attempt that has been recorded."""
    return Occasion("before-backup", backup.cache, backup.backup_id, backup.attempts, backup.kind)


def before_restore(restore: Restore) -> Occasion:
    """The beginning of a restore: nothing is planned yet, and nothing touched."""
    return Occasion("before-restore", restore.target, restore.restore_id)


def _owed(hooks: Hooks, occasion: Occasion, position: int) -> Hooks:
    due = hooks.due
    for place, hook in enumerate(hooks.configured):
        if fits(hook, occasion) and not _has_passed(hooks, hook, occasion):
            one = Due(hook.name, occasion, (position, place))
            due = due.set(one.key, one)
    return hooks if due is hooks.due else replace(hooks, due=due)


def _too_late(hooks: Hooks, event: AttemptStarted) -> Hooks:
    """What is due between two attempts is let go when the next one begins before it."""
    due = hooks.due
    for hook in hooks.configured:
        key = (event.backup_id, event.attempt - 1, hook.name)
        if key in due and key not in hooks.running:
            due = due.delete(key)
    return hooks if due is hooks.due else replace(hooks, due=due)


def fits(hook: Hook, occasion: Occasion) -> bool:
    """Whether a hook is for that."""
    if hook.when != occasion.when or not is_for(hook, occasion.cache):
        return False
    if occasion.kind is not None and occasion.kind not in hook.kinds:
        return False
    return occasion.outcome is None or occasion.outcome in hook.run_on


def is_for(hook: Hook, cache: CacheName) -> bool:
    """Whether a hook is for a cache."""
    return any(_pattern(text).fullmatch(cache) for text in hook.caches)


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in text.split("*")))


def wanted(hooks: Hooks, occasion: Occasion) -> tuple[Hook, ...]:
    """The hooks for an occasion, as they are configured."""
    return tuple(
        hook
        for hook in hooks.configured
        if fits(hook, occasion) and not _has_passed(hooks, hook, occasion)
    )


def _has_passed(hooks: Hooks, hook: Hook, occasion: Occasion) -> bool:
    """Whether it was this hook, run for this cache, that led to it: a circle ends there."""
    return Passed(hook.name, occasion.cache) in hooks.passed.get(occasion.work_id, ())


def asking(hooks: Hooks, *, hook: str, work_id: str) -> HookStarted | None:
    """The run of a hook for some work that is under way, if there is one."""
    runs = (run for run in hooks.running.values() if (run.hook, run.work_id) == (hook, work_id))
    return next(runs, None)


def due(hooks: Hooks) -> list[Due]:
    """What is to be run, in its order."""
    return sorted(hooks.due.values(), key=lambda one: one.order)


def named(hooks: Hooks, name: str) -> Hook | None:
    """A configured hook."""
    return next((hook for hook in hooks.configured if hook.name == name), None)


def _of_hook(hooks: Hooks, envelope: Envelope, event: HookEvent) -> Hooks:
    match event:
        case HooksSet():
            return _set(hooks, event)
        case HookStarted():
            key = (event.work_id, event.attempt, event.hook)
            due, one = hooks.due, hooks.due.get(key)
            if one is not None:
                due = due.set(key, replace(one, tries=event.tries))
            return replace(hooks, due=due, running=hooks.running.set(key, event))
        case HookRan():
            return _ran(hooks, envelope, event)
        case HookAsked():
            return replace(hooks, passed=hooks.passed.set(event.work_id, event.passed))


def _set(hooks: Hooks, event: HooksSet) -> Hooks:
    """Of hooks that are gone, or are for something else by now, nothing is due any more."""
    kept = {(hook.name, hook.when) for hook in event.hooks}
    due = hooks.due
    for key, one in hooks.due.items():
        if (one.hook, one.occasion.when) not in kept:
            due = due.delete(key)
    return replace(hooks, configured=event.hooks, file=event.file, due=due)


def _ran(hooks: Hooks, envelope: Envelope, event: HookRan) -> Hooks:
    counted = (event.hook, event.ending.result)
    counts = hooks.counts.set(counted, hooks.counts.get(counted, 0) + 1)
    if event.by_hand:
        return replace(hooks, counts=counts, last=_mended(hooks, envelope, event))
    key = (event.work_id, event.attempt, event.hook)
    due, running = hooks.due, hooks.running
    if key in running:
        running = running.delete(key)
    if key in due and not event.again:
        due = due.delete(key)
    one = _kept(event, envelope.at)
    return replace(
        hooks,
        due=due,
        running=running,
        ran=hooks.ran.set(event.work_id, (*hooks.ran.get(event.work_id, ()), one)),
        last=hooks.last.set((event.cache, event.hook), one),
        counts=counts,
    )


def _mended(hooks: Hooks, envelope: Envelope, event: HookRan) -> Map[tuple[CacheName, str], Ran]:
    """A hook that goes well by hand is well again."""
    of = (event.cache, event.hook)
    if event.ending.result != "ok" or of not in hooks.last:
        return hooks.last
    return hooks.last.set(of, _kept(event, envelope.at))


def _kept(event: HookRan, at: datetime) -> Ran:
    ending = event.ending
    return Ran(
        hook=event.hook,
        when=event.when,
        cache=event.cache,
        work_id=event.work_id,
        attempt=event.attempt,
        result=ending.result,
        at=at,
        seconds=ending.seconds,
        told=told(ending),
        last_words=last_words(ending),
        stops=event.stops,
        again=event.again,
    )


def told(ending: HookEnding) -> str:
    """How a hook ended, in words that follow its name."""
    match ending.result:
        case "ok":
            return "went well"
        case "failed":
            return f"ended with exit code {ending.exit_code}"
        case "killed":
            return f"was killed by {ending.signal}"
        case "timed-out":
            return f"did not end in {ending.seconds:,.0f} s, and was ended"
        case "not-started":
            return f"could not be started: {ending.error.rstrip('.')}"
        case "cut-off":
            return "was cut off" + (f": {ending.error.rstrip('.')}" if ending.error else "")


def last_words(ending: HookEnding) -> str:
    """The last two lines of what a hook printed that did not go well."""
    lines = [line.strip() for line in ending.output.splitlines() if line.strip()]
    return " / ".join(lines[-2:])[-LINE:] if ending.result != "ok" else ""


def runs_for(hooks: Hooks, work_id: str) -> tuple[Ran, ...]:
    """The runs for a backup or a restore, oldest first."""
    return hooks.ran.get(work_id, ())


def failures(hooks: Hooks, now: datetime) -> Iterator[Ran]:
    """Of each configured hook the last run for each cache, if it failed within a day.

    Not of what failed by it: that tells of itself; nor of what is run again.
    """
    names = {hook.name for hook in hooks.configured}
    for (_, name), one in sorted(hooks.last.items()):
        bad = one.result != "ok" and not one.stops and not one.again
        if bad and name in names and now - one.at < RECENT:
            yield one
