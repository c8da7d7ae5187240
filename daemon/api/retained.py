"""Why a backup is kept or goes, in sentences and figures, and what would change that.

Pure. The verdict is retention's own (`projections.retention`); here it is only put in words.
"""

from collections.abc import Iterator
from datetime import datetime

from immutables import Map
from msgspec import Struct

from daemon.answers.retention import KeptBy, Retained
from events.facts import Policy
from projections.caches import Cache
from projections.catalog import Backup
from projections.copies import reading, running
from projections.retention import (
    SAFETY_DAYS,
    Terms,
    Verdict,
    day_count,
    kept_days,
    newest_of,
    taken_at,
    terms_of,
    verdicts,
)
from projections.state import State


class Case(Struct, frozen=True):
    """One backup at an instant, what retention says of it, and what that depends on.

    `verdict` is None for one that is not stored, `cache` where it was removed. `newer` counts
    the good scheduled backups after this one; `others` are all of its cache.
    """

    now: datetime
    backup: Backup
    terms: Terms
    cache: Cache | None
    verdict: Verdict | None
    newer: int
    impossible: bool
    others: tuple[Backup, ...] = ()
    proving: bool = False

    @property
    def held(self) -> bool:
        """Whether somebody is reading it: its `reader`."""
        return self.backup.backup_id in self.terms.held

    @property
    def reader(self) -> str:
        """Who is reading it, if anybody is."""
        if running(self.backup.copies):
            return "a copy"
        is_proven = self.proving or reading(self.backup.copies) > 0
        return "a verification" if is_proven else "a restore"

    @property
    def reference(self) -> str:
        """How a person names it."""
        return f"{self.backup.cache}/{self.backup.name}"


def retained(state: State, backup: Backup, now: datetime) -> Retained:
    """What retention says of a backup that the catalog holds, whatever became of it."""
    case = _case(state, backup, now)
    verdict = case.verdict
    rule: KeptBy = verdict.rule if verdict else _rule_of_unfinished(backup)
    return Retained(
        now=now,
        backup_id=backup.backup_id,
        cache=backup.cache,
        name=backup.name,
        kind=backup.kind,
        kept=verdict.kept if verdict else rule == "unfinished",
        rule=rule,
        told=_told(case, verdict) if verdict else _told_of_unfinished(case),
        phase=backup.phase,
        taken_at=verdict.taken_at if verdict else None,
        until=verdict.until if verdict else None,
        retention_days=(verdict.days or None) if verdict else None,
        keep_last=(verdict.among or None) if verdict else None,
        being_read=case.held,
        notes=tuple(_notes(case)),
        changes=tuple(_changes(case, rule)),
    )


def _case(state: State, backup: Backup, now: datetime) -> Case:
    of_cache = state.catalog.get(backup.cache, Map())
    held = frozenset(state.held) if backup.backup_id in state.held else frozenset()
    terms = terms_of(state, backup.cache) or Terms(Policy(), held)
    found = verdicts(of_cache.values(), terms, now)
    place = (taken_at(backup), backup.backup_id)
    good = (b for b in of_cache.values() if b.kind == "auto" and b.good)
    return Case(
        now=now,
        backup=backup,
        terms=terms,
        cache=state.caches.get(backup.cache),
        verdict=found.get(backup.backup_id),
        newer=sum((taken_at(one), one.backup_id) > place for one in good),
        impossible=state.born_at is not None and now < state.born_at,
        others=tuple(b for b in of_cache.values() if b.phase == "complete"),
        proving=backup.backup_id in state.verifications,
    )


def _told(case: Case, verdict: Verdict) -> str:
    what = f"{case.backup.kind} backups of {case.backup.cache} are kept {_days(case)}"
    until = _instant(verdict.until)
    match verdict.rule:
        case "manual":
            return "It stays until somebody deletes it: retention does not touch manual backups."
        case "age":
            return f"It is kept until {until}, {_left(case, verdict)} from now: {what}."
        case "keep-last":
            return (
                f"It stays because it is {newest_of(verdict.among)}; its age was over at {until}."
            )
        case "read":
            return (
                f"Its age was over at {until}, and {case.reader} is reading it: it goes after that."
            )
        case "suspect" | "before-suspect":
            return f"It stays, though its age was over at {until}: {verdict.reason}."
        case "suspended":
            return f"It stays: retention deletes nothing of {case.backup.cache}, it is suspended."
        case "expired" if case.impossible:
            return "Its age is over by this clock, which shows an instant before the log's first."
        case "expired":
            return f"It goes: its age was over at {until}; {what}."
        case "deleting":
            return f"It is being deleted: {_deletion(case.backup)}."


def _left(case: Case, verdict: Verdict) -> str:
    left = (verdict.until or case.now) - case.now
    return day_count(left.days) if left.days > 1 else f"{left.total_seconds() / 3600:.1f} hours"


def _days(case: Case) -> str:
    """For how long, and from when."""
    days = kept_days(case.backup, case.terms.policy)
    least = f" (the policy's days, at least {SAFETY_DAYS})" if case.backup.kind == "safety" else ""
    return f"for {day_count(days)} from their snapshot{least}"


