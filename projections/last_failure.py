"""What went wrong last with a cache's backups, and whether one has succeeded since.

Pure. Safety backups are their restore's business; what somebody has cancelled is no failure.
"""

from collections.abc import Iterator
from datetime import datetime

from immutables import Map
from msgspec import Struct

from events.facts import BackupId, CacheName
from projections.catalog import Backup
from projections.local import one_line
from projections.retention import taken_at
from projections.slots import Slot
from projections.state import State


class LastFailure(Struct, frozen=True):
    """One failure about when it happened: what failed, why, and what to do.

    `since` is the first good backup whose snapshot is later.
    """

    at: datetime
    what: str
    why: str
    hint: str = ""
    code: str = ""
    backup_id: BackupId | None = None
    since: Backup | None = None


def last_failure(state: State, name: CacheName, now: datetime) -> LastFailure | None:
    """The newest failure that is still remembered; not what a clock that was ahead has noted."""
    of_cache = [b for b in state.catalog.get(name, Map()).values() if b.kind != "safety"]
    found = [*_of_backups(of_cache), *_missed(state.slots.get(name, ()))]
    newest = max((f for f in found if f.at <= now), key=lambda f: f.at, default=None)
    if newest is None:
        return None
    later = (b for b in of_cache if b.good and taken_at(b) > newest.at)
    first = min(later, key=lambda b: (taken_at(b), b.backup_id), default=None)
    return LastFailure(
        newest.at, newest.what, newest.why, newest.hint, newest.code, newest.backup_id, first
    )


def _of_backups(backups: list[Backup]) -> Iterator[LastFailure]:
    for backup in backups:
        at = backup.attempt_started_at or backup.requested_at
        failure, over = backup.failure, one_line(backup.abandoned or "")
        if backup.phase == "skipped":
            yield LastFailure(
                at, f"{backup.name} was skipped", over, "", "skipped", backup.backup_id
            )
        elif failure is not None and backup.phase in ("waiting", "running", "failed"):
            given_up = f"; given up: {over}" if over else ""
            yield LastFailure(
                at,
                f"{backup.name} failed",
                f"{one_line(failure.message)}{given_up}",
                failure.hint,
                failure.code,
                backup.backup_id,
            )
        elif backup.phase == "failed":
            yield LastFailure(at, f"{backup.name} failed", over, "", "abandoned", backup.backup_id)


def _missed(slots: tuple[Slot, ...]) -> Iterator[LastFailure]:
    for slot in slots:
        if slot.outcome == "missed" and slot.occurrence is not None:
            window = f"{slot.occurrence.start} of {slot.occurrence.day}"
            at = slot.occurrence.closes_at
            yield LastFailure(
                at, f"window {window} was missed", one_line(slot.reason), "", "missed"
            )
