"""Deciding on restores: accepting, planning, starting, ending, undoing (R2, R3, R7, R8)."""

from typing import Literal

from daemon.commands import (
    ReportPlan,
    ReportRestored,
    ReportRestoreFailed,
    ReportUndone,
    RequestRestore,
    StartRestore,
)
from daemon.decide.decision import Context, Decision, known_backup, known_cache, superseded
from daemon.decide.restores_by_keys import again, forcible, kept, overwrites, wished
from daemon.errors import BadRequest, Rejected
from events.facts import (
    INSTALLATION,
    Failure,
    Finding,
    RestoreId,
    VaultName,
    cache_stream,
)
from events.types import (
    Event,
    RestoreCompleted,
    RestoreFailed,
    RestoreInterrupted,
    RestorePlanned,
    RestoreRequested,
    RestoreStarted,
)
from projections.catalog import Backup
from projections.copies import complete_in
from projections.copy_words import why_no_copy
from projections.restores import Restore
from projections.state import State
from projections.undo import safety_of

FORCIBLE = frozenset({"engine-version", "memory"})
"""Blockers of a restore by replication that ``--force`` overrides (R2)."""

Serves = Literal["old", "new", "unknown"]
_Report = ReportPlan | StartRestore | ReportRestored | ReportRestoreFailed | ReportUndone


def decide(state: State, command: RequestRestore | _Report, context: Context) -> Decision:
    """The events of one command about a restore."""
    if isinstance(command, RequestRestore):
        event = _requested(state, command, context)
        return Decision((event,), frozenset({INSTALLATION, cache_stream(event.backup_cache)}))
    restore = _active(state, command.restore_id)
    match command:
        case ReportPlan():
            return Decision(_planned(restore, command))
        case StartRestore():
            return Decision((_started(restore, command),))
        case ReportRestored():
            return Decision((_completed(restore, command),))
        case ReportRestoreFailed():
            if restore.phase == "undoing":
                raise superseded(f"Restore {restore.restore_id}")
            return Decision((stopped(restore, command.failure),))
        case ReportUndone():
            return Decision((_undone(state, restore, command),))


def _active(state: State, restore_id: RestoreId) -> Restore:
    restore = state.restores.get(restore_id)
    if restore is None or state.active.get(restore.target) != restore_id:
        raise superseded(f"Restore {restore_id}")
    return restore


def _requested(state: State, command: RequestRestore, context: Context) -> RestoreRequested:
    target = known_cache(state, command.to)
    backup = known_backup(state, command.backup)
    if backup.phase != "complete":
        raise Rejected(
            "backup-unfinished",
            f"Backup {backup.cache}/{backup.name} is not complete yet.",
            f"Wait for its end: `valkeep backup show {backup.backup_id}`.",
        )
    vault = read_from(backup, command.vault)
    running = state.active.get(target.name)
    if running is not None:
        raise Rejected(
            "restore-running",
            f"Restore {running} into {target.name!r} has not ended.",
            "Wait for it: `valkeep status` shows how far it is.",
        )
    allowed = forcible(command.method, FORCIBLE)
    unknown = sorted(set(command.force) - allowed)
    if unknown:
        raise BadRequest(
            "force",
            f"{', '.join(unknown)} cannot be forced.",
            f"Only these findings can be overridden: {', '.join(sorted(allowed))}.",
        )
    return RestoreRequested(
        cache=target.name,
        restore_id=RestoreId(context.new_id),
        backup_id=backup.backup_id,
        backup_cache=backup.cache,
        replace=command.replace,
        safety_backup=command.safety_backup,
        force=tuple(sorted(command.force)),
        vault=vault,
        method=command.method,
        keys=wished(command),
    )


def read_from(backup: Backup, vault: str | None) -> VaultName | None:
    """The vault that a restore reads from, if one is said; it has the backup, or `Rejected`."""
    there = (backup.vault, *complete_in(backup.copies))
    if vault is None or vault in there:
        return None if vault is None else VaultName(vault)
    raise Rejected("no-copy", *why_no_copy(backup, VaultName(vault)))


def blocking(findings: tuple[Finding, ...], force: tuple[str, ...]) -> tuple[Finding, ...]:
    """The blockers that no override lifts."""
    return tuple(
        finding
        for finding in findings
        if finding.level == "blocker" and not (finding.forcible and finding.code in force)
    )


