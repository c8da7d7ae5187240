"""Restores: which were asked for, how far they are, and how they ended.

Knows what was changed on a target, so that it can be undone (R7). Keyed by id; at most one
restore into a cache is active.
"""

from datetime import datetime
from typing import Literal

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from events.envelope import Envelope
from events.facts import (
    BackupId,
    CacheName,
    Failure,
    RestoreId,
    RestorePlan,
    RestoreResult,
    VaultName,
)
from events.moves import KeysWish, RestoreMethod
from events.types import (
    RestoreCompleted,
    RestoreFailed,
    RestoreInterrupted,
    RestorePlanned,
    RestoreRequested,
    RestoreStarted,
)

Phase = Literal["requested", "planned", "started", "undoing", "completed", "failed"]
ACTIVE: frozenset[Phase] = frozenset({"requested", "planned", "started", "undoing"})


class Restore(Struct, frozen=True):
    """One restore into a running cache."""

    restore_id: RestoreId
    target: CacheName
    backup_id: BackupId
    backup_cache: CacheName
    replace: bool
    safety_backup: bool
    force: tuple[str, ...]
    requested_at: datetime
    requested_by: str
    vault: VaultName | None = None
    method: RestoreMethod = "replication"
    keys: KeysWish | None = None
    undoes: RestoreId | None = None
    phase: Phase = "requested"
    plan: RestorePlan | None = None
    started: RestoreStarted | None = None
    failure: Failure | None = None
    result: RestoreResult | None = None
    ended: RestoreFailed | None = None
    ended_at: datetime | None = None


Restores = Map[RestoreId, Restore]
RestoreEvent = (
    RestoreRequested
    | RestorePlanned
    | RestoreStarted
    | RestoreCompleted
    | RestoreInterrupted
    | RestoreFailed
)


def evolve(restores: Restores, envelope: Envelope, event: RestoreEvent) -> Restores:
    """The restores after one more event."""
    if isinstance(event, RestoreRequested):
        return restores.set(event.restore_id, _requested(envelope, event))
    return restores.set(event.restore_id, _step(restores[event.restore_id], envelope, event))


def _requested(envelope: Envelope, event: RestoreRequested) -> Restore:
    return Restore(
        restore_id=event.restore_id,
        target=event.cache,
        backup_id=event.backup_id,
        backup_cache=event.backup_cache,
        replace=event.replace,
        safety_backup=event.safety_backup,
        force=event.force,
        requested_at=envelope.at,
        requested_by=envelope.who.user or envelope.who.kind,
        vault=event.vault,
        method=event.method,
        keys=event.keys,
        undoes=event.undoes,
    )


def has_changed(event: RestoreEvent) -> bool:
    """Whether a restore has ended with the target's data changed by it, for all that is known."""
    if isinstance(event, RestoreFailed):
        return event.serves != "old"
    return isinstance(event, RestoreCompleted)


def _step(
    restore: Restore,
    envelope: Envelope,
    event: RestorePlanned | RestoreStarted | RestoreCompleted | RestoreInterrupted | RestoreFailed,
) -> Restore:
    match event:
        case RestorePlanned():
            return replace(restore, phase="planned", plan=event.plan)
        case RestoreStarted():
            return replace(restore, phase="started", started=event)
        case RestoreInterrupted():
            return replace(restore, phase="undoing", failure=event.failure)
        case RestoreCompleted():
            return replace(restore, phase="completed", result=event.result, ended_at=envelope.at)
        case RestoreFailed():
            return replace(
                restore,
                phase="failed",
                failure=event.failure,
                ended=event,
                ended_at=envelope.at,
            )
