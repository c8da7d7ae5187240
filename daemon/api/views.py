"""From state to answers: pure functions of one moment. No clock, no I/O."""

from collections.abc import Callable, Iterable
from datetime import datetime

from immutables import Map
from msgspec import Struct

from daemon.answers import (
    BackupDetail,
    BackupView,
    CacheView,
    CopyView,
    LocalTime,
    ProgressView,
    RestoreView,
    StartView,
)
from daemon.api.hooks_view import run_views
from daemon.api.places import Occupied, waits_for_a_place
from daemon.api.proofs_view import assurance_view, copies_views, copy_proof_view, proof_view
from daemon.api.seams import Standings
from daemon.api.undo_view import undo_view
from events.facts import Policy
from projections import catalog
from projections.caches import Cache
from projections.capacity import capacity
from projections.catalog import Backup
from projections.checks import clock_is_impossible
from projections.copies import Copy
from projections.freshness import newest_good, newest_of_any
from projections.local import local
from projections.policy import window_text
from projections.restores import Restore
from projections.schedule import Start, starts
from projections.state import State
from projections.undo import safety_of
from projections.work import waits_for


class Moment(Struct, frozen=True):
    """What an answer is made of: the durable state, the instant, and the progress board."""

    state: State
    now: datetime
    board: Standings


def progress_view(moment: Moment, work_id: str) -> ProgressView | None:
    """How far running work is, if anybody works on it now."""
    standing = moment.board.standing(work_id)
    if standing is None:
        return None
    return ProgressView(
        phase=standing.phase,
        seconds=(moment.now - standing.started_at).total_seconds(),
        phase_seconds=(moment.now - standing.phase_started_at).total_seconds(),
        moved_bytes=standing.moved_bytes,
        total_bytes=standing.total_bytes,
    )


def backup_view(moment: Moment, backup: Backup, places: Occupied | None = None) -> BackupView:
    """One backup as a line of a list; `places` where many that may wait are looked at."""
    snapshot, stored = backup.snapshot, backup.stored
    totals = stored.totals if stored else None
    needs = capacity(snapshot, stored) if stored else None
    return BackupView(
        backup_id=backup.backup_id,
        cache=backup.cache,
        name=backup.name,
        kind=backup.kind,
        phase=backup.phase,
        vault=backup.vault,
        requested_at=backup.requested_at,
        requested_by=backup.requested_by,
        attempts=backup.attempts,
        taken_at=snapshot.taken_at if snapshot else None,
        completed_at=backup.completed_at,
        plain_bytes=stored.plain_bytes if stored else None,
        stored_bytes=stored.stored_bytes if stored else None,
        keys=totals.keys if totals else None,
        engine=f"{snapshot.server.engine} {snapshot.server.version}" if snapshot else None,
        restore_id=backup.restore_id,
        being_read=backup.backup_id in moment.state.held,
        waits_for=_waits_for(moment, backup, places),
        progress=progress_view(moment, backup.backup_id),
        failure=backup.failure,
        abandoned=backup.abandoned,
        occurrence=backup.occurrence,
        start_before=backup.start_before,
        retry_at=backup.not_before,
        deferred=backup.deferred,
        encrypted=bool(stored and stored.recipients),
        copies=tuple(copy_view(moment, backup, copy) for copy in backup.copies),
        suspicion=backup.suspicion,
        acknowledged_at=backup.acknowledged_at,
        proof=proof_view(moment.state, backup, moment.now),
        memory_bytes=needs.memory_bytes if needs else None,
        memory_estimated=needs is not None and needs.estimated,
        imported_from=backup.origin.source if backup.origin else None,
    )


def copy_view(moment: Moment, backup: Backup, copy: Copy) -> CopyView:
    """One copy of a backup."""
    return CopyView(
        vault=copy.vault,
        phase=copy.phase,
        wanted_by=copy.wanted_by,
        requested_at=copy.requested_at,
        attempts=copy.attempts,
        completed_at=copy.completed_at,
        retry_at=copy.not_before,
        failure=copy.failure,
        progress=progress_view(moment, f"{backup.backup_id} in {copy.vault}"),
        proof=copy_proof_view(moment.state, copy, moment.now),
        mending=copy.mending,
        mended_at=copy.mend.mended_at if copy.mend else None,
        damaged=copy.proof.refuted or (copy.mend.found if copy.mend else None),
    )


def _waits_for(moment: Moment, backup: Backup, places: Occupied | None) -> str | None:
    if backup.phase == "deleting":
        return _deletion_waits_for(moment.state, backup)
    if backup.phase != "waiting":
        return None
    if backup.unswept:
        return "what its last attempt left in the vault is being swept"
    by_rule = waits_for(moment.state, backup, moment.now)
    return by_rule or waits_for_a_place(moment.state, backup, places)


def _deletion_waits_for(state: State, backup: Backup) -> str | None:
    if backup.backup_id in state.held:
        return "a restore, an export, a copy or a verification reads it"
    if backup.stuck:
        return "a call to the vault has not returned yet"
    if state.recovery.ahead:
        return "the log went back: nothing is deleted until `valkeep recover`"
    return None


