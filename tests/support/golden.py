"""The golden events, and histories that lead to a state in which each of them can happen."""

from pathlib import Path

from msgspec.structs import replace

from events import codec
from events.facts import CacheName
from events.types import CacheRegistered, Event

_DATA = Path(__file__).parents[1] / "data" / "events"
_REQUESTS = (
    "cache-registered-3",
    "hooks-set-1",
    "notifications-set-1",
    "alarm-raised-1",
    "backup-requested-2",
    "attempt-started-1",
    "snapshot-taken-3",
    "backup-completed-2",
    "copy-requested-1",
    "verification-requested-1",
    "export-requested-1",
    "comparison-requested-1",
    "restore-requested-3",
    "notification-queued-1",
)
"""What the others are about, in this order."""
SEQUELS = tuple(sorted({path.stem for path in _DATA.iterdir()} - set(_REQUESTS)))
"""The names of all golden events but those that everything begins with."""


def golden(name: str) -> Event:
    """A golden event."""
    return codec.decode((_DATA / f"{name}.json").read_bytes())


def leading_to(event: Event) -> list[Event]:
    """What has to have happened before a golden event."""
    known = [golden(name) for name in _REQUESTS]
    mine = getattr(event, "backup_id", None)
    others = [
        replace(one, backup_id=mine)
        for one in known
        if mine is not None and hasattr(one, "backup_id")
    ]
    registered = golden("cache-registered-3")
    assert isinstance(registered, CacheRegistered)
    return [*known, replace(registered, cache=CacheName("users")), *others]
