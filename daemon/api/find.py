"""From what a person wrote to what is meant, with near misses in the refusal.

Pure. Unlike a command, a question may also mean a backup that has failed or is being
deleted.
"""

from daemon import near
from daemon.errors import NotFound, Rejected
from events.facts import CacheName, RestoreId
from projections import catalog
from projections.caches import Cache
from projections.catalog import Backup
from projections.references import fitting
from projections.restores import Restore
from projections.state import State


def cache_named(state: State, name: str) -> Cache:
    """A registered cache, or `NotFound` with the nearest names."""
    cache = state.caches.get(CacheName(name))
    if cache is None:
        raise unknown_cache(state, name)
    return cache


def unknown_cache(state: State, name: str) -> NotFound:
    """The refusal of a name that no cache has."""
    known = ", ".join(sorted(state.caches)[:8]) or "none yet"
    hint = near.meant(name, state.caches) or f"Known caches: {known}."
    return NotFound("unknown-cache", f"There is no cache {name!r}.", hint)


def any_backup(state: State, reference: str) -> Backup:
    """The backup that a reference means: a living one first, else the newest that is not."""
    found = catalog.find(state.catalog, reference) if reference else ()
    if not found and reference:
        found = fitting(state.catalog, reference)[-1:]
    if len(found) > 1:
        some = ", ".join(f"{b.backup_id} ({b.cache}/{b.name})" for b in found[:4])
        raise Rejected(
            "ambiguous-backup",
            f"{reference!r} fits {len(found)} backups: {some}.",
            "Give more of the id, or CACHE/NAME.",
        )
    if not found:
        raise NotFound(
            "unknown-backup", f"There is no backup {reference!r}.", _near_backup(state, reference)
        )
    return found[0]


def _near_backup(state: State, reference: str) -> str:
    names = [f"{b.cache}/{b.name}" for b in catalog.listed(state.catalog)]
    if reference[:1].isdigit():
        names = [b.backup_id for b in catalog.listed(state.catalog)]
    like = near.meant(reference, names)
    return (
        like or "Give an id, the beginning of one, or CACHE/NAME; `valkeep backup list` shows all."
    )


def restore_by_id(state: State, restore_id: str) -> Restore:
    """A restore by its id or the unique beginning of one, or `NotFound`."""
    exact = state.restores.get(RestoreId(restore_id))
    if exact is not None:
        return exact
    found = [r for i, r in state.restores.items() if restore_id and i.startswith(restore_id)]
    if len(found) == 1:
        return found[0]
    raise NotFound(
        "unknown-restore",
        f"There is no restore {restore_id!r}."
        if not found
        else f"{restore_id!r} fits {len(found)} restores.",
        "`valkeep events` shows the ids of all restores.",
    )
