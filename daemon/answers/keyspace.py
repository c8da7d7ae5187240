"""What the daemon answers about the keys of a backup."""

from datetime import datetime

from daemon.answers import Answer, Problem
from daemon.commands.surveyed import KeyspaceDetail


class KeyspaceAnswer(Answer, frozen=True):
    """What a backup's keys take; or in `missing` why that is not known.

    `verified_at` is when they were counted; null if that was in a verification before the newest.
    `used_memory_bytes` is all that the engine used then, tables and what was not seen included.
    `expired` keys had ended before the engine loaded them, and are not counted. `withheld` says
    why there are no names in `detail`: they are for the role admin.
    """

    now: datetime
    backup_id: str
    cache: str
    name: str
    verified_at: datetime | None = None
    used_memory_bytes: int | None = None
    expired: int = 0
    detail: KeyspaceDetail | None = None
    withheld: str | None = None
    missing: Problem | None = None
