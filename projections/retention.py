"""Retention: which backups are kept, until when, and why (A2, A10-A12).

Pure: a plan with its reasons. Nothing is deleted here; the same plan answers `why` and
`simulate`, so that what is told and what is done cannot differ.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from immutables import Map
from msgspec import Struct

from events.facts import BackupId, CacheName, Policy
from projections.catalog import Backup
from projections.state import State

SAFETY_DAYS = 7
"""A safety backup is kept at least so long, whatever the policy (A11)."""


class Verdict(Struct, frozen=True):
    """What retention says of one backup: kept or not, why, and until when at least.

    `until` is None where no instant will change it: a manual backup, or one kept as one of the
    newest. `days` is the retention that was applied, 0 where none is.
    """

    backup_id: BackupId
    rule: Literal["manual", "age", "keep-last", "read", "suspended", "expired", "deleting"]
    reason: str
    until: datetime | None = None
    days: int = 0

    @property
    def kept(self) -> bool:
        """Whether it stays for now."""
        return self.rule not in ("expired", "deleting")


class Expiry(Struct, frozen=True):
    """A backup that is to go now, and why."""

    backup_id: BackupId
    taken_at: datetime
    retention_days: int
    reason: str


class Terms(Struct, frozen=True):
    """What a cache's backups are judged by: its policy, who reads them, whether it rests."""

    policy: Policy
    held: frozenset[BackupId] = frozenset()
    suspended: bool = False


def terms_of(state: State, name: CacheName) -> Terms | None:
    """What a living cache's backups are judged by now; None for a cache that was removed."""
    cache = state.caches.get(name)
    if cache is None:
        return None
    of_cache = state.catalog.get(name, Map())
    held = frozenset(backup_id for backup_id in state.held if backup_id in of_cache)
    return Terms(cache.policy or Policy(), held, suspended=cache.suspended is not None)


def verdicts(backups: Iterable[Backup], terms: Terms, now: datetime) -> dict[BackupId, Verdict]:
    """What becomes of each complete backup of one cache at an instant, by these terms."""
    there = sorted(
        (b for b in backups if b.phase in ("complete", "deleting")),
        key=lambda b: (taken_at(b), b.backup_id),
    )
    good = [b.backup_id for b in there if b.kind == "auto" and b.phase == "complete"]
    newest = frozenset(good[-terms.policy.keep_last :] if terms.policy.keep_last else ())
    return {b.backup_id: _verdict(b, terms, now, is_newest=b.backup_id in newest) for b in there}


def taken_at(backup: Backup) -> datetime:
    """The instant that retention counts from: the snapshot's (A2)."""
    return backup.snapshot.taken_at if backup.snapshot else backup.requested_at


def _verdict(backup: Backup, terms: Terms, now: datetime, *, is_newest: bool) -> Verdict:
    mine, policy = backup.backup_id, terms.policy
    if backup.phase == "deleting":
        return Verdict(mine, rule="deleting", reason="it is being deleted")
    if backup.kind == "manual":
        why = "it is a manual backup: it stays until somebody deletes it"
        return Verdict(mine, rule="manual", reason=why)
    days = policy.retention_days if backup.kind == "auto" else _safety_days(policy)
    until = taken_at(backup) + timedelta(days=days)
    if now < until:
        return Verdict(mine, "age", f"it is kept for {_plural(days)}", until, days)
    if terms.suspended:
        why = "its cache is suspended: retention deletes nothing there"
        return Verdict(mine, "suspended", why, None, days)
    if is_newest:
        why = f"it is among the newest {policy.keep_last} scheduled backups (keep_last)"
        if policy.keep_last == 1:
            why = "it is the newest scheduled backup (keep_last 1)"
        return Verdict(mine, "keep-last", why, None, days)
    if mine in terms.held:
        return Verdict(mine, "read", "it is being read; it goes after that", None, days)
    age = f"its snapshot is {_plural((now - taken_at(backup)).days)} old"
    return Verdict(mine, "expired", f"{age}, and it is kept for {_plural(days)}", until, days)


def _safety_days(policy: Policy) -> int:
    return max(policy.retention_days, SAFETY_DAYS)


def _plural(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"


def expired(state: State, name: CacheName, now: datetime) -> tuple[Expiry, ...]:
    """What a cache's retention no longer covers, oldest first; nothing by an impossible clock."""
    terms = terms_of(state, name)
    if terms is None or (state.born_at is not None and now < state.born_at):
        return ()
    of_cache = state.catalog.get(name, Map())
    found = verdicts(of_cache.values(), terms, now).items()
    gone = [(of_cache[backup_id], verdict) for backup_id, verdict in found]
    return tuple(
        Expiry(backup.backup_id, taken_at(backup), verdict.days, verdict.reason)
        for backup, verdict in gone
        if verdict.rule == "expired"
    )


def next_expiry(state: State, name: CacheName, now: datetime) -> datetime | None:
    """The next instant at which a backup of a cache may expire by itself."""
    terms = terms_of(state, name)
    if terms is None:
        return None
    of_cache = state.catalog.get(name, Map())
    found = verdicts(of_cache.values(), terms, now).values()
    return min((v.until for v in found if v.until is not None and v.until > now), default=None)
