"""What stands in the way of a backup that the rules would let start: places are limited.

Pure, and a likely guess: how much runs at once is the worker's to say, and it tells nobody. What
is certain is what runs now.
"""

from collections.abc import Sequence

from msgspec import Struct

from projections import catalog
from projections.catalog import Backup
from projections.hosts import expected_host
from projections.state import State


class Occupied(Struct, frozen=True):
    """The backups that run now, in all and by the host that they most likely fork on."""

    running: tuple[Backup, ...]
    by_host: dict[str, list[Backup]]


def occupied(state: State) -> Occupied:
    """Who has a place; looked up once where many wait."""
    open_ones = (
        catalog.get(state.catalog, cache, backup_id)
        for backup_id, cache in sorted(state.open_backups.items())
    )
    running = tuple(one for one in open_ones if one is not None and one.phase == "running")
    by_host: dict[str, list[Backup]] = {}
    for one in running:
        by_host.setdefault(expected_host(state, one.cache), []).append(one)
    return Occupied(running, by_host)


def waits_for_a_place(state: State, backup: Backup, places: Occupied | None = None) -> str | None:
    """Why a backup that may start has not been begun, as far as others that run explain it."""
    places = places or occupied(state)
    if there := places.by_host.get(expected_host(state, backup.cache)):
        return f"one backup a host at a time: {_named(there)} runs on the same one"
    if places.running:
        return f"a free place (max_backups): {_named(places.running)} runs"
    return None


def _named(backups: Sequence[Backup]) -> str:
    some = ", ".join(f"{backup.cache}/{backup.name}" for backup in backups[:3])
    return f"{some} and {len(backups) - 3} more" if len(backups) > 3 else some
