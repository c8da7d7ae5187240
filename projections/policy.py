"""The rules of a policy (A1-A4, A11): what its settings may be, and how windows are written.

Pure. Everything that is wrong is told at once, as values: the configuration shows them with
their lines, a command refuses with them. Zones are those of the installed IANA database.
"""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from msgspec import Struct

from events.facts import Policy, Window

DAY_MINUTES = 24 * 60
LENGTHS = (15, DAY_MINUTES)
"""Shortest and longest window in minutes (A4)."""
RANGES = {"retention_days": (1, 730), "retries": (0, 10), "keep_last": (0, 730)}
WINDOW_FORM = "HH:MM+LENGTH, as 02:00+2h or 14:30+90m, 15 minutes to 24 hours long"
_WINDOW = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])\+(?:([0-9]{1,2})h)?(?:([0-9]{1,4})m)?")


class Unfit(Struct, frozen=True):
    """What is wrong with one setting of a policy, and what is allowed instead."""

    setting: str
    wrong: str
    allowed: str


def parse_window(text: str) -> Window | None:
    """The window that ``02:00+2h``, ``14:30+90m`` or ``01:00+1h30m`` means, of any length."""
    found = _WINDOW.fullmatch(text)
    if found is None or text.endswith("+"):
        return None
    minutes = int(found[3] or 0) * 60 + int(found[4] or 0)
    return Window(start=f"{found[1]}:{found[2]}", minutes=minutes)


def window_text(window: Window) -> str:
    """A window as it is written: ``02:00+2h``, ``14:30+90m``."""
    hours, rest = divmod(window.minutes, 60)
    return f"{window.start}+{window.minutes}m" if rest else f"{window.start}+{hours}h"


@cache
def zone(name: str) -> ZoneInfo | None:
    """The IANA zone of that name, or None if the installed database has none."""
    try:
        return ZoneInfo(name) if _ZONE.fullmatch(name) else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


def windows_unfit(texts: Sequence[str]) -> Iterator[Unfit]:
    """What is wrong with windows as they are written: form, length, and each overlap (A4)."""
    parsed = [parse_window(text) for text in texts]
    for text, window in zip(texts, parsed, strict=True):
        if window is None:
            yield Unfit("windows", f"{text!r} is not a window", WINDOW_FORM)
        elif not LENGTHS[0] <= window.minutes <= LENGTHS[1]:
            wrong = f"{text} lasts {window.minutes} minutes"
            yield Unfit("windows", wrong, "15 minutes to 24 hours")
    yield from _overlaps([window for window in parsed if window is not None])


def unfit(policy: Policy) -> Iterator[Unfit]:
    """Everything that is wrong with a policy; nothing for one that may be kept."""
    for setting, (low, high) in RANGES.items():
        value = getattr(policy, setting)
        if not low <= value <= high:
            yield Unfit(setting, f"{setting} is {value}", f"{low} to {high}")
    yield from zone_unfit(policy.timezone)
    yield from windows_unfit([window_text(window) for window in policy.windows])


def zone_unfit(name: str) -> Iterator[Unfit]:
    """Whether a time zone is one that the installed IANA database has."""
    if zone(name) is None:
        near = get_close_matches(name, sorted(available_timezones()), n=1)
        like = f"did you mean {near[0]}? An" if near else "an"
        allowed = f"{like} IANA time zone, as Europe/Paris or UTC"
        yield Unfit("timezone", f"there is no time zone {name!r}", allowed)


def _overlaps(windows: Sequence[Window]) -> Iterator[Unfit]:
    """Each pair that overlaps on the 24-hour circle; touching is no overlap."""
    ordered = sorted(windows, key=_start)
    for index, one in enumerate(ordered):
        for other in ordered[index + 1 :]:
            ahead = (_start(other) - _start(one)) % DAY_MINUTES
            back = (_start(one) - _start(other)) % DAY_MINUTES
            if ahead < one.minutes or back < other.minutes or ahead == 0:
                wrong = f"the windows {window_text(one)} and {window_text(other)} overlap"
                yield Unfit("windows", wrong, "windows that touch at most, also across midnight")


def _start(window: Window) -> int:
    hours, _, minutes = window.start.partition(":")
    return int(hours) * 60 + int(minutes)
