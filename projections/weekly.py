"""The weekly summary: what was made and proven, what stands, what starts next.

Pure. Looks through the whole catalog once; that is done once a week.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from events.alarms import Manner
from projections.alarm_words import Message
from projections.alarms import Desk, covers
from projections.local import local_text
from projections.schedule import starts
from projections.state import State

WEEK = timedelta(days=7)
NEXT = 5
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def weekly(state: State, desk: Desk, now: datetime, told: Message) -> Message:
    """The summary of the last seven days, with what `told` says of what is not well."""
    manner = state.alarms.manner or Manner()
    bad = bool(told.tells) and told.level in ("warning", "critical")
    host = f" [{manner.host}]" if manner.host else ""
    verdict = "this week, and not all is well" if bad else "this week: all is well"
    lines = [*_counts(state, desk, now), "", *_coming(state, desk, manner, now), ""]
    return Message(
        level=told.level if bad else "ok",
        title=f"Valkeep{host}: {verdict}",
        text="\n".join([*lines, told.text]),
        tells=told.tells,
    )


def _counts(state: State, desk: Desk, now: datetime) -> Iterator[str]:
    seen: Counter[str] = Counter()
    since = now - WEEK
    for name, backups in state.catalog.items():
        if not covers(desk.rules, name):
            continue
        for backup in backups.values():
            seen["kept"] += backup.phase == "complete"
            size = backup.stored.stored_bytes if backup.stored else 0
            seen["bytes"] += size if backup.phase == "complete" else 0
            if backup.completed_at and backup.completed_at >= since:
                seen["made"] += 1
                seen["new bytes"] += size
            verified = backup.proof.verified_at
            seen["proven"] += verified is not None and verified >= since
            for copy in backup.copies:
                read_at = copy.proof.verified_at
                seen["copies"] += copy.phase == "complete"
                seen["read"] += read_at is not None and read_at >= since
            seen["failed"] += backup.phase == "failed" and backup.requested_at >= since
    restores = Counter(
        restore.phase
        for restore in state.restores.values()
        if restore.ended_at is not None and restore.ended_at >= since
    )
    made = f"Backups made: {seen['made']:,} ({_size(seen['new bytes'])})"
    yield f"{made}, given up: {seen['failed']:,}"
    read = f", copies read back: {seen['read']:,}" if seen["copies"] else ""
    yield f"Proven: {seen['proven']:,}{read}"
    yield f"Restores: {restores['completed']:,} complete, {restores['failed']:,} failed"
    yield f"There are {seen['kept']:,} backups now, {_size(seen['bytes'])} stored."


def _coming(state: State, desk: Desk, manner: Manner, now: datetime) -> Iterator[str]:
    found = []
    for name, cache in state.caches.items():
        if cache.scheduled is None or not covers(desk.rules, name):
            continue
        coming = next(starts(state, name, now), None)
        if coming is not None:
            found.append((coming.at, name))
    if not found:
        yield "No backup is scheduled."
        return
    yield "Next starts:"
    for at, name in sorted(found)[:NEXT]:
        yield f"  {local_text(at, manner.timezone)}  {name}"
    if len(found) > NEXT:
        yield f"  and {len(found) - NEXT} more; `valkeep schedule` shows all"


def _size(count: float) -> str:
    unit = 0
    while count >= 1023.95 and unit < len(_UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.0f} B" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"
