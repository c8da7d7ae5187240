"""Deciding on backups as a person sees them: asking for one, deleting one (M1, M2, R4, R8)."""

from daemon.commands import (
    AcknowledgeBackup,
    DeleteBackup,
    ReportDeleted,
    RequestBackup,
    RequestSafetyBackup,
)
from daemon.decide.copies import cleared
from daemon.decide.copy_proofs import given_up
from daemon.decide.decision import (
    Context,
    Decision,
    backup_by_id,
    checked_backup_name,
    known_backup,
    known_cache,
    log_is_whole,
    superseded,
    suspended,
)
from daemon.decide.suspicion import acknowledged
from daemon.errors import Rejected
from events.facts import INSTALLATION, BackupId, BackupName, CacheName
from events.types import BackupRequested, DeletionRequested, Event
from projections import catalog, copies
from projections.state import State


def decide(
    state: State,
    command: RequestBackup | DeleteBackup | ReportDeleted | RequestSafetyBackup | AcknowledgeBackup,
    context: Context,
) -> Decision:
    """The events of one command about a backup."""
    match command:
        case RequestBackup():
            return Decision((_requested(state, command, context),))
        case RequestSafetyBackup():
            return Decision((_safety(state, command, context),))
        case DeleteBackup():
            return Decision(_deletion(state, command), frozenset({INSTALLATION}))
        case AcknowledgeBackup():
            return Decision((acknowledged(state, command),))
        case ReportDeleted():
            backup = backup_by_id(state, command.backup_id)
            if backup.phase != "deleting" or backup.cleared:
                raise superseded(f"The deletion of {command.backup_id}")
            return Decision((cleared(backup),))


def _requested(state: State, command: RequestBackup, context: Context) -> BackupRequested:
    cache = known_cache(state, command.cache)
    name = checked_backup_name(command.name)
    if cache.suspended:
        raise suspended(cache)
    _name_is_free(state, cache.name, name)
    return BackupRequested(
        cache=cache.name,
        backup_id=BackupId(context.new_id),
        kind="manual",
        name=name,
        vault=cache.settings.vault,
    )


def _name_is_free(state: State, cache: CacheName, name: BackupName) -> None:
    for other in catalog.living(state.catalog, cache):
        if other.name == name:
            raise Rejected(
                "backup-exists",
                f"The cache {cache!r} already has a backup {name!r} ({other.backup_id}).",
                f"Choose another name, or delete that one: `valkeep backup delete {cache}/{name}`.",
            )


def _safety(state: State, command: RequestSafetyBackup, context: Context) -> BackupRequested:
    restore = state.restores.get(command.restore_id)
    if restore is None or restore.phase != "started":
        raise superseded(f"Restore {command.restore_id}")
    cache = known_cache(state, restore.target)
    if any(b.restore_id == restore.restore_id for b in state.catalog.get(cache.name, {}).values()):
        raise superseded(f"The request for a safety backup of restore {restore.restore_id}")
    name = BackupName(f"before-restore-{restore.restore_id}")
    _name_is_free(state, cache.name, name)
    return BackupRequested(
        cache=cache.name,
        backup_id=BackupId(context.new_id),
        kind="safety",
        name=name,
        vault=cache.settings.vault,
        restore_id=restore.restore_id,
    )


def _deletion(state: State, command: DeleteBackup) -> tuple[Event, ...]:
    backup = known_backup(state, command.backup)
    log_is_whole(state)
    what = f"Backup {backup.cache}/{backup.name}"
    if backup.phase != "complete":
        raise Rejected(
            "backup-unfinished",
            f"{what} is still being made.",
            f"Wait for its end (`valkeep backup show {backup.backup_id}`), or end it now: "
            f"`valkeep backup cancel {backup.backup_id}`.",
        )
    proving = state.verifications.get(backup.backup_id)
    checks = [proving, *(copy.check for copy in backup.copies)]
    waiting = sum(one is not None and not one.running for one in checks)
    if state.held.get(backup.backup_id, 0) > waiting:
        verified = any(one is not None and one.running for one in checks)
        reader = "verification" if verified else "restore"
        reader = "copy" if copies.running(backup.copies) else reader
        raise Rejected(
            "backup-held",
            f"{what} is being read by a {reader}.",
            f"Wait for the {reader} to end (`valkeep status`), then delete it.",
        )
    asked = DeletionRequested(cache=backup.cache, backup_id=backup.backup_id, reason="command")
    return (*given_up(state, backup, "Somebody deleted the backup."), asked)
