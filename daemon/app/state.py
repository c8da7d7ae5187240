"""What `status` tells of the state that is kept beside the log: from the freezer's words to its."""

from daemon.answers.standing import StateView
from daemon.frozen import Freezer


def state_view(freezer: Freezer) -> StateView | None:
    """What the daemon began with, and what is kept now; None before it has begun."""
    begun = freezer.begun
    if begun is None:
        return None
    return StateView(
        position=begun.position,
        records=begun.records,
        seconds=begun.seconds,
        unused=begun.unused,
        checked=freezer.checked,
        kept=freezer.kept,
        unkept=freezer.trouble,
    )
