"""What is in doubt about a cache's backups: those that are suspect, and copies that are not made.

Pure; two rules for `check` and `status`, in words. What else there is to check stands elsewhere.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

from immutables import Map
from msgspec import Struct

from events.facts import CacheName, Occurrence
from projections.catalog import Backup
from projections.copies import Copy
from projections.freshness import covers
from projections.local import span
from projections.retention import by_age, taken_at
from projections.state import State
from projections.work import copy_is_wanted

LATE = timedelta(hours=6)
"""A copy that has failed is told of when it is so old, or at once when somebody has to act."""


class Doubt(Struct, frozen=True):
    """One rule's verdict on a cache; a `hint` is there unless all is well."""

    rule: Literal["suspect", "copies"]
    level: Literal["ok", "warning"]
    told: str
    hint: str = ""
    code: str = ""


def doubts(state: State, name: CacheName, now: datetime) -> Iterator[Doubt]:
    """The verdicts on one cache, those that there is something to say of."""
    found = suspects(state, name)
    if found:
        yield _suspect(found)
    yield from _copies(state, name, now)


def suspects(state: State, name: CacheName) -> tuple[Backup, ...]:
    """The suspect backups that nobody has acknowledged, oldest snapshot first."""
    of_cache = state.catalog.get(name, Map()).values()
    found = [b for b in of_cache if b.phase == "complete" and b.suspect]
    return tuple(sorted(found, key=lambda backup: (taken_at(backup), backup.backup_id)))


def suspect_for(
    state: State, name: CacheName, occurrence: Occurrence, now: datetime
) -> Backup | None:
    """The newest suspect backup, if it is what an occurrence should have left, or newer."""
    newest = max(suspects(state, name), key=by_age(now), default=None)
    return newest if newest is not None and covers(newest, occurrence, now) else None


def _suspect(found: tuple[Backup, ...]) -> Doubt:
    newest = found[-1]
    reason = newest.suspicion.reason if newest.suspicion else ""
    more = f"; {len(found)} in all, the first is {found[0].name}" if len(found) > 1 else ""
    return Doubt(
        "suspect",
        "warning",
        f"{newest.name} is suspect and does not count as good: {reason}{more}",
        "Find out what became of the data. If it is as it should be: "
        f"`valkeep backup ack {newest.cache}/{newest.name}`; until then the last good ones "
        "before it stay.",
        "suspect",
    )


def _copies(state: State, name: CacheName, now: datetime) -> Iterator[Doubt]:
    there = [
        (backup, copy)
        for backup in state.catalog.get(name, Map()).values()
        if backup.phase == "complete"
        for copy in backup.copies
        if copy.phase == "complete" or copy_is_wanted(state, backup, copy)
    ]
    if not there:
        return
    late = [(backup, copy) for backup, copy in there if _is_late(copy, now)]
    if late:
        yield _late(late, now)
        return
    made = sum(copy.phase == "complete" for _, copy in there)
    vaults = ", ".join(sorted({copy.vault for _, copy in there}))
    yield Doubt("copies", "ok", f"{made} of {len(there)} copies are made, in {vaults}")


def _is_late(copy: Copy, now: datetime) -> bool:
    """Whether a copy has failed so that somebody should know."""
    if copy.phase == "complete" or copy.failure is None or copy.mending:
        return False  # of one that was damaged another rule tells
    return copy.failure.permanent or now - copy.requested_at >= LATE


def _late(late: list[tuple[Backup, Copy]], now: datetime) -> Doubt:
    backup, copy = max(late, key=lambda one: (one[1].requested_at, one[0].backup_id))
    failure = copy.failure
    why, hint, code = (failure.message, failure.hint, failure.code) if failure else ("", "", "")
    more = f"; {len(late)} in all" if len(late) > 1 else ""
    tries = "1 try" if copy.attempts == 1 else f"{copy.attempts} tries"
    wanted = f"wanted for {span(now - copy.requested_at)}, {tries}"
    return Doubt(
        "copies",
        "warning",
        f"{backup.name} has no copy in {copy.vault} ({wanted}): "
        f"{' '.join(why.split()).rstrip('.')}{more}",
        f"{hint.rstrip('.')}. It is tried again by itself.",
        code,
    )
