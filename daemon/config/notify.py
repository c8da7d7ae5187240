"""``[notify]`` and ``[channels.NAME]``: who is told what, how often, and where that is sent.

An address is a secret: only where it is kept is said here, and it is read again at each delivery.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct

from daemon.config.lines import Place
from daemon.config.problem import Wrong, near_miss
from events.alarms import DEFAULT_KINDS, KINDS, NOTICES, PROBLEMS

_LENGTH = re.compile(r"([1-9][0-9]{0,6})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_WEEKLY = re.compile(r"(mon|tue|wed|thu|fri|sat|sun) ([01][0-9]|2[0-3]):[0-5][0-9]")
_PATTERN = re.compile(r"[A-Za-z0-9_*?\[\]!-]{1,128}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "default": DEFAULT_KINDS,
    "problems": PROBLEMS,
    "notices": NOTICES,
    "all": KINDS,
}
"""Words for several kinds at once."""
_BOUNDS = {
    "group_wait": (0, 3600),
    "repeat_every": (3600, 30 * 86_400),
    "heartbeat_every": (10, 86_400),
}


class NotifyConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[notify]``: when messages go out, and the heartbeat; lengths are texts with a unit."""

    name: str = ""
    group_wait: str = "1m"
    repeat_every: str = "24h"
    weekly: str = "mon 09:00"
    timezone: str = "UTC"
    heartbeat_url_file: str | None = None
    heartbeat_url_env: str | None = None
    heartbeat_every: str = "5m"
    heartbeat_while: Literal["ok", "warning"] = "ok"
    heartbeat_fail: bool = False


class ChannelConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """``[channels.NAME]``: one place that messages go to, and which."""

    url_file: str | None = None
    url_env: str | None = None
    on: tuple[str, ...] = ("default",)
    caches: tuple[str, ...] = ()
    level: Literal["warning", "critical"] = "warning"
    recovered: bool = True
    weekly: bool = True


def seconds(text: str) -> int | None:
    """A length of time, as "90s", "5m", "24h" or "7d"; None for anything else."""
    found = _LENGTH.fullmatch(text)
    return int(found[1]) * _SECONDS[found[2]] if found else None


def kinds(said: tuple[str, ...]) -> tuple[str, ...]:
    """The kinds that a channel's words mean, each once and in the order of all."""
    meant = {kind for word in said for kind in GROUPS.get(word, (word,))}
    return tuple(kind for kind in KINDS if kind in meant)


def kind(text: str) -> Wrong | None:
    """One word of a channel's `on`."""
    known = [*GROUPS, *KINDS]
    if text in known:
        return None
    near = near_miss(text, known)
    return Wrong(f'has "{text}", and there is no such kind', f"{near}Allowed: {', '.join(known)}.")


def pattern(text: str) -> Wrong | None:
    """A cache's name, or a pattern of names."""
    if _PATTERN.fullmatch(text):
        return None
    return Wrong(f'has "{text}"', 'Allowed: names of caches, also with * and ?, as "shop-*".')


def weekly(text: str) -> Wrong | None:
    """The day and the time of the weekly summary, or none."""
    if text == "off" or _WEEKLY.fullmatch(text):
        return None
    return Wrong(f'is "{text}"', 'Allowed: "mon 09:00" (mon to sun, 00:00 to 23:59), or "off".')


def label(text: str) -> Wrong | None:
    """What messages call this installation; empty for the host's own name."""
    if not text or _HOST.fullmatch(text):
        return None
    return Wrong(f'is "{text}"', "Allowed: up to 63 letters, digits, spaces, '.', '_' and '-'.")


def group_wait(text: str) -> Wrong | None:
    """See `NotifyConfig`."""
    return _length(text, setting="group_wait")


def repeat_every(text: str) -> Wrong | None:
    """See `NotifyConfig`."""
    return _length(text, setting="repeat_every")


def heartbeat_every(text: str) -> Wrong | None:
    """See `NotifyConfig`."""
    return _length(text, setting="heartbeat_every")


def _length(text: str, *, setting: str) -> Wrong | None:
    low, high = _BOUNDS[setting]
    found = 0 if text == "0s" else seconds(text)
    if found is not None and low <= found <= high:
        return None
    return Wrong(
        f'is "{text}"',
        f'Allowed: a length as "90s", "5m", "24h" or "7d", from {_told(low)} to {_told(high)}.',
    )


def _told(length: int) -> str:
    for unit, size in reversed(_SECONDS.items()):
        if length and length % size == 0:
            return f"{length // size}{unit}"
    return "0s"


def of_channels(channels: Mapping[str, Mapping[str, object]]) -> Iterator[tuple[Place, Wrong]]:
    """What a channel's settings have against each other."""
    for name, channel in channels.items():
        homes = [home for home in ("url_file", "url_env") if home in channel]
        if not homes:
            allowed = (
                'Say where its address is kept: url_file = "/etc/valkeep/NAME.url", or url_env.'
            )
            yield ("channels", name), Wrong("has no address", allowed)
        if len(homes) == 2:
            yield ("channels", name, "url_env"), Wrong("is set beside url_file", "Allowed: one.")
        if channel.get("on") == []:
            wrong = Wrong("is empty, so it would never be told anything", "Take it out.")
            yield ("channels", name, "on"), wrong


def of_notify(notify: Mapping[str, object]) -> Iterator[tuple[Place, Wrong]]:
    """What the settings of heartbeats have against each other."""
    if "heartbeat_url_file" in notify and "heartbeat_url_env" in notify:
        wrong = Wrong("is set beside heartbeat_url_file", "Allowed: one of the two.")
        yield ("notify", "heartbeat_url_env"), wrong
