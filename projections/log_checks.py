"""The verdicts on the log itself: whether it is the newest, and whether the vaults have copies.

Pure. What the vaults have is told by whoever keeps the copies: it is no part of the log.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from msgspec import Struct

from events.facts import Position, VaultName
from projections.checks import Level, Line
from projections.local import span
from projections.recovery import retention_rests, told, went_back
from projections.state import State

LATE = timedelta(hours=1)
TOO_LATE = timedelta(days=1)
"""A copy that is so far behind is a warning, and then critical."""


class CopyStanding(Struct, frozen=True):
    """How far one vault's copy of the log is, since when it is behind, and why."""

    vault: VaultName
    copied: Position
    behind_since: datetime | None = None
    trouble: str = ""
    hint: str = ""


def log_lines(state: State, now: datetime, copies: Iterable[CopyStanding]) -> Iterator[Line]:
    """A line when the log went back or was recovered, one for each vault whose copy is behind."""
    ahead = went_back(state.recovery)
    if ahead is not None:
        message = f"{told(ahead)}: nothing is deleted until somebody has decided"
        hint = (
            "Its file was cut or replaced by an older copy. If the newer file is still there, stop "
            "the daemon and put it back; else `valkeep recover` mends the log."
        )
        yield Line("critical", "log", message, hint, None, "log-went-back")
    elif rest := retention_rests(state.recovery, now):
        message = f"the log was recovered; retention deletes nothing for another {span(rest)}"
        yield Line("ok", "log", message, code="log")
    for copy in copies:
        if copy.behind_since is not None:
            yield _behind(copy, now)


def _behind(copy: CopyStanding, now: datetime) -> Line:
    late = now - copy.behind_since if copy.behind_since else timedelta(0)
    level: Level = "critical" if late >= TOO_LATE else "warning" if late >= LATE else "ok"
    why = " ".join(copy.trouble.split()).rstrip(".")
    message = f"the log's copy in vault {copy.vault} is {span(late)} behind: {why}"
    return Line(level, "log-copy", message, copy.hint, None, "log-copy", copy.vault)
