"""Retention: which backups are kept, until when, and why (A2, A10-A12).

Pure: a plan with its reasons. Nothing is deleted here; the same plan answers `why` and
`simulate`, so that what is told and what is done cannot differ.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Literal

from immutables import Map
from msgspec import Struct

from events.facts import BackupId, CacheName, Policy
from projections.catalog import Backup
from projections.state import State

SAFETY_DAYS = 7
"""A safety backup is kept at least so long, whatever the policy (A11)."""

Rule = Literal[
    "manual",
    "age",
    "keep-last",
    "suspect",
    "before-suspect",
    "read",
    "suspended",
    "expired",
    "deleting",
]


class Verdict(Struct, frozen=True):
    """What retention says of one backup at an instant: kept or not, by which rule, until when.

    `until` is when its age is over, None for one that no age ends. `days` is the retention that
    was applied, 0 where none is. `among` is the policy's `keep_last` where the backup is among
    these newest ones: then it stays, whatever its age. So does one that is `guarded`: it is
    suspect, or one of the last good ones before a suspect one.
    """

    backup_id: BackupId
    rule: Rule
    at: datetime
    taken_at: datetime
    days: int = 0
    until: datetime | None = None
    among: int = 0
    guarded: bool = False

    @property
    def kept(self) -> bool:
        """Whether it stays for now."""
        return self.rule not in ("expired", "deleting")

    @property
    def reason(self) -> str:
        """Why, in words and figures."""
        match self.rule:
            case "manual":
                return "it is a manual backup: it stays until somebody deletes it"
            case "age":
                return f"it is kept for {day_count(self.days)}"
            case "suspended":
                return "its cache is suspended: retention deletes nothing there"
            case "keep-last":
                return f"it is {newest_of(self.among)}"
            case "suspect":
                return "it is suspect, and stays until somebody acknowledges or deletes it"
            case "before-suspect":
                return "it is among the last good ones before a suspect backup"
            case "read":
                return f"{self._age}; it is being read, and goes after that"
            case "expired":
                return self._age
            case "deleting":
                return "it is being deleted"

    @property
    def _age(self) -> str:
        old = day_count((self.at - self.taken_at).days)
        return f"its snapshot is {old} old, and it is kept for {day_count(self.days)}"


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
    """What becomes of each stored backup of one cache at an instant, oldest first (`by_age`)."""
    there = [backup for backup in backups if backup.phase in ("complete", "deleting")]
    ordered = sorted(there, key=by_age(now))
    newest = _newest(ordered, terms.policy.keep_last)
    # By their dates alone: what a suspicion guards may only be more than by a better order.
    guard = guarded(ordered, terms.policy.keep_last)
    return {
        backup.backup_id: _verdict(
            backup, terms, now, Standing(backup.backup_id in newest, backup.backup_id in guard)
        )
        for backup in ordered
    }


class Standing(Struct, frozen=True):
    """Whether a backup is `among` the newest good ones, and whether a suspicion `guards` it."""

    among: bool
    guarded: bool


def _newest(there: list[Backup], keep_last: int) -> frozenset[BackupId]:
    """The newest good scheduled backups (A11, A12): no failed, manual or safety one counts."""
    found = [b.backup_id for b in there if b.kind == "auto" and b.good]
    return frozenset(found[-keep_last:] if keep_last else ())


def _guarded(there: list[Backup], keep_last: int) -> frozenset[BackupId]:
    """What stays until somebody has said whether a suspect backup is right.

    Nobody knows yet on which side the truth is, so both stay, whatever their age and whatever
    `keep_last` (but one at least): the last good ones before the first suspect one, and on its
    side the first and the newest. Those in between go by their age.
    """
    scheduled = [b for b in there if b.kind == "auto" and b.phase == "complete"]
    suspect = [number for number, backup in enumerate(scheduled) if backup.suspect]
    if not suspect:
        return frozenset()
    most = max(1, keep_last)
    before = [b for b in scheduled[: suspect[0]] if b.good][-most:]
    doubted = [scheduled[number] for number in (suspect[0], *suspect[-most:])]
    return frozenset(backup.backup_id for backup in (*before, *doubted))


def guarded(backups: Iterable[Backup], keep_last: int) -> frozenset[BackupId]:
    """The backups of a cache that stay because of a suspicion, whatever their age."""
    return _guarded(sorted(backups, key=lambda b: (taken_at(b), b.backup_id)), keep_last)


def by_age(now: datetime) -> Callable[[Backup], tuple[bool, datetime, BackupId]]:
    """What sorts backups from the oldest to the newest, as far as can be known at an instant.

    One whose snapshot lies ahead was dated by a clock that was wrong: all that is known of it is
    that it is older than what is made from now on, so it never takes the place of the newest.
    """

    def order(backup: Backup) -> tuple[bool, datetime, BackupId]:
        at = taken_at(backup)
        return at <= now, at, backup.backup_id

    return order


def taken_at(backup: Backup) -> datetime:
    """The instant that retention counts from: the snapshot's (A2)."""
    return backup.snapshot.taken_at if backup.snapshot else backup.requested_at


