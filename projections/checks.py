"""Checks: whether all is well, judged rule by rule; the one source for `check` and `status`.

Pure. Knows what the log knows, and whether the log can be written: whether a cache answers at
this moment is not asked. Every line that is not OK says what to do.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Literal

from immutables import Map
from msgspec import Struct

from events.facts import CacheName, Failure, Policy
from projections import catalog
from projections.caches import Cache
from projections.catalog import Backup
from projections.copy_checks import contents, of_removed
from projections.doubts import suspect_for
from projections.freshness import covers, expected, newest_good, newest_of_any, unrepaired
from projections.hanging import HINT, hanging
from projections.local import local_text, one_line, span
from projections.policy import window_text, zone
from projections.restore_ends import hint_of, told_of
from projections.restores import ACTIVE, Restore
from projections.retention import taken_at
from projections.schedule import starts
from projections.slots import Slot
from projections.state import State

Level = Literal["ok", "warning", "unknown", "critical"]
LEVELS: tuple[Level, ...] = ("ok", "warning", "unknown", "critical")
"""From well to worst."""
RECENT = timedelta(days=1)
"""A restore that failed and left nothing to do is told of for so long."""
STEP = timedelta(minutes=1)
"""A clock that is further behind the log's last record has been set back."""


class Line(Struct, frozen=True):
    """One rule's verdict, on one cache or on the installation.

    `code` is the failure's own where there is one, else the rule; a `hint` is there whenever
    the level is not ok. `part` tells lines of one rule apart that belong to no cache.
    """

    level: Level
    rule: str
    message: str
    hint: str = ""
    cache: CacheName | None = None
    code: str = ""
    part: str = ""


class _Case(Struct, frozen=True):
    """One cache, looked at in one moment."""

    state: State
    cache: Cache
    now: datetime
    newest: Backup | None

    def line(
        self, rule: str, *, told: str, level: Level = "ok", hint: str = "", code: str = ""
    ) -> Line:
        return Line(level, rule, told, hint, self.cache.name, code or rule)


def judge(
    state: State,
    now: datetime,
    trouble: Failure | None = None,
    only: CacheName | None = None,
) -> Iterator[tuple[Line, ...]]:
    """The installation's lines, then those of each cache by name, or of one; a portion at a time.

    `trouble` is why the log cannot be written. In portions, because there may be many caches.
    """
    yield tuple(_of_installation(state, now, trouble))
    restores = _last_restores(state)
    for name in sorted(state.caches) if only is None else (only,):
        yield tuple(_of_cache(state, name, now, restores.get(name)))