def local_time(at: datetime, policy: Policy) -> LocalTime:
    """An instant as a policy's zone tells it."""
    there = local(at, policy.timezone)
    return LocalTime(at=at, local=there, zone=there.tzname() or "UTC")


def start_view(cache: Cache, start: Start) -> StartView:
    """A start to come, as its policy's zone tells it."""
    policy = cache.policy or Policy()
    told = local_time(start.at, policy)
    opens = start.occurrence.start
    window = next((w for w in policy.windows if w.start == opens), None)
    return StartView(
        at=told.at,
        local=told.local,
        zone=told.zone,
        occurrence=start.occurrence,
        window=window_text(window) if window else opens,
    )


def next_start(moment: Moment, cache: Cache) -> StartView | None:
    """The next start of a cache, if one comes within three days."""
    if clock_is_impossible(moment.state, moment.now):
        return None
    start = next(starts(moment.state, cache.name, moment.now), None)
    return start_view(cache, start) if start else None


def backup_detail(
    moment: Moment, backup: Backup, locate: Callable[[Backup], tuple[str, ...]]
) -> BackupDetail:
    """One backup with all that is known of it."""
    return BackupDetail(
        now=moment.now,
        backup=backup_view(moment, backup),
        objects=locate(backup) if backup.phase == "complete" else (),
        snapshot=backup.snapshot,
        stored=backup.stored,
        undo=undo_view(moment.state, backup.cache, of=backup.restore_id or ""),
        hooks=run_views(moment.state, backup.backup_id),
    )


def backups_of(state: State, cache: str | None, *, unfinished: bool) -> tuple[Backup, ...]:
    """Backups that exist, and if wanted all that were asked for; oldest first."""
    names = sorted(state.catalog) if cache is None else [c for c in state.catalog if c == cache]
    asked_for = ("complete", "waiting", "running", "failed", "skipped", "cancelled")
    wanted = asked_for if unfinished else ("complete",)
    found = [b for name in names for b in state.catalog[name].values() if b.phase in wanted]
    return tuple(sorted(found, key=lambda b: (b.requested_at, b.backup_id)))


def cache_view(
    moment: Moment, cache: Cache, *, probe: bool, restores: Iterable[Restore] | None = None
) -> CacheView:
    """One cache; a safety backup is not its newest one (A12). `restores` as for `pace`."""
    of_cache = moment.state.catalog.get(cache.name, Map())
    complete = [b for b in of_cache.values() if b.phase == "complete"]
    scheduled = newest_good(moment.state, cache.name, moment.now)
    newest = newest_of_any(moment.state, cache.name, moment.now)
    failed = max(
        (b for b in of_cache.values() if b.phase == "failed" and b.kind != "safety"),
        key=lambda b: (b.requested_at, b.backup_id),
        default=None,
    )
    if failed and newest and failed.requested_at < newest.requested_at:
        failed = None
    return CacheView(
        name=cache.name,
        settings=cache.settings,
        declared=cache.declared,
        added_at=cache.added_at,
        backups=len(complete),
        stored_bytes=sum(b.stored.stored_bytes for b in complete if b.stored),
        suspended=cache.suspended,
        probe=cache.probe if probe else None,
        probed_at=cache.probed_at,
        newest=backup_view(moment, newest) if newest else None,
        failed=backup_view(moment, failed) if failed else None,
        scheduled=backup_view(moment, scheduled) if scheduled else None,
        next_start=next_start(moment, cache) if probe else None,
        assurance=assurance_view(moment.state, cache.name, moment.now, restores),
        copies=copies_views(moment.state, cache.name),
        undo=undo_view(moment.state, cache.name),
    )


def restore_view(moment: Moment, restore: Restore) -> RestoreView:
    """One restore, with the backup it restores and the one made before it."""
    backup = catalog.get(moment.state.catalog, restore.backup_cache, restore.backup_id)
    safety = safety_of(moment.state, restore)
    ended = restore.ended
    return RestoreView(
        restore_id=restore.restore_id,
        target=restore.target,
        backup_id=restore.backup_id,
        backup_cache=restore.backup_cache,
        backup_name=backup.name if backup else None,
        phase=restore.phase,
        replace=restore.replace,
        safety_backup=restore.safety_backup,
        force=restore.force,
        requested_at=restore.requested_at,
        requested_by=restore.requested_by,
        ended_at=restore.ended_at,
        plan=restore.plan,
        result=restore.result,
        failure=restore.failure,
        undone=ended.undone if ended else None,
        command=ended.command if ended else None,
        by_hand=ended.by_hand if ended else (),
        safety=backup_view(moment, safety) if safety else None,
        progress=progress_view(moment, restore.restore_id),
        vault=restore.vault,
        undoes=restore.undoes,
        undo=undo_view(moment.state, restore.target, of=restore.restore_id),
        hooks=run_views(moment.state, restore.restore_id),
    )
