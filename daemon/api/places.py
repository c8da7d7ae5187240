"""What stands in the way of a backup that the rules would let start: places are limited.

Pure, and a likely guess: how much runs at once is the worker's to say, and it tells nobody. What
is certain is what runs now.
"""

from projections import catalog
from projections.catalog import Backup
from projections.hosts import expected_host
from projections.state import State


def waits_for_a_place(state: State, backup: Backup) -> str | None:
    """Why a backup that may start has not been begun, as far as others that run explain it."""
    running = [
        other
        for backup_id, cache in sorted(state.open_backups.items())
        if (other := catalog.get(state.catalog, cache, backup_id)) is not None
        and other.phase == "running"
    ]
    host = expected_host(state, backup.cache)
    there = [other for other in running if expected_host(state, other.cache) == host]
    if there:
        return f"one backup a host at a time: {_named(there)} runs on the same one"
    if running:
        return f"a free place (max_backups): {_named(running)} runs"
    return None


def _named(backups: list[Backup]) -> str:
    some = ", ".join(f"{backup.cache}/{backup.name}" for backup in backups[:3])
    return f"{some} and {len(backups) - 3} more" if len(backups) > 3 else some
