"""The schedule: what is due now by the policies, and when something will be due next.

Pure queries on the state and an instant (A4-A9). Each cache has an agenda of its own, so that
nobody needs to look at all of them to know about one.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

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


class Open(Struct, frozen=True):
    """An occurrence's instant has come: its backup is to be asked for."""

    cache: CacheName
    occurrence: Occurrence


class Close(Struct, frozen=True):
    """A waiting auto backup may not start any more: its window has closed."""

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
    waiting = list(_waiting(state, name))
    steps: list[Step] = [Close(name, backup) for backup, until in waiting if until <= now]
    instants = [until for _, until in waiting if until > now]
    if cache.scheduled is not None:
        for occurrence in _candidates(state, cache, cache.scheduled, now):
            at = instant(name, occurrence, retries=cache.scheduled.retries)
            if occurrence.closes_at > now and at > now:
                instants.append(at)
            elif not served(state, cache, occurrence, now):
                steps.append(_step(state, cache, occurrence, now))
    return Agenda(tuple(steps), min(instants, default=None))


def passed(state: State, name: CacheName, now: datetime) -> tuple[Step, ...]:
    """Only what has passed: to be settled before the policy that it belongs to changes."""
    return tuple(s for s in agenda(state, name, now).steps if not isinstance(s, Open))


def starts(state: State, name: CacheName, now: datetime) -> Iterator[Start]:
    """The starts to come within three days, soonest first, one that is due now included."""
    cache = state.caches.get(name)
    if cache is None or cache.scheduled is None:
        return
    policy = cache.scheduled
    found = [
        Start(occurrence, instant(name, occurrence, retries=policy.retries))
        for occurrence in occurrences(policy, since=now - _LONGEST, until=now + LOOK_AHEAD)
        if occurrence.closes_at > now and not served(state, cache, occurrence, now)
    ]
    yield from sorted(found, key=lambda start: start.at)


def open_occurrence(state: State, cache: Cache, now: datetime) -> Occurrence | None:
    """The occurrence that is open now and that no backup serves or has served (A5b)."""
    if cache.scheduled is None:
        return None
    for occurrence in occurrences(cache.scheduled, since=now - _LONGEST, until=now + _LONGEST):
        if occurrence.opens_at <= now < occurrence.closes_at:
            taken = any(_serves(slot, occurrence, now) for slot in state.slots.get(cache.name, ()))
            return None if taken else occurrence
    return None


def served(state: State, cache: Cache, occurrence: Occurrence, now: datetime) -> bool:
    """Whether nothing is to be done for an occurrence: it is served, or it has been settled.

    What was given up, skipped or missed is due again when the configuration changed since and
    the occurrence is still open (A6).
    """
    is_open = now < occurrence.closes_at
    for slot in reversed(state.slots.get(cache.name, ())):
        if _serves(slot, occurrence, now):
            return True
        is_of_it = slot.occurrence is not None and slot.occurrence.key == occurrence.key
        if is_of_it and slot.outcome != "open":
            again = is_open and cache.configured > slot.settled
            if not again:
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
        still = slot.occurrence is None or slot.occurrence.closes_at > now
        return slot.outcome == "open" and still and occurrence.closes_at > now
    return occurrence.opens_at <= slot.begun_at < occurrence.closes_at


def _waiting(state: State, name: CacheName) -> Iterator[tuple[Backup, datetime]]:
    """Auto backups that wait for a start or a retry, and until when they may."""
    for slot in state.slots.get(name, ()):
        if slot.outcome == "open" and slot.backup_id is not None:
            backup = catalog.get(state.catalog, name, slot.backup_id)
            if backup and backup.phase == "waiting" and backup.start_before is not None:
                yield backup, backup.start_before


def _candidates(state: State, cache: Cache, policy: Policy, now: datetime) -> Iterator[Occurrence]:
    """Occurrences that have opened and may lack an outcome, and those that open soon."""
    since = max(min(cache.scheduled_since, now), now - LOOK_BACK)
    settled = [
        slot.occurrence.opens_at
        for slot in state.slots.get(cache.name, ())
        if slot.occurrence is not None
        and slot.outcome != "open"
        # What a clock that was ahead has settled says nothing of what came before.
        and slot.occurrence.closes_at <= now
    ]
    first = max([since, *settled]) - _LONGEST
    for occurrence in occurrences(policy, since=first, until=now + LOOK_AHEAD):
        if occurrence.closes_at > since:
            yield occurrence


def _step(state: State, cache: Cache, occurrence: Occurrence, now: datetime) -> Step:
    if now < occurrence.closes_at:
        return Open(cache.name, occurrence)
    if occurrence.opens_at == occurrence.closes_at:
        reason = "daylight saving left it no time: the next window opened at the same instant"
        return Skip(cache.name, occurrence, reason)
    for slot in state.slots.get(cache.name, ()):
        if slot.outcome == "open" and slot.noted_at < occurrence.closes_at:
            reason = f"backup {slot.backup_id} of this cache had not ended when the window closed"
            return Skip(cache.name, occurrence, reason)
    down = state.started_at is not None and occurrence.closes_at <= state.started_at
    reason = (
        "the daemon was not running"
        if down
        else "the daemon was held up: its host slept, the clock was set, or its log was unwritable"
    )
    return Miss(cache.name, occurrence, reason)
