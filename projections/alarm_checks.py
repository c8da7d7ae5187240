"""Two rules of `check` on alarms themselves, and what kind of alarm each rule's verdict is.

Pure. A channel that takes no messages has to be told of by other means: here, and by the other
channels.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from projections.alarms import Desk
from projections.checks import Level, Line
from projections.local import one_line, span
from projections.state import State

SILENT = timedelta(minutes=15)
"""A channel that has taken nothing for so long, though there is something, is told of."""

KIND_OF: Mapping[str, str] = {
    "last-attempt": "failed",
    "manual": "failed",
    "abandoned": "abandoned",
    "missed": "missed",
    "skipped": "skipped",
    "cancelled": "cancelled",
    "fresh": "stale",
    "damaged": "damaged",
    "suspect": "suspect",
    "proven": "unproven",
    "copies": "uncopied",
    "copy-damaged": "copy-damaged",
    "copy-proven": "unproven",
    "suspended": "suspended",
    "auto": "unscheduled",
    "stuck": "stuck",
    "restore": "restore",
    "hook": "hook",
    "vault": "vault",
    "vault-room": "disk",
    "disk": "disk",
    "log": "log",
    "log-copy": "log",
    "clock": "clock",
    "notify": "notify",
    "heartbeat": "heartbeat",
}
"""Rules that are not here are of kind ``other``."""


def judge(state: State, now: datetime) -> Iterator[Line]:
    """A line for each channel that does not take its messages, and for heartbeats that fail."""
    for name, desk in sorted(state.alarms.channels.items()):
        line = _silent(name, desk, now)
        if line is not None:
            yield line
    for _, alarm in sorted(state.alarms.alarms.items()):
        if alarm.kind == "heartbeat" and alarm.standing:
            yield Line("warning", "heartbeat", alarm.message, alarm.hint, None, alarm.code)


def _silent(name: str, desk: Desk, now: datetime) -> Line | None:
    failure = desk.failed.failure if desk.failed else None
    if failure is None or desk.failing_since is None:
        return None
    since = now - desk.failing_since
    if not desk.lost and since < SILENT:
        return None
    lost = f"{desk.lost} given up; " if desk.lost else ""
    why = one_line(failure.message)
    told = f"channel {name} has taken no message for {span(since)}: {lost}{why}"
    hint = f"{failure.hint.rstrip('.')}. Then try it: `valkeep notify test {name}`."
    level: Level = "critical" if desk.lost else "warning"
    return Line(level, "notify", told, hint, None, failure.code, name)