def _deletion(backup: Backup) -> str:
    match backup.deletion:
        case "retention":
            return "its retention is over"
        case "cache-removed":
            return "its cache was removed"
        case _:
            return "somebody deleted it"


def _rule_of_unfinished(backup: Backup) -> KeptBy:
    match backup.phase:
        case "failed":
            return "failed"
        case "skipped":
            return "skipped"
        case "cancelled":
            return "cancelled"
        case _:
            return "unfinished"


def _told_of_unfinished(case: Case) -> str:
    backup = case.backup
    match backup.phase:
        case "failed":
            left = (
                "what its attempts left in the vault is being swept"
                if backup.unswept
                else "nothing of it is left in the vault"
            )
            return f"It failed, so there is nothing to keep: {left}."
        case "skipped":
            return "It was never begun, so there is nothing to keep."
        case "cancelled":
            return "It was cancelled before it was complete, so there is nothing to keep."
        case _:
            days = kept_days(backup, case.terms.policy)
            then = (
                f"for {day_count(days)} from its snapshot" if days else "until somebody deletes it"
            )
            return f"It is still being made. Once complete it is kept {then}."


def _notes(case: Case) -> Iterator[str]:
    """What else is true of it."""
    backup, verdict, policy = case.backup, case.verdict, case.terms.policy
    if backup.abandoned:
        yield f"Why: {backup.abandoned}."
    if backup.phase in ("failed", "skipped", "cancelled"):
        yield "It never counts among the newest ones that are kept (keep_last)."
    yield from _damage(backup)
    if verdict is None:
        return
    if verdict.rule == "age" and verdict.among:
        yield f"It is {newest_of(verdict.among)}: while that is so, it stays after its age is over."
    yield from _of_suspicion(backup, verdict)
    if verdict.rule == "suspended" and case.cache and case.cache.suspended:
        yield f"Suspended because {case.cache.suspended}."
    if case.held and verdict.rule != "read":
        yield f"{case.reader.capitalize()} is reading it: nothing removes it before that has ended."
    if verdict.rule == "deleting" and not case.held:
        yield "Its deletion is tried until the vault confirms it."
    if case.cache is None:
        yield f"The cache {backup.cache} was removed; its manual backups stay."
    elif backup.kind != "manual" and not policy.auto and verdict.rule != "deleting":
        yield f"Auto backups of {backup.cache} are off; the retention of what exists goes on."


def _of_suspicion(backup: Backup, verdict: Verdict) -> Iterator[str]:
    if backup.suspect and backup.suspicion is not None:
        yield f"It is suspect, and does not count as good: {backup.suspicion.reason}."
    if verdict.rule == "age" and verdict.guarded:
        yield "It stays after its age is over, until a suspect backup is acknowledged or deleted."


def _damage(backup: Backup) -> Iterator[str]:
    if backup.proof.refuted is not None:
        yield "It failed its verification, and does not count among the newest ones (keep_last)."


def _changes(case: Case, rule: KeptBy) -> Iterator[str]:
    """What would change the verdict, each with its command where there is one."""
    if rule in ("age", "keep-last", "suspect", "before-suspect", "read", "expired"):
        yield from _by_policy(case, rule)
    if rule == "suspended":
        set_it = f"valkeep cache set {case.backup.cache} --url …"
        yield f"retention goes on when the cache is declared again, or taken over: {set_it}"
        yield f"valkeep cache remove {case.backup.cache} deletes it with the cache"
    if rule in ("suspect", "before-suspect"):
        yield f"`valkeep backup ack` of {_suspects(case)}: the drop is as it should be"
    if (
        rule in ("manual", "age", "keep-last", "suspect", "before-suspect", "suspended")
        and not case.held
    ):
        yield f"valkeep backup delete {case.reference} deletes it now"


def _suspects(case: Case) -> str:
    """Which backups are suspect, the first of them."""
    suspect = sorted((taken_at(b), f"{b.cache}/{b.name}") for b in case.others if b.suspect)
    more = f" and {len(suspect) - 3} more" if len(suspect) > 3 else ""
    return ", ".join(name for _, name in suspect[:3]) + more


def _by_policy(case: Case, rule: KeptBy) -> Iterator[str]:
    policy, name = case.terms.policy, case.backup.cache
    where = f"valkeep policy set {name} {'' if policy.auto else '--auto '}--retention-days N"
    if case.cache is not None and case.cache.policy_declared:
        where = f"retention_days in [caches.{name}.policy] of {case.cache.file}"
    yield f"{where} changes the days, for this backup too"
    if rule == "keep-last":
        needed = policy.keep_last - case.newer
        more = "one newer backup is" if needed == 1 else f"{needed} newer backups are"
        yield f"it goes as soon as {more} complete, scheduled ones of {name}"
        yield "keep_last 0 gives the plain rule: then it goes at once"


def _instant(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%SZ}" if at else "no time"
