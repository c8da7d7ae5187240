"""Deciding on `restore undo`: the newest restore into a cache is taken back by its safety backup.

It is a restore like any other from there on, with a safety backup of its own (R7).
"""

from msgspec import structs

from daemon.commands import RequestRestore, UndoRestore
from daemon.decide import restores
from daemon.decide.decision import Context, Decision, known_cache
from daemon.errors import NotFound, Rejected
from events.facts import CacheName
from events.types import RestoreRequested
from projections.state import State
from projections.undo import Refusal, Undoing, keys_back, undoing


def decide(state: State, command: UndoRestore, context: Context) -> Decision:
    """The restore that takes the newest one back; raises what `to_undo` raises."""
    found = to_undo(state, command.cache, vault=command.vault)
    undone = found.restore
    if command.restore_id is not None and command.restore_id != undone.restore_id:
        raise Rejected(
            "restore-newer",
            f"The newest restore into {command.cache!r} is {undone.restore_id} by now, not "
            f"{command.restore_id}.",
            f"Look again at what would be undone: `valkeep restore undo {command.cache} --plan`.",
        )
    request = RequestRestore(
        backup=found.safety.backup_id,
        to=undone.target,
        replace=command.replace,
        force=command.force,
        vault=command.vault,
    )
    decision = restores.decide(state, request, context)
    method = command.method or undone.method
    event = decision.events[0]
    if not isinstance(event, RestoreRequested):
        raise TypeError(f"a restore was asked for, and this came: {event}")
    keys = keys_back(undone.keys) if method == "keys" else None
    event = structs.replace(event, undoes=undone.restore_id, method=method, keys=keys)
    return Decision((event,), decision.also_read)


def to_undo(state: State, name: str, *, vault: str | None = None) -> Undoing:
    """What would be taken back; `NotFound`, or `Rejected` with the reason why nothing can be.

    `vault` has a copy of the safety backup, where that in its own vault is damaged.
    """
    cache = CacheName(name)
    if cache not in state.caches and any(r.target == cache for r in state.restores.values()):
        raise NotFound(
            "unknown-cache",
            f"The cache {name!r} was removed, and its safety backups with it.",
            f"Manual backups are still there: `valkeep backup list {name}`.",
        )
    found = undoing(state, known_cache(state, name).name)
    if isinstance(found, Refusal):
        raise Rejected(found.code, found.message, found.hint)
    refuted = found.safety.proof.refuted
    if refuted is not None and vault in (None, found.safety.vault):
        raise Rejected(
            "safety-damaged",
            f"The safety backup {found.safety.backup_id} was found damaged.",
            f"See `valkeep backup show {found.safety.backup_id}`; where a copy of it is whole, "
            "say --from VAULT.",
        )
    return found
