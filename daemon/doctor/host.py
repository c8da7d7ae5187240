"""The host under the daemon: room for the log, the socket's door, the clock, time zones.

Measures in threads that may be left behind, because a disk may hang; judges purely.
"""

import os
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct

from daemon.answers.doctor import Finding
from daemon.errors import Unavailable
from projections.checks import clock_is_impossible
from projections.local import span
from projections.policy import zone
from projections.state import State

LITTLE_BYTES = 1 << 30
TOO_LITTLE_BYTES = 64 << 20
"""A log that cannot grow stops everything."""
SET_BACK = timedelta(minutes=1)
_DOOR = 0o666
_NTP = "Set it, and have it kept by NTP: `timedatectl` shows what is done."


class Places(Struct, frozen=True):
    """Where the daemon lives."""

    socket: str
    data_dir: str
    log_name: str


class Measured(Struct, frozen=True):
    """What was measured; `door` is the socket's mode, None where it is gone."""

    free_bytes: int
    log_bytes: int
    door: int | None


def measure(places: Places) -> Measured:
    """Look at the disk and at the socket; blocks as long as they do. Raises `OSError`."""
    disk = os.statvfs(places.data_dir)
    log = sum(
        entry.stat().st_size
        for entry in os.scandir(places.data_dir)
        if entry.name.startswith(places.log_name) and entry.is_file()
    )
    try:
        mode = Path(places.socket).stat().st_mode
        door = stat.S_IMODE(mode) if stat.S_ISSOCK(mode) else None
    except FileNotFoundError:
        door = None
    return Measured(disk.f_bavail * disk.f_frsize, log, door)


def judge(places: Places, measured: Measured) -> Iterator[Finding]:
    """The disk and the socket."""
    free, log = f"{measured.free_bytes:,} bytes free", f"the log has {measured.log_bytes:,}"
    told = f"data_dir {places.data_dir}: {free}; {log}"
    hint = "Make room there, or move data_dir: without room nothing can be recorded, or begun."
    if measured.free_bytes < TOO_LITTLE_BYTES:
        yield Finding("problem", "host", told, None, hint, "disk-full")
    elif measured.free_bytes < LITTLE_BYTES:
        yield Finding("warning", "host", told, None, hint, "disk-low")
    else:
        yield Finding("ok", "host", told, code="disk")
    if measured.door == _DOOR:
        told = f"socket {places.socket} can be reached by all; peers' credentials decide"
        yield Finding("ok", "host", told, code="socket")
        return
    mode = "is gone" if measured.door is None else f"has mode {measured.door:04o}, not 0666"
    hint = "Somebody changed it behind the daemon's back: restart the daemon."
    told = f"socket {places.socket} {mode}: who may talk to us is not what [roles] says"
    yield Finding("warning", "host", told, None, hint, "socket")


def judge_log(trouble: Unavailable | None) -> Iterator[Finding]:
    """Whether the log can be written; the disk is another matter."""
    if trouble is not None:
        yield Finding("problem", "host", trouble.message, None, trouble.hint, trouble.code)


def judge_clock(state: State, now: datetime) -> Iterator[Finding]:
    """The clock against the log's own records."""
    told = f"the clock shows {now:%Y-%m-%d %H:%M:%SZ}"
    if clock_is_impossible(state, now):
        told = f"{told}, before the log's first record: nothing is scheduled, nothing expires"
        yield Finding("problem", "host", told, None, _NTP, "clock")
    elif state.last_at is not None and now < state.last_at - SET_BACK:
        told = f"{told}, {span(state.last_at - now)} before the log's last record"
        yield Finding("warning", "host", told, None, _NTP, "clock")
    else:
        yield Finding("ok", "host", told, code="clock")


def judge_zones(state: State) -> Iterator[Finding]:
    """Whether the time zones of all policies are in this host's database."""
    hint = "Install the host's time zone data (package tzdata), and restart the daemon."
    wanted: dict[str, list[str]] = {}
    for name, cache in sorted(state.caches.items()):
        if cache.policy is not None:
            wanted.setdefault(cache.policy.timezone, []).append(name)
    unknown = {timezone: caches for timezone, caches in wanted.items() if zone(timezone) is None}
    for timezone, caches in sorted(unknown.items()):
        some = ", ".join(caches[:3]) + (f" and {len(caches) - 3} more" if len(caches) > 3 else "")
        told = f"time zone {timezone} is not in this host's database: no schedule for {some}"
        yield Finding("problem", "host", told, None, hint, "time-zone")
    if zone("Europe/Paris") is None:
        told = "this host has no time zone database: only UTC can be used"
        yield Finding("warning", "host", told, None, hint, "time-zones")
    elif not unknown:
        yield Finding("ok", "host", "the time zone database is there", code="time-zones")
