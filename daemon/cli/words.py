"""Figures in the words of people: sizes, ages, durations. Pure; exact figures are in --json."""

from datetime import datetime

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: float | None) -> str:
    """``1.2 GiB``; a dash for what is not known."""
    if count is None:
        return "-"
    unit = 0
    while count >= 1023.95 and unit < len(_UNITS) - 1:
        count /= 1024
        unit += 1
    return f"{count:.0f} B" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def number(count: int | None) -> str:
    """``1,234,567``; a dash for what is not known."""
    return "-" if count is None else f"{count:,}"


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h``, ``5 d``: the one unit that says enough."""
    seconds = max(0.0, seconds)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 36 * 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86400:.0f} d"


def elapsed(seconds: float) -> str:
    """``0.18 s``, ``4.2 s``, then as `duration`: for measured spans, where tenths matter."""
    if seconds >= 10:
        return duration(seconds)
    return f"{seconds:.1f} s" if seconds >= 1 else f"{max(0.0, seconds):.2g} s"


def age(now: datetime, then: datetime | None) -> str:
    """``3 h ago``; a dash for never. The clock that counts is the daemon's."""
    if then is None:
        return "-"
    seconds = (now - then).total_seconds()
    return "just now" if seconds < 1 else f"{duration(seconds)} ago"


def instant(at: datetime | None) -> str:
    """``2025-11-22 17:45:03Z``; a dash for never."""
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M:%SZ}"


def sentence(text: str) -> str:
    """The text with a capital at its beginning and a mark at its end, unless it opens otherwise."""
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    if first.isalpha() and first.islower():
        text = text[0].upper() + text[1:]
    return text if not text or text[-1] in ".!?:`" else f"{text}."


def plural(count: int, one: str, many: str | None = None) -> str:
    """``1 backup``, ``2 backups``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
