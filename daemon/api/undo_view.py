"""From state to answers about taking restores back. Pure."""

from daemon.answers import UndoView
from daemon.api.find import cache_named
from events.facts import CacheName
from projections.retention import taken_at
from projections.state import State
from projections.undo import Undoing, undoing


def undo_view(state: State, cache: CacheName, *, of: str | None = None) -> UndoView | None:
    """How the newest restore into a cache can be taken back; `of` only that one."""
    restore_id = state.changed_by.get(cache)
    if restore_id is None or of not in (None, restore_id) or cache not in state.caches:
        return None
    found = undoing(state, cache)
    if not isinstance(found, Undoing) or found.safety.proof.refuted is not None:
        return None
    return UndoView(
        restore_id=restore_id,
        safety_backup_id=found.safety.backup_id,
        command=f"valkeep restore undo {cache}",
        restored_at=found.restore.ended_at,
        taken_at=taken_at(found.safety),
        until=found.until,
    )


def undoing_named(state: State, name: str) -> None:
    """Refuse a name that no cache has, with the nearest; one that was removed is told as that."""
    if not any(restore.target == name for restore in state.restores.values()):
        cache_named(state, name)
