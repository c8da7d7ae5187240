"""The rules of a policy (A1-A4, A11): what its settings may be, and how windows are written.

Pure. Everything that is wrong is told at once, as values: the configuration shows them with
their lines, a command refuses with them. Zones are those of the installed IANA database.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from msgspec import Struct

from events.facts import Policy, Window

DAY_MINUTES = 24 * 60
LENGTHS = (15, DAY_MINUTES)
"""Shortest and longest window in minutes (A4)."""
MOST_WINDOWS = DAY_MINUTES // LENGTHS[0]
"""So many of the shortest fill a day."""
RANGES = {
    "retention_days": (1, 730),
    "retries": (0, 10),
    "keep_last": (0, 730),
    "suspect_drop_percent": (0, 100),
}
WINDOW_FORM = "HH:MM+LENGTH, as 02:00+2h or 14:30+90m, 15 minutes to 24 hours long"
_WINDOW = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])\+(?:([0-9]{1,2})h)?(?:([0-9]{1,4})m)?")
_SPAN = re.compile(r"([0-9]{1,2})(?::([0-9]{2}))? ?[-–] ?([0-9]{1,2})(?::([0-9]{2}))?")
_LOOSE = re.compile(r"([0-9]{1,2})(?::([0-9]{2}))? ?\+ ?(?:([0-9]+) ?h)? ?(?:([0-9]+) ?m)?[a-z]*")
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,30}(/[A-Za-z0-9_+-]{1,30}){0,3}")
_OFFSET = re.compile(r"(?:utc|gmt)([+-])0?([0-9]{1,2})(?::00)?")
_NOT_IANA = re.compile(r"posix/.*|right/.*|posixrules|localtime|Factory")
"""What lies in the database's folder and is this host's own, or counts leap seconds."""
_LONGEST_SHOWN = 60
_MOST_OVERLAPS = 20


class Unfit(Struct, frozen=True):
    """What is wrong with one setting of a policy, what is allowed, and what was perhaps meant."""

    setting: str
    wrong: str
    allowed: str
    meant: str = ""


def parse_window(text: str) -> Window | None:
    """The window that ``02:00+2h``, ``14:30+90m`` or ``01:00+1h30m`` means, of any length."""
    found = _WINDOW.fullmatch(text)
    if found is None or text.endswith("+"):
        return None
    minutes = int(found[3] or 0) * 60 + int(found[4] or 0)
    return Window(start=f"{found[1]}:{found[2]}", minutes=minutes)


def parsed_windows(texts: Iterable[str]) -> tuple[Window, ...]:
    """The windows that fit texts mean, in the order of their starts."""
    parsed = (parse_window(text) for text in texts)
    windows = (window for window in parsed if window is not None)
    return tuple(sorted(windows, key=lambda window: window.start))


def window_text(window: Window) -> str:
    """A window as it is written: ``02:00+2h``, ``14:30+90m``."""
    hours, rest = divmod(window.minutes, 60)
    return f"{window.start}+{window.minutes}m" if rest else f"{window.start}+{hours}h"


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo | None:
    """The IANA zone of that name, or None if the installed database has none."""
    if not _ZONE.fullmatch(name) or _NOT_IANA.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def windows_unfit(texts: Sequence[str]) -> Iterator[Unfit]:
    """What is wrong with windows as they are written: form, length, and each overlap (A4)."""
    if len(texts) > MOST_WINDOWS:
        wrong = f"there are {len(texts)} windows"
        yield Unfit("windows", wrong, f"at most {MOST_WINDOWS}: more do not fit into a day")
        return
    fit = []
    for text in texts:
        if (found := window_unfit(text)) is not None:
            yield found
        elif (window := parse_window(text)) is not None:
            fit.append(window)
    yield from islice(_overlaps(fit), _MOST_OVERLAPS)


def window_unfit(text: str) -> Unfit | None:
    """What is wrong with the form or the length of one window as it is written, or None."""
    window = parse_window(text)
    if window is None:
        return Unfit("windows", f"{_shown(text)} is not a window", WINDOW_FORM, _meant(text))
    if not LENGTHS[0] <= window.minutes <= LENGTHS[1]:
        lasts = "1 minute" if window.minutes == 1 else f"{window.minutes} minutes"
        return Unfit("windows", f"{text} lasts {lasts}", "15 minutes to 24 hours")
    return None


def unfit(policy: Policy) -> Iterator[Unfit]:
    """Everything that is wrong with a policy; nothing for one that may be kept."""
    for setting in RANGES:
        yield from range_unfit(setting, getattr(policy, setting))
    yield from zone_unfit(policy.timezone)
    yield from windows_unfit([window_text(window) for window in policy.windows])


def range_unfit(setting: str, value: int) -> Iterator[Unfit]:
    """Whether a number is in its range (A2, A3, A11)."""
    low, high = RANGES[setting]
    if not low <= value <= high:
        yield Unfit(setting, f"{setting} is {value}", f"{low} to {high}")


def zone_unfit(name: str) -> Iterator[Unfit]:
    """Whether a time zone is one that the installed IANA database has."""
    if zone(name) is None:
        wrong = f"there is no time zone {_shown(name)}"
        allowed = "an IANA time zone, as Europe/Paris or UTC"
        yield Unfit("timezone", wrong, allowed, " or ".join(_near_zones(name)))


def _near_zones(name: str) -> list[str]:
    """Zones that somebody may have meant: by other capitals, by the city alone, or by a slip."""
    if len(name) > _LONGEST_SHOWN:
        return []
    folded = name.casefold().replace(" ", "_")
    known = {own.casefold(): own for own in sorted(available_timezones()) if zone(own)}
    if folded in known:
        return [known[folded]]
    if offset := _OFFSET.fullmatch(folded):
        turned = f"Etc/GMT{'-' if offset[1] == '+' else '+'}{offset[2]}"
        return [f"{turned} (its sign is the other way round)"] if zone(turned) else []
    cities = [own for low, own in known.items() if low.rpartition("/")[2] == folded]
    near = get_close_matches(folded, list(known), n=1 if "/" in folded else 2, cutoff=0.7)
    return cities[:2] or [known[low] for low in near]


def _meant(text: str) -> str:
    """The window that somebody may have meant by ``2:00+2h`` or ``02:00-04:00``, or nothing."""
    if len(text) > _LONGEST_SHOWN:
        return ""
    low = text.strip().lower()
    if span := _SPAN.fullmatch(low):
        hour, minute, to_hour, to_minute = (int(part or 0) for part in span.groups())
        length = (to_hour * 60 + to_minute - hour * 60 - minute) % DAY_MINUTES or DAY_MINUTES
    elif (loose := _LOOSE.fullmatch(low)) and (loose[3] or loose[4]):
        hour, minute = int(loose[1]), int(loose[2] or 0)
        length = int(loose[3] or 0) * 60 + int(loose[4] or 0)
    else:
        return ""
    like = window_text(Window(start=f"{hour:02}:{minute:02}", minutes=length))
    fits = parse_window(like) is not None and LENGTHS[0] <= length <= LENGTHS[1]
    return like if fits else ""


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…")


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
