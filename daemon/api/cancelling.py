"""Cancelling a backup: which one is meant, and the last word of the attempt that was stopped.

Knows the board. What was decided is in the log; what the stopped attempt says is for the person
who waits for the answer, and is nowhere else.
"""

import anyio

from daemon import near
from daemon.api.asked import Asked
from daemon.api.find import any_backup
from daemon.api.seams import Standings
from daemon.errors import NotFound
from projections import catalog
from projections.catalog import Backup

PATIENCE_SECONDS = 3.0
"""How long the answer waits for the attempt's end."""
_LOOK_SECONDS = 0.05


def meant(asked: Asked, reference: str) -> Backup | None:
    """The backup to cancel, or `NotFound` with the nearest one that is not over.

    None when the command's key was answered before: its backup may be forgotten by now.
    """
    state = asked.outside.ledger.state
    try:
        return any_backup(state, reference)
    except NotFound as unknown:
        if asked.key is not None and (asked.peer.uid, asked.key) in state.keys:
            return None
        names = [f"{b.cache}/{b.name}" for b in catalog.unfinished(state.catalog)]
        hint = near.meant(reference, names) or unknown.hint
        raise NotFound(unknown.code, unknown.message, hint) from None


class LastWord:
    """What the attempt that runs now says at its end, which is soon: it was told to end."""

    def __init__(self, board: Standings, backup_id: str) -> None:
        self._board = board
        self._standing = board.standing(backup_id)
        self._phase = self._standing.phase if self._standing is not None else ""

    async def heard(self) -> str | None:
        """In words; None when nothing ran, or it has nothing to say."""
        standing = self._standing
        if standing is None:
            return None
        with anyio.move_on_after(PATIENCE_SECONDS):
            # The board is plain values, and this is the only one who waits for one to go.
            while self._board.standing(standing.work_id) is standing:  # noqa: ASYNC110
                await anyio.sleep(_LOOK_SECONDS)
            return standing.phase if standing.phase != self._phase else None
        return f"it has not ended yet; it is {standing.phase!r}"
