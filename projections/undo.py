"""Taking a restore back: which one, with which backup, until when, or why it cannot be (R7).

Pure. What counts is the newest restore that changed the cache's data: one that failed before it
did so hides nothing, and one that failed after it, too, can be taken back.
"""

from datetime import datetime

from immutables import Map
from msgspec import Struct

from events.facts import CacheName, Policy
from events.moves import KeysWish
from projections.catalog import Backup
from projections.restores import Restore
from projections.retention import kept_until
from projections.state import State


class Undoing(Struct, frozen=True):
    """A restore that can be taken back by restoring `safety`, which is kept `until` then."""

    restore: Restore
    safety: Backup
    until: datetime | None


class Refusal(Struct, frozen=True):
    """Why nothing can be taken back, and what to do instead."""

    code: str
    message: str
    hint: str


def undoing(state: State, cache: CacheName) -> Undoing | Refusal:
    """What taking back the newest restore into a cache would mean; knows no target."""
    if cache in state.active:
        return Refusal(
            "restore-running",
            f"Restore {state.active[cache]} into {cache!r} has not ended.",
            "Wait for it: `valkeep status` shows how far it is.",
        )
    restore_id = state.changed_by.get(cache)
    if restore_id is None:
        return _never_changed(state, cache)
    restore = state.restores[restore_id]
    safety = safety_of(state, restore)
    if safety is None or safety.phase != "complete":
        return _no_safety(restore, safety)
    known = state.caches.get(cache)
    return Undoing(restore, safety, kept_until(safety, (known and known.policy) or Policy()))


def safety_of(state: State, restore: Restore) -> Backup | None:
    """The backup of its target that a restore made, as far as it is known."""
    of_cache = state.catalog.get(restore.target, Map())
    found = (b for b in of_cache.values() if b.restore_id == restore.restore_id)
    return next(found, None)


def keys_back(wish: KeysWish | None) -> KeysWish:
    """What a restore by keys may have replaced, to be brought back by keys.

    A key that it added, and that was not there before, stays.
    """
    if wish is None:
        return KeysWish(on_conflict="replace")
    prefix = "".join(f"\\{c}" if c in "*?[]\\^" else c for c in wish.rename_prefix)
    patterns = tuple(prefix + pattern for pattern in wish.patterns or ("*",) if prefix)
    return KeysWish(
        patterns=patterns or wish.patterns,
        database=wish.database,
        on_conflict="replace",
        keys_per_second=wish.keys_per_second,
    )


def _never_changed(state: State, cache: CacheName) -> Refusal:
    tried = [restore for restore in state.restores.values() if restore.target == cache]
    if not tried:
        return Refusal(
            "nothing-to-undo",
            f"Nothing has been restored into {cache!r} yet.",
            f"`valkeep backup list {cache}` shows what could be: `valkeep restore BACKUP --to "
            f"{cache}`.",
        )
    last = max(tried, key=lambda restore: (restore.requested_at, restore.restore_id))
    why = f": {last.failure.message}" if last.failure else "."
    return Refusal(
        "nothing-to-undo",
        f"Restore {last.restore_id} into {cache!r} failed before it changed any data{why}",
        "There is nothing to take back: the cache has the data that it had.",
    )


def _no_safety(restore: Restore, safety: Backup | None) -> Refusal:
    others = f"`valkeep backup list {restore.target}` shows the backups that there are."
    if not restore.safety_backup:
        return Refusal(
            "no-safety-backup",
            f"Restore {restore.restore_id} was asked for with --no-safety-backup: what it "
            "replaced was not kept.",
            others,
        )
    if restore.plan is not None and not restore.plan.target_keys:
        return Refusal(
            "was-empty",
            f"The cache {restore.target!r} was empty before restore {restore.restore_id}: there "
            "is no data to go back to.",
            "To have it empty again, type FLUSHALL ASYNC there.",
        )
    state = "is gone: it was deleted, or its time was over"
    if safety is not None and safety.phase != "deleting":
        state = f"was never complete ({safety.phase})"
    return Refusal(
        "safety-gone", f"The safety backup of restore {restore.restore_id} {state}.", others
    )
