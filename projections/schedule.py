"""The schedule: what is due now by the policies, and when something will be due next.

Pure queries on the state and an instant (A4-A9). Each cache has an agenda of its own, so that
nobody needs to look at all of them to know about one.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from immutables import Map
from msgspec import Struct

from events.facts import CacheName, Occurrence, Policy
from projections import catalog
from projections.caches import Cache
from projections.catalog import Backup
from projections.occurrences import instant, occurrences
from projections.slots import Slot
from projections.state import State

LOOK_BACK = timedelta(days=7)
"""What passed unserved longer ago than this is not recorded any more (A9)."""
LOOK_AHEAD = timedelta(days=3)
_LONGEST = timedelta(days=1)
_BEYOND = 2 * _LONGEST
"""A backup that may start so much later was asked for by a clock that has been set back since."""


class Open(Struct, frozen=True):
    """An occurrence's instant has come: its backup is to be asked for."""

    cache: CacheName
    occurrence: Occurrence


class Close(Struct, frozen=True):
    """A waiting auto backup is over: its window has closed, or is days away by a clock set back."""

    cache: CacheName
    backup: Backup


class Miss(Struct, frozen=True):
    """An occurrence has passed and nobody served it (A9)."""

    cache: CacheName
    occurrence: Occurrence
    reason: str


class Skip(Struct, frozen=True):
    """An occurrence has passed without a chance of its own, and why (A7, A8)."""

    cache: CacheName
    occurrence: Occurrence
    reason: str


Step = Open | Close | Miss | Skip


class Agenda(Struct, frozen=True):
    """What is to be decided for a cache now, and when to look again if nothing happens."""

    steps: tuple[Step, ...] = ()
    next_at: datetime | None = None


class Start(Struct, frozen=True):
    """A backup that will be asked for at `at`, if nothing changes."""

    occurrence: Occurrence
    at: datetime


def due(state: State, now: datetime) -> tuple[Step, ...]:
    """Everything that is to be decided now, of all caches."""
    return tuple(step for name in sorted(state.caches) for step in agenda(state, name, now).steps)


def agenda(state: State, name: CacheName, now: datetime) -> Agenda:
    """What is due for one cache, and its next deadline; nothing while the clock is impossible.

    A clock that shows an instant before the log's first record has not been set yet (1970, a
    dead battery): nothing is decided by it.
    """
    cache = state.caches.get(name)
    if cache is None:
        return Agenda()
    if state.born_at is not None and now < state.born_at:
        return Agenda(next_at=state.born_at)
    steps: list[Step] = []
    instants: list[datetime] = []
    for backup, until in _waiting(state, name):
        if now < until <= now + _BEYOND:
            instants.append(until)
        else:
            steps.append(Close(name, backup))
    if cache.scheduled is not None:
        for occurrence in _candidates(state, cache, cache.scheduled, now):
            at = instant(name, occurrence, retries=cache.scheduled.retries)
            if occurrence.closes_at > now and at > now:
                instants.append(at)  # those that follow open later, and start later
                break
            if not (served(state, cache, occurrence, now) or _made(state, name, occurrence)):
                steps.append(_step(state, cache, occurrence, now))
            elif instants and occurrence.closes_at > now:
                instants.append(occurrence.closes_at)  # what waits may not begin in time
    return Agenda(tuple(steps), min(instants, default=None))


def passed(state: State, name: CacheName, now: datetime) -> tuple[Step, ...]:
    """Only what has passed: to be settled before the policy that it belongs to changes."""
    return tuple(s for s in agenda(state, name, now).steps if not isinstance(s, Open))


def starts(state: State, name: CacheName, now: datetime) -> Iterator[Start]:
    """The starts to come within three days, soonest first, one that is due now included.

    Without those that daylight saving leaves no time (A8).
    """
    cache = state.caches.get(name)
    if cache is None or cache.scheduled is None:
        return
    policy = cache.scheduled
    for occurrence in occurrences(policy, since=now - _LONGEST, until=now + LOOK_AHEAD):
        is_over = max(now, occurrence.opens_at) >= occurrence.closes_at
        if not is_over and not served(state, cache, occurrence, now):
            # They never overlap, so what opens later starts later: one by one is in order.
            yield Start(occurrence, instant(name, occurrence, retries=policy.retries))


def open_occurrence(state: State, cache: Cache, now: datetime) -> Occurrence | None:
    """The occurrence that is open now and that no backup serves or has served (A5b)."""
    if cache.scheduled is None:
        return None
    for occurrence in occurrences(cache.scheduled, since=now - _LONGEST, until=now + _LONGEST):
        if occurrence.opens_at <= now < occurrence.closes_at:
            taken = any(_serves(slot, occurrence, now) for slot in state.slots.get(cache.name, ()))
            return None if taken or _made(state, cache.name, occurrence) else occurrence
    return None


