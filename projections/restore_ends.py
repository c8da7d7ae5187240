"""How a restore that has failed is told: what the target was left with, and what to type.

Pure. Whether it still matters, and how bad that is, is said elsewhere.
"""

from events.types import RestoreFailed
from projections.local import one_line

_SERVES = {
    "old": "; it serves its old data",
    "new": "; it serves the backup's data",
    "unknown": "; whether it serves its old data or the backup's is not known: look at it",
}


def told_of(end: RestoreFailed) -> str:
    """Which restore failed, why, and which data its target serves."""
    why = one_line(end.failure.message)
    return f"restore {end.restore_id} into it failed: {why}{_SERVES[end.serves]}"


def hint_of(end: RestoreFailed) -> str:
    """What to do: the failure's own hint, what is left to type, and how to repeat it."""
    first, *rest = end.failure.hint.splitlines() or [""]
    told = [f"{one_line(said)}." for said in (first, *end.by_hand) if said]
    return "\n".join([" ".join([*told, f"To repeat it: `{end.command}`."]), *rest])