def kept_days(backup: Backup, policy: Policy) -> int:
    """For how many days a backup is kept by its age, 0 for one that no age ends (A2, A11)."""
    match backup.kind:
        case "manual":
            return 0
        case "auto":
            return policy.retention_days
        case "safety":
            return max(policy.retention_days, SAFETY_DAYS)


def kept_until(backup: Backup, policy: Policy) -> datetime | None:
    """When a backup's age is over, by a policy; None for one that no age ends."""
    days = kept_days(backup, policy)
    return taken_at(backup) + timedelta(days=days) if days else None


def _verdict(backup: Backup, terms: Terms, now: datetime, standing: Standing) -> Verdict:
    until = kept_until(backup, terms.policy)
    return Verdict(
        backup.backup_id,
        _rule(backup, terms, standing, over=until is not None and until <= now),
        at=now,
        taken_at=taken_at(backup),
        days=kept_days(backup, terms.policy),
        until=until,
        among=terms.policy.keep_last if standing.among else 0,
        guarded=standing.guarded,
    )


def _rule(backup: Backup, terms: Terms, standing: Standing, *, over: bool) -> Rule:
    if backup.phase == "deleting":
        return "deleting"
    if backup.kind == "manual":
        return "manual"
    if terms.suspended:
        return "suspended"
    if not over:
        return "age"
    if standing.among:
        return "keep-last"
    if standing.guarded:
        return "suspect" if backup.suspect else "before-suspect"
    return "read" if backup.backup_id in terms.held else "expired"


def newest_of(keep_last: int) -> str:
    """In words, that a backup is among the newest ones that no retention deletes."""
    if keep_last == 1:
        return "the newest scheduled backup (keep_last 1)"
    return f"among the newest {keep_last} scheduled backups (keep_last)"


def day_count(days: int) -> str:
    """``1 day``, ``7 days``."""
    return "1 day" if days == 1 else f"{days} days"


def expired(state: State, name: CacheName, now: datetime) -> tuple[Expiry, ...]:
    """What a cache's retention no longer covers, oldest first; nothing by an impossible clock."""
    terms = terms_of(state, name)
    if terms is None or (state.born_at is not None and now < state.born_at):
        return ()
    found = verdicts(state.catalog.get(name, Map()).values(), terms, now).values()
    return tuple(
        Expiry(verdict.backup_id, verdict.taken_at, verdict.days, verdict.reason)
        for verdict in found
        if verdict.rule == "expired"
    )


def next_expiry(state: State, name: CacheName, now: datetime) -> datetime | None:
    """The next instant at which a backup of a cache may expire by itself.

    One that only waits for its reader is not among them: see `released`.
    """
    terms = terms_of(state, name)
    if terms is None:
        return None
    found = verdicts(state.catalog.get(name, Map()).values(), terms, now).values()
    aging = [v for v in found if v.rule == "age" and v.until is not None]
    # Where a snapshot's instant lies ahead the order is another one from then on (`by_age`).
    ahead = [v.taken_at for v in aging if v.taken_at > now]
    return min((*ahead, *(v.until for v in aging if v.until is not None)), default=None)


def released(*, before: State, after: State) -> frozenset[CacheName]:
    """The caches of backups that were being read and are no longer.

    The reader may belong to another cache, whose stream alone tells of its end (R8).
    """
    if before.held is after.held:
        return frozenset()
    readers = (before.restores[restore_id] for restore_id in before.active.values())
    return frozenset(r.backup_cache for r in readers if r.backup_id not in after.held)