def served(state: State, cache: Cache, occurrence: Occurrence, now: datetime) -> bool:
    """Whether nothing is to be done for an occurrence: it is served, or it has been settled.

    What was given up, skipped or missed is due again if it is not over, and the configuration
    has changed since (A6), or it was written off outside its time (`Slot.untimely`).
    """
    is_open = now < occurrence.closes_at
    for slot in reversed(state.slots.get(cache.name, ())):
        if _serves(slot, occurrence, now):
            return True
        if slot.outcome != "open" and _tried(slot, occurrence, is_open=is_open):
            again = cache.configured > slot.settled or slot.untimely
            if not (is_open and again):
                return True
    return False


def _serves(slot: Slot, occurrence: Occurrence, now: datetime) -> bool:
    """Whether an auto backup that is under way or complete is an occurrence's own.

    It is if it was made for it, or begun inside its span under another policy (A4); one that
    has not begun yet would begin there.
    """
    if slot.backup_id is None or slot.outcome not in ("open", "complete"):
        return False
    if slot.occurrence is not None and slot.occurrence.key == occurrence.key:
        return True
    if slot.begun_at is None:
        may_begin = slot.occurrence is None or _is_open(slot.occurrence, now)
        return slot.outcome == "open" and may_begin and _is_open(occurrence, now)
    return occurrence.opens_at <= slot.begun_at < occurrence.closes_at


def _tried(slot: Slot, occurrence: Occurrence, *, is_open: bool) -> bool:
    """Whether a slot's outcome is an occurrence's own.

    That of a backup which was begun in its span under another policy becomes it when the
    occurrence is over: until then there is time for a backup of its own.
    """
    if slot.occurrence is not None and slot.occurrence.key == occurrence.key:
        return True
    begun_at = slot.begun_at
    begun = begun_at is not None and occurrence.opens_at <= begun_at < occurrence.closes_at
    return begun and not is_open


def _is_open(occurrence: Occurrence, now: datetime) -> bool:
    return occurrence.opens_at <= now < occurrence.closes_at


def _made(state: State, name: CacheName, occurrence: Occurrence) -> bool:
    """Whether the catalog holds an occurrence's backup, though its slot may be forgotten.

    A clock that was ahead for days makes the slots of today old, and is set back after that.
    """
    return any(
        backup.occurrence is not None and backup.occurrence.key == occurrence.key
        for backup in state.catalog.get(name, Map()).values()
        if backup.kind == "auto" and backup.phase == "complete"
    )


def _waiting(state: State, name: CacheName) -> Iterator[tuple[Backup, datetime]]:
    """Auto backups that wait for a start or a retry, and until when they may."""
    for slot in state.slots.get(name, ()):
        if slot.outcome == "open" and slot.backup_id is not None:
            backup = catalog.get(state.catalog, name, slot.backup_id)
            if backup and backup.phase == "waiting" and backup.start_before is not None:
                yield backup, backup.start_before


def _candidates(state: State, cache: Cache, policy: Policy, now: datetime) -> Iterator[Occurrence]:
    """Occurrences that have opened and may lack an outcome, and those that open soon."""
    since = max(_scheduled_since(state, cache, now), now - LOOK_BACK)
    settled = [
        slot.occurrence.opens_at
        for slot in state.slots.get(cache.name, ())
        if slot.occurrence is not None
        and slot.outcome != "open"
        and slot.noted > cache.configured  # before that other windows may have been looked at
        # What a clock that was ahead has settled says nothing of what came before.
        and max(slot.occurrence.closes_at, slot.noted_at) <= now
    ]
    first = max([since, *settled]) - _LONGEST
    for occurrence in occurrences(policy, since=first, until=now + LOOK_AHEAD):
        if occurrence.closes_at > since:
            yield occurrence


def _scheduled_since(state: State, cache: Cache, now: datetime) -> datetime:
    """From when on occurrences count, also if the policy was set by a clock that was ahead."""
    if cache.scheduled_since <= now:
        return cache.scheduled_since
    slots = state.slots.get(cache.name, ())
    return min([now, *(slot.noted_at for slot in slots if slot.noted > cache.configured)])


def _step(state: State, cache: Cache, occurrence: Occurrence, now: datetime) -> Step:
    if now < occurrence.closes_at:
        return Open(cache.name, occurrence)
    if occurrence.opens_at == occurrence.closes_at:
        reason = "daylight saving left it no time: the next window opened at the same instant"
        return Skip(cache.name, occurrence, reason)
    for backup in state.catalog.get(cache.name, Map()).values():
        begun_at = backup.attempt_started_at
        if backup.phase == "running" and begun_at and begun_at < occurrence.closes_at:
            reason = f"backup {backup.name} of this cache had not ended when the window closed"
            return Skip(cache.name, occurrence, reason)
    if state.started_at is not None and occurrence.closes_at <= state.started_at:
        return Miss(cache.name, occurrence, "the daemon was not running")
    for backup, until in _waiting(state, cache.name):
        if backup.requested_at < occurrence.closes_at and occurrence.opens_at < until:
            reason = f"backup {backup.name} of this cache was to serve it and could not begin"
            return Skip(cache.name, occurrence, reason)
    reason = "the daemon was held up: its host slept, the clock was set, or its log was unwritable"
    return Miss(cache.name, occurrence, reason)
