"""What happens to copies, and what becomes of a suspicion, each in one English sentence. Pure."""

from typing import assert_never

from events.copies import (
    BackupCleared,
    CopyCompleted,
    CopyDeleted,
    CopyEvent,
    CopyFailed,
    CopyRequested,
    CopyStarted,
)
from events.suspicions import BackupSuspected, SuspicionEvent


def of_copy(event: CopyEvent) -> str:
    """A copy's step."""
    what = f"backup {event.backup_id} of {event.cache}"
    match event:
        case CopyRequested():
            why = "as copy_to says" if event.wanted_by == "copy_to" else "by command"
            return f"a copy of {what} in vault {event.vault} asked for, {why}"
        case CopyStarted():
            return f"try {event.attempt} at copying {what} to vault {event.vault} started"
        case CopyCompleted():
            return f"{what} is copied to vault {event.vault}: {event.stored_bytes:,} bytes"
        case CopyFailed():
            again = f"it is tried again at {event.retry_at:%Y-%m-%d %H:%M:%SZ}"
            told = f"try {event.attempt} at copying {what} to vault {event.vault} failed"
            return f"{told}: {event.failure.message}; {again}"
        case BackupCleared():
            return f"{what} is gone from vault {event.vault}, and copies of it are still to go"
        case CopyDeleted():
            return f"the copy of {what} is gone from vault {event.vault}"
        case _:
            assert_never(event)


def of_suspicion(event: SuspicionEvent) -> str:
    """A flag, or the word of a person on it."""
    what = f"backup {event.backup_id} of {event.cache}"
    if isinstance(event, BackupSuspected):
        return f"{what} is suspect: {event.suspicion.reason}"
    return f"{what} is acknowledged: it counts as good"