def ordered(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Worst first; then the installation, then the caches by name, each in its rules' order."""
    return tuple(sorted(lines, key=lambda line: (-LEVELS.index(line.level), line.cache or "")))


def worst(lines: Iterable[Line]) -> Level:
    """The level of the whole."""
    return max((line.level for line in lines), key=LEVELS.index, default="ok")


def _last_restores(state: State) -> dict[CacheName, Restore]:
    """The newest restore into each cache that there is."""
    newest: dict[CacheName, Restore] = {}
    for restore_id, restore in state.restores.items():
        known = newest.get(restore.target)
        if restore.target in state.caches and (known is None or known.restore_id < restore_id):
            newest[restore.target] = restore
    return newest


def _of_installation(state: State, now: datetime, trouble: Failure | None) -> Iterator[Line]:
    """The lines that belong to no cache: the daemon and its log, and the clock."""
    if trouble is None:
        since = f"up since {state.started_at:%Y-%m-%d %H:%M:%SZ}" if state.started_at else "up"
        yield Line("ok", "daemon", f"it is {since} and its log can be written", code="daemon")
    else:
        yield Line(
            "critical", "daemon", one_line(trouble.message), trouble.hint, None, trouble.code
        )
    yield _clock(state, now)
    for name in sorted(set(state.catalog) - set(state.caches)):
        for said in of_removed(state, name, now):
            told = f"of the removed cache {name}: {said.told}"
            yield Line(said.level, said.rule, told, said.hint, code=said.code, part=name)


def _clock(state: State, now: datetime) -> Line:
    shown = f"the clock shows {now:%Y-%m-%d %H:%M:%SZ}"
    hint = "Set it, and have it kept by NTP: `timedatectl` shows what is done."
    if clock_is_impossible(state, now):
        born = f"{state.born_at:%Y-%m-%d %H:%M:%SZ}"
        told = f"{shown}, before this log began ({born}): nothing is scheduled and nothing expires"
        return Line("critical", "clock", told, hint, code="clock")
    if state.last_at is not None and now < state.last_at - STEP:
        told = f"{shown}, {span(state.last_at - now)} before the log's last record"
        return Line("warning", "clock", told, hint, code="clock")
    return Line("ok", "clock", shown, code="clock")


def clock_is_impossible(state: State, now: datetime) -> bool:
    """Whether the clock shows an instant before the log's first record."""
    return state.born_at is not None and now < state.born_at


def _of_cache(
    state: State, name: CacheName, now: datetime, restore: Restore | None
) -> Iterator[Line]:
    """One cache's lines; `restore` is the newest one into it."""
    case = _Case(state, state.caches[name], now, newest_good(state, name, now))
    policy = case.cache.scheduled
    yield _suspended(case)
    if case.cache.suspended is None:
        yield _auto(case)
    if policy is not None:
        if policy.windows and zone(policy.timezone) is not None:
            yield _fresh(case, policy)
        yield _last_attempt(case, policy)
        bad = list(unrepaired(state, name, now))
        yield _given_up(case, policy, [slot for slot in bad if slot.outcome == "given-up"])
        yield _missed(case, policy, [slot for slot in bad if slot.outcome == "missed"])
        yield _skipped(case, policy, [slot for slot in bad if slot.outcome == "skipped"])
        yield from _cancelled(case, policy, [slot for slot in bad if slot.outcome == "cancelled"])
    if (told := hanging(state, name)) is not None:
        yield case.line("stuck", told=told, level="warning", hint=HINT)
    for said in contents(state, case.cache, now):
        yield case.line(said.rule, told=said.told, level=said.level, hint=said.hint, code=said.code)
    yield from _manual(case)
    yield from _restore(case, restore)


def _suspended(case: _Case) -> Line:
    cache = case.cache
    if cache.suspended is None:
        return case.line("suspended", told="it is in service")
    told = f"it is suspended and gets no backups: {one_line(cache.suspended)}"
    hint = (
        f"Declare it again, go on without the file (`valkeep cache set {cache.name} --url …`), "
        f"or end it: `valkeep cache remove {cache.name}`."
    )
    return case.line("suspended", told=told, level="critical", hint=hint)


def _auto(case: _Case) -> Line:
    policy = case.cache.scheduled
    if policy is not None and policy.windows:
        windows = ", ".join(window_text(window) for window in policy.windows)
        if zone(policy.timezone) is not None:
            return case.line("auto", told=f"auto backups are on: {windows} {policy.timezone}")
        told = f"time zone {policy.timezone} is not in this host's database: nothing is scheduled"
        hint = "Install the host's time zone data (package tzdata), or set another time zone."
        return case.line("auto", told=told, level="critical", hint=hint, code="time-zone")
    told = (
        "auto backups are off"
        if policy is None
        else "auto backups have no window: nothing is made by itself"
    )
    newest = newest_of_any(case.state, case.cache.name, case.now)
    if newest is not None:
        return case.line("auto", told=f"{told}; the newest backup is {_aged(case, newest)}")
    if _is_making_one(case):
        return case.line("auto", told=f"{told}; the first backup is under way")
    if any(_manual(case)):
        return case.line("auto", told=f"{told}; rule manual tells of the last backup")
    make = f"Make one: `valkeep backup create {case.cache.name} NAME`"
    hint = f"{make}; or {_how_to_turn_on(case)}."
    told = f"{told}, and there is no backup"
    return case.line("auto", told=told, level="warning", hint=hint, code="no-backup")


def _is_making_one(case: _Case) -> bool:
    of_cache = case.state.catalog.get(case.cache.name, Map())
    return any(b.phase in ("waiting", "running") and b.kind != "safety" for b in of_cache.values())


def _how_to_turn_on(case: _Case) -> str:
    name = case.cache.name
    if case.cache.declared:
        return f"set auto and windows in [caches.{name}.policy] of {case.cache.file}"
    return f"have them made: `valkeep policy set {name} --auto --window 02:00+2h`"


def _fresh(case: _Case, policy: Policy) -> Line:
    if clock_is_impossible(case.state, case.now):
        hint = "Set the clock, then ask again."
        return case.line(
            "fresh", told="the clock is wrong: age is not known", level="unknown", hint=hint
        )
    newest, last = case.newest, expected(case.state, case.cache, policy, case.now)
    if last is None:
        aged = f"the newest is {_aged(case, newest)}" if newest else _first(case, policy)
        return case.line("fresh", told=f"nothing is due yet under the present policy; {aged}")
    window = f"{last.start} of {last.day}"
    if newest is not None and covers(newest, last, case.now):
        told = f"{_aged(case, newest)}, and serves the last window that closed ({window})"
        return case.line("fresh", told=told)
    doubted = suspect_for(case.state, case.cache.name, last, case.now)
    if doubted is not None:
        told = f"{doubted.name} serves the last window ({window}), and is suspect: see rule suspect"
        hint = f"`valkeep backup show {case.cache.name}/{doubted.name}` has the figures."
        return case.line("fresh", told=told, level="warning", hint=hint)
    closed = f"{window}, closed at {local_text(last.closes_at, policy.timezone)}"
    if newest is None:
        told = f"there is no good scheduled backup, and a window has passed ({closed})"
    else:
        told = (
            f"the newest good scheduled backup is {_aged(case, newest)}, "
            f"older than the last window ({closed})"
        )
    return case.line(
        "fresh", told=f"{told}{_mentioned(case)}", level="critical", hint=_make_one(case, policy)
    )


def _first(case: _Case, policy: Policy) -> str:
    coming = next(starts(case.state, case.cache.name, case.now), None)
    if coming is None:
        return "the first one is under way"
    return f"the first one starts at {local_text(coming.at, policy.timezone)}"


def _mentioned(case: _Case) -> str:
    """A manual backup is no substitute for a scheduled one, and worth knowing of (A12)."""
    newest = newest_of_any(case.state, case.cache.name, case.now)
    if newest is None or newest.kind != "manual":
        return ""
    return f"; a manual backup is newer, {_aged(case, newest)}, and does not count"


def _last_attempt(case: _Case, policy: Policy) -> Line:
    for slot in case.state.slots.get(case.cache.name, ()):
        backup = slot.outcome == "open" and _backup_of(case, slot)
        if backup and backup.failure is not None:
            return case.line(
                "last-attempt",
                told=f"{_tried(backup, policy)}: {one_line(backup.failure.message)}",
                level="warning",
                hint=backup.failure.hint,
                code=backup.failure.code,
            )
    return case.line("last-attempt", told="no failed attempt waits for another one")


def _tried(backup: Backup, policy: Policy) -> str:
    if backup.phase == "running":
        return f"attempt {backup.attempts} at {backup.name} runs; the one before failed"
    at = f" at {local_text(backup.not_before, policy.timezone)}" if backup.not_before else ""
    return f"attempt {backup.attempts} at {backup.name} failed, another follows{at}"


def _given_up(case: _Case, policy: Policy, found: list[Slot]) -> Line:
    if not found:
        return case.line(
            "abandoned", told="no scheduled backup was given up since the newest good one"
        )
    slot = found[-1]
    backup = _backup_of(case, slot)
    failure = backup.failure if backup else None
    told = f"{_named(slot, backup)} was given up: {one_line(slot.reason)}"
    if failure is not None and one_line(failure.message) not in told:
        told = f"{told}; the last failure: {one_line(failure.message)}"
    told = f"{told}{_more(found)}"
    hint = f"{failure.hint} " if failure else ""
    code = failure.code if failure else "abandoned"
    return case.line(
        "abandoned", told=told, level="critical", hint=f"{hint}{_make_one(case, policy)}", code=code
    )


def _missed(case: _Case, policy: Policy, found: list[Slot]) -> Line:
    if not found:
        return case.line(
            "missed", told="no window was missed since the newest good scheduled backup"
        )
    told = f"nobody served the window {_window(found[-1])}: {one_line(found[-1].reason)}"
    hint = _make_one(case, policy)
    return case.line("missed", told=f"{told}{_more(found)}", level="warning", hint=hint)


def _skipped(case: _Case, policy: Policy, found: list[Slot]) -> Line:
    if not found:
        return case.line(
            "skipped", told="no window was skipped since the newest good scheduled backup"
        )
    slot = found[-1]
    told = f"{_named(slot, _backup_of(case, slot))} was skipped: {one_line(slot.reason)}"
    hint = _make_one(case, policy)
    return case.line("skipped", told=f"{told}{_more(found)}", level="warning", hint=hint)


def _cancelled(case: _Case, policy: Policy, found: list[Slot]) -> Iterator[Line]:
    """Somebody wanted it so; there is no backup of that window all the same."""
    if found:
        told = f"{_named(found[-1], _backup_of(case, found[-1]))}: {one_line(found[-1].reason)}"
        hint = _make_one(case, policy)
        yield case.line("cancelled", told=f"{told}{_more(found)}", level="warning", hint=hint)


def _manual(case: _Case) -> Iterator[Line]:
    """A manual backup that failed, until a later backup of any such kind is complete."""
    of_cache = case.state.catalog.get(case.cache.name, Map())
    failed = max(
        (b for b in of_cache.values() if b.phase == "failed" and b.kind == "manual"),
        key=lambda b: (b.requested_at, b.backup_id),
        default=None,
    )
    if failed is None:
        return
    good = (b for b in of_cache.values() if b.good and b.kind != "safety")
    if not any(b.requested_at >= failed.requested_at for b in good):
        told = f"backup {failed.name} was given up: {one_line(failed.abandoned or '')}"
        hint, code = f"See `valkeep backup show {failed.backup_id}`.", "abandoned"
        if failed.failure is not None:
            told = f"backup {failed.name} failed: {one_line(failed.failure.message)}"
            hint, code = failed.failure.hint, failed.failure.code
        yield case.line("manual", told=told, level="warning", hint=hint, code=code)


def _restore(case: _Case, restore: Restore | None) -> Iterator[Line]:
    failure = restore.failure if restore else None
    if restore is None or failure is None:
        return
    what, why = f"restore {restore.restore_id} into it", one_line(failure.message)
    if restore.phase in ACTIVE:
        see = f"`valkeep events --cache {case.cache.name}`"
        hint = f"It is tried until it succeeds; see {see}."
        told = f"{what} failed and is still being undone: {why}"
        yield case.line("restore", told=told, level="critical", hint=hint, code="restore-undoing")
    elif restore.ended is not None and _still_matters(restore, case.now):
        told, hint = told_of(restore.ended), hint_of(restore.ended)
        yield case.line("restore", told=told, level="warning", hint=hint, code=failure.code)


def _still_matters(restore: Restore, now: datetime) -> bool:
    left_over = restore.ended is not None and not restore.ended.undone
    return left_over or (restore.ended_at is not None and now - restore.ended_at < RECENT)


def _backup_of(case: _Case, slot: Slot) -> Backup | None:
    if slot.backup_id is None:
        return None
    return catalog.get(case.state.catalog, case.cache.name, slot.backup_id)


def _named(slot: Slot, backup: Backup | None) -> str:
    what = backup.name if backup else f"backup {slot.backup_id}"
    return f"{what} for the window {_window(slot)}" if slot.occurrence else what


def _window(slot: Slot) -> str:
    return f"{slot.occurrence.start} of {slot.occurrence.day}" if slot.occurrence else ""


def _more(found: list[Slot]) -> str:
    return f"; {len(found)} in all" if len(found) > 1 else ""


def _aged(case: _Case, backup: Backup) -> str:
    return f"{backup.name}, {span(case.now - taken_at(backup))} old"


def _make_one(case: _Case, policy: Policy) -> str:
    coming = next(starts(case.state, case.cache.name, case.now), None)
    when = f"; the next one starts at {local_text(coming.at, policy.timezone)}" if coming else ""
    return f"Make one now: `valkeep backup create {case.cache.name} --auto`{when}."
