"""Deciding on suspicion: flagging what fell too far, and taking a person's word for it."""

from daemon.commands import AcknowledgeBackup
from daemon.decide.decision import known_backup
from daemon.errors import Rejected
from events.facts import Policy, StoredFacts
from events.suspicions import BackupSuspected, SuspicionAcknowledged
from events.types import Event
from projections.catalog import Backup
from projections.state import State
from projections.suspicion import measured, suspicion


def acknowledged(state: State, command: AcknowledgeBackup) -> SuspicionAcknowledged:
    """A person's word for a suspect backup; refused when nobody has asked for it."""
    backup = known_backup(state, command.backup)
    what = f"Backup {backup.cache}/{backup.name}"
    if backup.suspicion is None:
        raise Rejected(
            "not-suspect",
            f"{what} is not suspect.",
            "There is nothing to acknowledge; `valkeep check` names what is suspect.",
        )
    if backup.acknowledged_at is not None:
        raise Rejected(
            "already-acknowledged",
            f"{what} was acknowledged at {backup.acknowledged_at:%Y-%m-%d %H:%M:%SZ}.",
            "It counts as good since then; nothing is left to do.",
        )
    return SuspicionAcknowledged(cache=backup.cache, backup_id=backup.backup_id)


def suspected(state: State, backup: Backup, stored: StoredFacts) -> tuple[Event, ...]:
    """The flag of a scheduled backup that is just complete, if its figures fell too far (A12)."""
    cache = state.caches.get(backup.cache)
    if backup.kind != "auto" or backup.snapshot is None:
        return ()
    policy = (cache.policy if cache else None) or Policy()
    others = state.catalog[backup.cache].values()
    found = suspicion(others, measured(backup.snapshot, stored), policy.suspect_drop_percent)
    if found is None:
        return ()
    return (BackupSuspected(cache=backup.cache, backup_id=backup.backup_id, suspicion=found),)