def _planned(restore: Restore, command: ReportPlan) -> tuple[Event, ...]:
    if restore.phase != "requested":
        raise superseded(f"The plan of restore {restore.restore_id}")
    plan = command.plan
    blockers = blocking(plan.findings, restore.force)
    forced = {f.code for f in plan.findings if f.level == "blocker"} - {f.code for f in blockers}
    planned = RestorePlanned(
        cache=restore.target,
        restore_id=restore.restore_id,
        plan=plan,
        forced=tuple(sorted(forced)),
    )
    refusal = _refusal(restore, blockers, plan.target_keys) or overwrites(restore, plan)
    return (planned,) if refusal is None else (planned, stopped(restore, refusal))


def _refusal(restore: Restore, blockers: tuple[Finding, ...], target_keys: int) -> Failure | None:
    if blockers:
        first = blockers[0]
        more = f" (and {len(blockers) - 1} more)" if len(blockers) > 1 else ""
        return Failure(
            code=first.code, message=f"{first.message}{more}", hint=first.hint, permanent=True
        )
    if restore.keys is not None:
        return None
    if target_keys and not restore.replace:
        return Failure(
            code="not-empty",
            message=f"The cache {restore.target!r} holds {target_keys:,} keys.",
            hint="Add --replace to overwrite them; a safety backup is made first.",
            permanent=True,
        )
    return None


def _started(restore: Restore, command: StartRestore) -> RestoreStarted:
    if restore.phase != "planned":
        raise superseded(f"Restore {restore.restore_id}")
    return RestoreStarted(
        cache=restore.target,
        restore_id=restore.restore_id,
        run_id=command.run_id,
        old_settings=command.old_settings,
        changes=command.changes,
        listener=command.listener,
        replication_id=command.replication_id,
    )


def _completed(restore: Restore, command: ReportRestored) -> RestoreCompleted:
    if restore.phase != "started":
        raise superseded(f"Restore {restore.restore_id}")
    return RestoreCompleted(
        cache=restore.target, restore_id=restore.restore_id, result=command.result
    )


def stopped(restore: Restore, failure: Failure) -> RestoreInterrupted | RestoreFailed:
    """A restore goes no further: it has failed, or what it changed must be undone first.

    One by keys has changed nothing but keys, and leaves them (R7).
    """
    if restore.keys is None and restore.phase in ("started", "undoing"):
        return RestoreInterrupted(
            cache=restore.target, restore_id=restore.restore_id, failure=failure
        )
    return RestoreFailed(
        cache=restore.target,
        restore_id=restore.restore_id,
        failure=failure,
        undone=True,
        command=_again(restore),
        by_hand=kept(restore),
        serves="unknown" if restore.phase == "started" else "old",
    )


def _undone(state: State, restore: Restore, command: ReportUndone) -> RestoreFailed:
    if restore.phase != "undoing" or restore.failure is None:
        raise superseded(f"The undoing of restore {restore.restore_id}")
    failure, serves = restore.failure, _serves(state, restore, command)
    if command.loaded:
        told = f"{failure.message} The target had loaded the backup by then and serves its data."
        failure = Failure(
            code=failure.code, message=told, hint=failure.hint, permanent=failure.permanent
        )
    return RestoreFailed(
        cache=restore.target,
        restore_id=restore.restore_id,
        failure=failure,
        undone=True,
        command=_again(restore, serves),
        by_hand=command.notes,
        serves=serves,
    )


def _serves(state: State, restore: Restore, command: ReportUndone) -> Serves:
    """Nothing is sent before the safety backup is complete: without it the data is the old."""
    if command.loaded:
        return "new"
    safety = safety_of(state, restore)
    is_kept = safety is not None and safety.stored is not None
    may_be_new = is_kept or restore.plan is None or not restore.plan.safety_backup
    is_unsure = command.restarted or restore.method == "keys"
    return "unknown" if is_unsure and may_be_new else "old"


def _again(restore: Restore, serves: Serves = "old") -> str:
    force = "".join(f" --force {code}" for code in restore.force)
    safety = "" if restore.safety_backup else " --no-safety-backup"
    place = f" --from {restore.vault}" if restore.vault else ""
    if restore.undoes is not None and serves == "old":
        return f"valkeep restore undo {restore.target}{place}{force}"
    more = f"{place}{force}{safety}{again(restore)}"
    return f"valkeep restore {restore.backup_id} --to {restore.target}{more}"
