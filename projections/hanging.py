"""Calls that have not returned, as `check` tells of them; a vault that hangs, most of the time.

Pure. Knows what the log says is stuck, not whether it still is: a restart ends it.
"""

from immutables import Map

from events.facts import CacheName
from projections.state import State

HINT = (
    "Look at its disk or mount (`dmesg`, `mount`). What is left there is swept when the call "
    "returns, or when the daemon is started again."
)


def hanging(state: State, cache: CacheName) -> str | None:
    """What hangs in the work for one cache, since when; None when nothing does."""
    of_cache = state.catalog.get(cache, Map())
    found = sorted((b for b in of_cache.values() if b.stuck), key=lambda b: b.backup_id)
    if not found:
        return None
    first = found[0]
    since = f" since {first.stuck_since:%Y-%m-%d %H:%M:%SZ}" if first.stuck_since else ""
    more = f"; {len(found)} backups in all" if len(found) > 1 else ""
    return (
        f"vault {first.vault} has a stuck call{since}: to {first.stuck_doing} ({first.name}){more}"
    )
