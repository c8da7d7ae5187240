"""From history and state to the report's answer: pure functions of one moment. No clock, no I/O."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from daemon.answers import VaultView
from daemon.answers.report import (
    CacheReport,
    DayState,
    DayView,
    MadeView,
    Report,
    RestoreLine,
    VerifiedView,
)
from daemon.api.check import check_line
from daemon.api.proofs_view import assurance_view
from daemon.api.report_troubles import troubles_of
from daemon.api.views import Moment, next_start
from events.facts import BackupId, CacheName, Policy
from projections import catalog
from projections.calendar import Span, calendar, state_of
from projections.catalog import Backup
from projections.checks import LEVELS, Line, worst
from projections.history import History, OfCache, Stored, Story, Taken, stored, taken
from projections.local import local
from projections.policy import window_text
from projections.restores import Restore
from projections.retention import Terms, Verdict, taken_at, terms_of, verdicts

MOST_CACHES = 100
"""More than anybody looks at on one page: the worst ones are told, the others are named."""
MOST_BACKUPS = 20_000
MOST_OF_ONE = 2_000
"""So many backups in all, and of one cache, are told one by one: of each cache the newest."""
MOST_RESTORES = 100


class Wanted(Struct, frozen=True):
    """What the report is about, and what was judged: every rule's verdict.

    `names` are the caches to tell of, `left_out` those that do not fit.
    """

    days: int
    only: CacheName | None
    version: str
    vaults: tuple[VaultView, ...]
    lines: tuple[Line, ...]
    names: tuple[CacheName, ...]
    left_out: tuple[CacheName, ...] = ()


def report_of(moment: Moment, history: History, wanted: Wanted) -> Report:
    """The whole answer."""
    first = moment.now.date() - timedelta(days=wanted.days - 1)
    lines = [line for line in wanted.lines if wanted.only in (None, line.cache) or not line.cache]
    troubles, more = troubles_of(history, since=_start_of(first), until=moment.now)
    return Report(
        now=moment.now,
        version=wanted.version,
        first_day=first,
        days=wanted.days,
        level=worst(lines),
        caches=tuple(_cache(moment, history, name, wanted) for name in wanted.names),
        problems=tuple(check_line(line) for line in lines if line.level != "ok"),
        troubles=troubles,
        more_troubles=more,
        restores=tuple(islice(_restores(moment, wanted.only, _start_of(first)), MOST_RESTORES)),
        vaults=_vaults(moment, wanted),
        cache=wanted.only,
        installation=moment.state.installation,
        left_out=wanted.left_out,
    )


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def names_of(
    moment: Moment, only: CacheName | None, lines: Sequence[Line]
) -> tuple[tuple[CacheName, ...], tuple[CacheName, ...]]:
    """The caches to tell of, and those that do not fit: then the worst ones come first."""
    if only is not None:
        return (only,), ()
    left = {backup.cache for backup in catalog.listed(moment.state.catalog)}
    names = sorted({*moment.state.caches, *left})
    if len(names) > MOST_CACHES:
        levels = {line.cache: -LEVELS.index(line.level) for line in reversed(lines)}
        names.sort(key=lambda name: (levels.get(name, 0), name))
    return tuple(names[:MOST_CACHES]), tuple(sorted(names[MOST_CACHES:]))


def _cache(moment: Moment, history: History, name: CacheName, wanted: Wanted) -> CacheReport:
    state, cache = moment.state, moment.state.caches.get(name)
    policy = (cache.policy if cache else None) or Policy()
    mine = history.caches.get(name, OfCache())
    first = local(moment.now, policy.timezone).date() - timedelta(days=wanted.days - 1)
    counted = cache.scheduled_since if cache and cache.scheduled else None
    if counted is not None:
        counted = max(counted, _start_of(first) - timedelta(days=1))
    days = calendar(mine, policy, Span(first, wanted.days, moment.now, counted))
    there = [b for b in state.catalog.get(name, Map()).values() if b.phase == "complete"]
    backups = tuple(_backups(moment, name, mine, first))
    most = min(MOST_OF_ONE, MOST_BACKUPS // len(wanted.names))
    return CacheReport(
        name=name,
        level=worst(line for line in wanted.lines if line.cache == name),
        timezone=policy.timezone,
        auto=policy.auto,
        days=tuple(DayView(day.day, day.state, day.made, day.told) for day in days),
        backups=backups[-most:],
        verified=VerifiedView(mine.verified.passed, mine.verified.refuted, mine.verified.unproven),
        windows=tuple(window_text(window) for window in policy.windows),
        retention_days=policy.retention_days,
        keep_last=policy.keep_last,
        suspended=cache.suspended if cache else None,
        removed=cache is None,
        living=len(there),
        stored_bytes=sum(b.stored.stored_bytes for b in there if b.stored),
        more=max(0, len(backups) - most),
        next_start=next_start(moment, cache) if cache else None,
        assurance=assurance_view(state, name, moment.now),
    )


def _backups(moment: Moment, name: CacheName, mine: OfCache, first: date) -> Iterator[MadeView]:
    """All that were asked for since the first day, and those that are still there from before."""
    of_cache = moment.state.catalog.get(name, Map())
    terms = terms_of(moment.state, name) or Terms(Policy())
    found = verdicts(of_cache.values(), terms, moment.now)
    listed = {b.backup_id: b for b in of_cache.values() if b.phase == "complete"}
    stories = [
        story
        for story in mine.stories.values()
        if story.at.date() >= first or story.backup_id in listed
    ]
    before = [b for backup_id, b in listed.items() if backup_id not in mine.stories]
    made = [_of_backup(backup, found) for backup in before]
    made += [_of_story(story, found, there=story.backup_id in listed) for story in stories]
    yield from sorted(made, key=lambda one: (one.at, one.backup_id))


class _Facts(Struct, frozen=True):
    """What a story and a backup of the catalog have in common."""

    started_at: datetime | None
    completed_at: datetime | None
    snapshot: Taken | None
    stored: Stored | None


def _made(base: MadeView, facts: _Facts, verdict: Verdict | None) -> MadeView:
    """A backup with its figures, and why it stays."""
    started, ended, snapshot, stored = (
        facts.started_at,
        facts.completed_at,
        facts.snapshot,
        facts.stored,
    )
    return replace(
        base,
        seconds=(ended - started).total_seconds() if started and ended else None,
        fork_seconds=snapshot.fork_seconds if snapshot else None,
        copy_on_write_bytes=snapshot.copy_on_write_bytes if snapshot else None,
        plain_bytes=stored.plain_bytes if stored else None,
        stored_bytes=stored.stored_bytes if stored else None,
        until=verdict.until if verdict and base.there else None,
        kept_by=verdict.rule if verdict and base.there else "",
        kept_because=verdict.reason if verdict and base.there else "",
    )


def _of_story(story: Story, found: Mapping[BackupId, Verdict], *, there: bool) -> MadeView:
    base = MadeView(
        backup_id=story.backup_id,
        name=story.name,
        kind=story.kind,
        vault=story.vault,
        at=story.at,
        state=state_of(story),
        attempts=story.attempts,
        failures=story.failures,
        level=story.level or "",
        there=there,
        gone_at=story.gone_at,
        reason=story.reason,
    )
    facts = _Facts(story.started_at, story.completed_at, story.snapshot, story.stored)
    return _made(base, facts, found.get(story.backup_id))


def _of_backup(backup: Backup, found: Mapping[BackupId, Verdict]) -> MadeView:
    proof = backup.proof
    whole: DayState = "proven" if proof.receipt else "good"
    base = MadeView(
        backup_id=backup.backup_id,
        name=backup.name,
        kind=backup.kind,
        vault=backup.vault,
        at=taken_at(backup),
        state="damaged" if proof.refuted else "suspect" if backup.suspect else whole,
        attempts=backup.attempts,
        level=proof.receipt.level if proof.receipt else "",
        there=True,
    )
    facts = _Facts(
        backup.attempt_started_at,
        backup.completed_at,
        taken(backup.snapshot) if backup.snapshot else None,
        stored(backup.stored) if backup.stored else None,
    )
    return _made(base, facts, found.get(backup.backup_id))


def _restores(moment: Moment, only: CacheName | None, since: datetime) -> Iterator[RestoreLine]:
    """Those that were asked for in these days, newest first."""
    for _, restore in sorted(moment.state.restores.items(), reverse=True):
        concerned = only in (None, restore.target, restore.backup_cache)
        if concerned and restore.requested_at >= since:
            yield _restore(moment, restore)


def _restore(moment: Moment, restore: Restore) -> RestoreLine:
    backup = catalog.get(moment.state.catalog, restore.backup_cache, restore.backup_id)
    result, failure = restore.result, restore.failure
    name = backup.name if backup else restore.backup_id
    return RestoreLine(
        restore_id=restore.restore_id,
        target=restore.target,
        backup=f"{restore.backup_cache}/{name}",
        phase=restore.phase,
        requested_at=restore.requested_at,
        requested_by=restore.requested_by,
        ended_at=restore.ended_at,
        keys=sum(result.keys.values()) if result else None,
        seconds=result.total_seconds if result else None,
        told=result.durability if result else failure.message if failure else "",
        hint=failure.hint if failure else "",
    )


def _vaults(moment: Moment, wanted: Wanted) -> tuple[VaultView, ...]:
    """Where backups lie; for one cache the vaults of its backups only."""
    of_one = moment.state.catalog.get(wanted.only, Map()) if wanted.only else Map()
    used = {b.vault for b in of_one.values()}
    return tuple(one for one in wanted.vaults if wanted.only is None or one.name in used)
