"""Deciding on what failed attempts left in the vault: when it is swept, and what cannot be yet.

A call that has not returned may still write where it was to write. What it can reach is told
apart from the rest, so that nothing sweeps under it and nothing else has to wait for it.
"""

from daemon.commands import ReportSwept
from daemon.decide.decision import superseded
from events.types import LeftoversStuck, LeftoversSwept
from projections.catalog import Backup


def swept(backup: Backup, command: ReportSwept) -> LeftoversSwept:
    """Nothing is left of the attempts that were stuck, or of all others."""
    is_due = backup.unswept and backup.phase != "running"
    if command.attempts:
        is_due = set(command.attempts) <= set(backup.stuck)
    if not is_due:
        raise superseded(f"The sweep of {backup.backup_id}")
    return LeftoversSwept(cache=backup.cache, backup_id=backup.backup_id, attempts=command.attempts)


def stuck(backup: Backup, doing: str) -> LeftoversStuck:
    """A call of an attempt, or of the sweep after it, has not returned."""
    attempts = tuple(n for n in range(1, backup.attempts + 1) if n not in backup.stuck)
    if not (backup.unswept and attempts):
        raise superseded(f"The sweep of {backup.backup_id}")
    return LeftoversStuck(
        cache=backup.cache, backup_id=backup.backup_id, attempts=attempts, doing=doing
    )
