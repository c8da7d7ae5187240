"""What must hold of auto backups in every world, by name: windows, retries, retention (A1-A12).

Times are those of the daemon's own wall clock at the moment of each decision; windows are those
of an implementation of its own, which shares no line with the daemon's.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from events.facts import Occurrence, Policy
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCompleted,
    BackupRequested,
    BackupSkipped,
    CacheRemoved,
    DeletionRequested,
    PolicySet,
    RetentionExpired,
    RetryScheduled,
    WindowMissed,
)
from tests.simulation.doubts import doubted, scheduled
from tests.simulation.invariants import Complaints, Invariant
from tests.simulation.reference import reference_occurrences
from tests.simulation.view import Entry, Keeping, Spell, View

A_DAY = timedelta(days=1)
AN_HOUR = timedelta(hours=1)
FORGOTTEN = timedelta(days=7)
"""What passed unserved longer ago is not recorded any more (A9)."""
LATE = timedelta(minutes=2)
"""How long after its instant something may be decided at the latest, in calm weather."""
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def occurrences_are_the_references(view: View) -> Complaints:
    """A4, A5, A8, I3: what a backup is for is an occurrence of the policy, ends and all."""
    match view.last:
        case BackupRequested(kind="auto", occurrence=Occurrence()) | WindowMissed():
            found = view.last.occurrence
        case _:
            return
    policy = view.keeping(view.last.cache).on
    if found is None or policy is None:
        yield f"{view.last} while no auto backups are made"
    elif found not in _reference(policy, found.day):
        yield f"{found} is no occurrence of {policy.windows} in {policy.timezone}"


def _reference(policy: Policy, day: date) -> list[Occurrence]:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    around = reference_occurrences(policy, since=noon - 2 * A_DAY, until=noon + 2 * A_DAY)
    return [Occurrence(*each) for each in around]


def requests_are_inside_the_window(view: View) -> Complaints:
    """A5, A5b: asked for inside the window, to be begun before it closes; by hand, in an hour."""
    match view.last:
        case BackupRequested(kind="auto"):
            entry = view.entry(view.last)
        case _:
            return
    occurrence, until = entry.occurrence, entry.start_before
    if entry.by_hand:
        if until != view.at + AN_HOUR:
            yield f"{entry.backup_id} was asked for by hand and may start until {until}"
        if occurrence and not occurrence.opens_at <= view.at < occurrence.closes_at:
            yield f"{entry.backup_id} is for {occurrence}, which is not open"
    elif occurrence is None or until != occurrence.closes_at or view.at < occurrence.opens_at:
        yield f"{entry.backup_id} was asked for at {view.at} for {occurrence} until {until}"


def starts_are_inside_the_window(view: View) -> Complaints:
    """A6, I3: every attempt starts inside the window that its backup was asked for in."""
    match view.last:
        case AttemptStarted():
            entry = view.entry(view.last)
        case _:
            return
    if entry.kind != "auto":
        return
    opens_at = entry.occurrence.opens_at if entry.occurrence else _EARLIEST
    if entry.start_before is None or not opens_at <= view.at < entry.start_before:
        yield f"{entry.backup_id} starts at {view.at}, outside {opens_at} to {entry.start_before}"


def retries_keep_to_the_limit(view: View) -> Complaints:
    """A3, A6: no retry past the window, past the number, or after a permanent failure.

    A suspended cache may be in service again before the retry's instant.
    """
    match view.last:
        case RetryScheduled():
            entry, policy = view.entry(view.last), view.caches[view.last.cache].policy
        case _:
            return
    if entry.kind != "auto":
        return
    if policy is None or not policy.auto or entry.attempts > policy.retries:
        yield f"{entry.backup_id} is to be tried again after {entry.attempts} attempts"
    if entry.start_before is None or view.last.retry_at >= entry.start_before:
        yield f"{entry.backup_id} is to be tried again at {view.last.retry_at}: its window closed"
    if entry.failed and entry.failed.failure.permanent:
        yield f"{entry.backup_id} is to be tried again after a permanent failure"


def retries_wait_and_count(view: View) -> Complaints:
    """A6: attempts are counted one by one, and a retry does not start before its instant."""
    match view.last:
        case AttemptStarted():
            entry = view.entry(view.last)
        case _:
            return
    if view.of(AttemptStarted)[entry.backup_id] != view.last.attempt:
        yield f"attempt {view.last.attempt} of {entry.backup_id} is another"
    if entry.retry_at is not None and view.at < entry.retry_at:
        yield f"{entry.backup_id} was to be tried at {entry.retry_at}, not at {view.at}"


def nobody_gives_up_early(view: View) -> Complaints:
    """A6, A7, I3b: given up only when the window closed, by the number, or for good.

    Or when the cache was removed, or its auto backups were turned off; or when its window is
    days away, by a clock that has been set back.
    """
    match view.last:
        case BackupAbandoned() | BackupSkipped():
            entry, policy = view.entry(view.last), view.caches[view.last.cache].on
        case _:
            return
    if entry.kind != "auto" or policy is None or entry.start_before is None:
        return
    if view.at >= entry.start_before or _turned_off(view):
        return
    if view.clock_set and view.at < entry.start_before - 2 * A_DAY:
        return
    if entry.outcome == "skipped":
        yield f"{entry.backup_id} was skipped at {view.at}, and had until {entry.start_before}"
    elif not (entry.failed and entry.failed.failure.permanent) and entry.attempts <= policy.retries:
        yield f"{entry.backup_id} was given up after {entry.attempts} attempts: {view.last.reason}"


def _turned_off(view: View) -> bool:
    return any(
        isinstance(event, CacheRemoved) or (isinstance(event, PolicySet) and not event.policy.auto)
        for event in view.commit
    )


def occurrences_succeed_once(view: View) -> Complaints:
    """P4, I2: one success for an occurrence at most, and no attempt at it after that."""
    match view.last:
        case AttemptStarted() | BackupCompleted():
            entry = view.entry(view.last)
        case _:
            return
    if entry.kind == "auto" and entry.key is not None:
        first = view.caches[entry.cache].successes.get(entry.key, entry.backup_id)
        if first != entry.backup_id:
            yield f"{entry.backup_id} is for {entry.key}, which {first} has served"


def misses_are_recorded_once(view: View) -> Complaints:
    """A9: an occurrence is missed at most once, when it has passed, and not if it was served."""
    match view.last:
        case WindowMissed(occurrence=occurrence):
            keeping = view.caches[view.last.cache]
        case _:
            return
    key = (keeping.term, *occurrence.key)
    if view.at < occurrence.closes_at:
        yield f"{key} is called missed before it closes"
    if keeping.misses[key] > 1 or key in keeping.successes:
        yield f"{key} is missed, and has another outcome"


def misses_have_an_excuse(view: View) -> Complaints:
    """A9: missed only when the daemon was away, or could not act, while the window was open."""
    match view.last:
        case WindowMissed(occurrence=occurrence):
            since = view.calm_since
        case _:
            return
    if since is not None and since <= occurrence.opens_at:
        yield f"{occurrence} was missed, and the daemon was there and well since {since}"


def requests_are_on_time(view: View) -> Complaints:
    """A5: in calm weather an occurrence's backup is asked for at its instant, with room to retry.

    That instant is the same after a restart, and in the window's first half where there are
    retries; it is not known here which it is.
    """
    match view.last:
        case BackupRequested(kind="auto", occurrence=Occurrence() as occurrence):
            entry, keeping = view.entry(view.last), view.caches[view.last.cache]
        case _:
            return
    policy, since = keeping.on, view.calm_since
    if entry.by_hand or policy is None or since is None or since > occurrence.opens_at:
        return
    if any(isinstance(e, BackupSkipped) and e.backup_id == entry.backup_id for e in view.commit):
        return  # asked for only to be skipped: another backup was to serve it
    if keeping.configured_at is not None and keeping.configured_at > occurrence.opens_at:
        return
    if any(entry.by_hand and _reaches(entry, occurrence) for entry in keeping.backups.values()):
        return
    share = 0.5 if policy.retries else 1.0
    latest = occurrence.opens_at + (occurrence.closes_at - occurrence.opens_at) * share
    if view.at > latest + LATE:
        yield f"{entry.backup_id} was asked for at {view.at} for {occurrence}"


def _reaches(entry: Entry, occurrence: Occurrence) -> bool:
    """Whether a backup asked for by hand may have been going to serve an occurrence (A4)."""
    until = entry.start_before
    return entry.kind == "auto" and until is not None and until > occurrence.opens_at


def deletions_are_by_the_rules(view: View) -> Complaints:
    """A2, A11, I4: retention takes what is old enough, of a cache in service, and no other.

    The newest `keep_last` stay, and so do manual backups.
    """
    match view.last:
        case RetentionExpired():
            entry, keeping = view.entry(view.last), view.caches[view.last.cache]
        case _:
            return
    policy = keeping.policy or Policy()
    if entry.kind != "auto" or entry.outcome != "complete" or entry.deletion:
        yield f"{entry.backup_id} is {entry.kind} and {entry.outcome}, and has expired"
    if keeping.suspended or not keeping.here:
        yield f"{entry.backup_id} has expired though {entry.cache} is not in service"
    if entry.taken_at is None or view.at < entry.taken_at + policy.retention_days * A_DAY:
        yield f"{entry.backup_id} of {entry.taken_at} has expired at {view.at}"
    if entry in _newest(keeping, policy.keep_last, view.at):
        yield f"{entry.backup_id} has expired, and is among the newest {policy.keep_last}"


def _newest(keeping: Keeping, number: int, at: datetime) -> list[Entry]:
    """The newest ones; one that a clock has dated ahead is older than all that lie behind."""
    good = [entry for entry in scheduled(keeping) if not entry.suspect and not entry.refuted]
    good.sort(key=lambda entry: (entry.taken_at or entry.asked_at) <= at)
    return good[-number:] if number else []


def _counts(entry: Entry) -> bool:
    return not entry.deletion and not entry.refuted


def expiry_comes_before_deletion(view: View) -> Complaints:
    """A2: why retention takes a backup is in the log before that it does; and only once."""
    match view.last:
        case DeletionRequested(reason="retention"):
            entry = view.entry(view.last)
        case _:
            return
    if not entry.expired or view.of(DeletionRequested)[entry.backup_id] > 1:
        yield f"{entry.backup_id} is to go by retention, and never expired, or went before"


def every_occurrence_has_its_outcome(view: View) -> Complaints:
    """P2, LV4: every occurrence since its policy was set is served, skipped or missed.

    Asked for are those that closed at least two minutes before the policy changed or the end,
    for at most the last seven days before that (A9). An auto backup that was begun inside the
    span serves it, too (A4). Where somebody has set the clock back a policy's time may have run
    twice: what it covers by either run is asked for all the same. Not asked for is what passed
    in the last two minutes, when the clock may have been set between two looks at it, and the
    time of policies that were set or replaced while the clock was days ahead.
    """
    for keeping in view.caches.values():
        for spell in keeping.spells:
            yield from _unaccounted(view, keeping, spell)


def _unaccounted(view: View, keeping: Keeping, spell: Spell) -> Iterator[str]:
    last = spell.until if spell.until is not None else view.wall
    if spell.left_early or spell.doubtful:
        return
    known = keeping.asked | keeping.misses.keys()
    for each in reference_occurrences(spell.policy, since=spell.since - A_DAY, until=last):
        occurrence = Occurrence(*each)
        if not max(spell.since, last - FORGOTTEN) < occurrence.closes_at <= last - LATE:
            continue
        inside = any(occurrence.opens_at <= at < occurrence.closes_at for at in keeping.begun)
        if (spell.term, *occurrence.key) not in known and not inside:
            yield f"nothing became of {occurrence} of {spell.cache}"


def retention_is_done(view: View) -> Complaints:
    """A2, LV3: at the end nothing is kept that retention has released."""
    for name, keeping in view.caches.items():
        policy = keeping.policy or Policy()
        if not keeping.here:
            left = [e.backup_id for e in keeping.backups.values() if e.outcome == "complete"]
            manual = {e.backup_id for e in keeping.backups.values() if e.kind == "manual"}
            if stayed := sorted(set(left) - manual):
                yield f"{name} was removed, and its auto backups {stayed} are there"
            continue
        newest = _newest(keeping, policy.keep_last, view.wall)
        kept = [*newest, *doubted(keeping, policy.keep_last)]
        for entry in keeping.backups.values():
            is_there = entry.kind == "auto" and entry.outcome == "complete" and entry not in kept
            limit = (entry.taken_at or view.wall) + policy.retention_days * A_DAY + LATE
            if is_there and not keeping.suspended and limit < view.wall:
                yield f"{entry.backup_id} of {entry.taken_at} is there at {view.wall}"


ABOUT_AUTO: tuple[Invariant, ...] = (
    occurrences_are_the_references,
    requests_are_inside_the_window,
    starts_are_inside_the_window,
    retries_keep_to_the_limit,
    retries_wait_and_count,
    nobody_gives_up_early,
    occurrences_succeed_once,
    misses_are_recorded_once,
    misses_have_an_excuse,
    requests_are_on_time,
    deletions_are_by_the_rules,
    expiry_comes_before_deletion,
)
AUTO_AT_THE_END: tuple[Invariant, ...] = (every_occurrence_has_its_outcome, retention_is_done)
