"""Instants in the words of people: a policy's local time, and how long a while is.

Pure. The zone is the policy's and the rules are the installed IANA database's; where that does
not know the zone, UTC is shown instead of nothing.
"""

from datetime import UTC, datetime, timedelta

from projections.policy import zone


def local(at: datetime, timezone: str) -> datetime:
    """The same instant on the clocks of a zone."""
    return at.astimezone(zone(timezone) or UTC)


def local_text(at: datetime, timezone: str) -> str:
    """``2026-03-02 02:14 CET``; a zone without letters shows its offset."""
    return f"{local(at, timezone):%Y-%m-%d %H:%M %Z}"


def span(length: timedelta) -> str:
    """``45 s``, ``12 min``, ``3 h``, ``5 d``: the one unit that says enough."""
    seconds = max(0.0, length.total_seconds())
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 36 * 3600 else f"{seconds / 86400:.0f} d"


def one_line(text: str) -> str:
    """Words of others on one line and without a full stop, to go on after them."""
    return " ".join(text.split()).rstrip(".")
