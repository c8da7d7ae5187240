"""What must hold of suspicion, by name: what fell is flagged, and what came before it stays.

Reckoned from the events alone, by the rules of DESIGN 1 and A11, and not by the daemon's code.
"""

from statistics import median_low

from events.facts import Policy
from events.suspicions import BackupSuspected
from events.types import BackupCompleted, RetentionExpired
from tests.simulation.invariants import Complaints, Invariant
from tests.simulation.view import Entry, Keeping, View


def scheduled(keeping: Keeping) -> list[Entry]:
    """The complete scheduled backups that are not going, oldest snapshot first."""
    found = [
        entry
        for entry in keeping.backups.values()
        if entry.kind == "auto" and entry.outcome == "complete" and not entry.deletion
    ]
    return sorted(found, key=lambda entry: (entry.taken_at or entry.asked_at, entry.backup_id))


def doubted(keeping: Keeping, keep_last: int) -> list[Entry]:
    """What stays whatever its age, until somebody says a word on it."""
    there, most = scheduled(keeping), max(1, keep_last)
    suspect = [entry for entry in there if entry.suspect]
    if not suspect:
        return []
    good = [entry for entry in there[: there.index(suspect[0])] if not entry.suspect]
    return [*good[-most:], suspect[0], *suspect[-most:]]


def falls_are_suspected(view: View) -> Complaints:
    """A scheduled backup that fell too far is flagged in the commit that completes it, no other."""
    if not isinstance(view.last, BackupCompleted):
        return
    keeping, new = view.caches[view.last.cache], view.entry(view.last)
    flagged = any(isinstance(event, BackupSuspected) for event in view.commit)
    if flagged != (new.kind == "auto" and _fell(keeping, new)):
        yield f"{new.backup_id} has {new.keys} keys, and flagged is {flagged}"


def _fell(keeping: Keeping, new: Entry) -> bool:
    before = [e for e in scheduled(keeping) if not e.suspect and e is not new]
    said = [number for number, entry in enumerate(before) if entry.acknowledged]
    figures = [entry.keys for entry in (before[said[-1] :] if said else before)][-7:]
    if not figures or (len(figures) < 3 and not said):
        return False
    percent = (keeping.policy or Policy()).suspect_drop_percent
    return percent > 0 and new.keys < median_low(figures) * (1 - percent / 100)


def what_came_before_a_fall_stays(view: View) -> Complaints:
    """A11: until somebody acknowledges, the last good ones before a suspect one are not deleted."""
    if not isinstance(view.last, RetentionExpired):
        return
    keeping, entry = view.caches[view.last.cache], view.entry(view.last)
    if entry in doubted(keeping, (keeping.policy or Policy()).keep_last):
        yield f"{entry.backup_id} has expired, and a suspicion is not settled"


AFTER_EVENTS: tuple[Invariant, ...] = (falls_are_suspected, what_came_before_a_fall_stays)
