"""How much memory a server on this very host can still get, from ``/proc`` and its group.

Blocking, though quick: run it off the event loop. Believes no process id that does not look
like that server's, because a server in a container counts them anew.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from msgspec import Struct

from daemon.valkey.fork import Room

_NAME_LENGTH = 15
"""As much of a program's name as the kernel keeps."""


class Roots(Struct, frozen=True):
    """Where the kernel tells these things."""

    proc: Path = Path("/proc")
    cgroup: Path = Path("/sys/fs/cgroup")


def room(process_id: int, executable: str, roots: Roots = Roots()) -> Room | None:  # noqa: B008
    """The least of what the host and the server's control groups leave; None if none is told."""
    rooms = [*_host(roots), *_groups(process_id, executable, roots)]
    return min(rooms, key=lambda one: one.available_bytes, default=None)


def _host(roots: Roots) -> Iterator[Room]:
    """``MemAvailable``: what can be had without swapping, as the kernel reckons it."""
    told = _pairs(roots.proc / "meminfo")
    if "MemAvailable:" in told:
        yield Room(told["MemAvailable:"] << 10, "this host")


def _groups(process_id: int, executable: str, roots: Roots) -> Iterator[Room]:
    """What each control group (v2) that the server is in leaves below its limit."""
    name = PurePosixPath(executable).name[:_NAME_LENGTH]
    if not name or _text(roots.proc / str(process_id) / "comm").strip() != name:
        return
    for line in _text(roots.proc / str(process_id) / "cgroup").splitlines():
        if line.startswith("0::/"):
            path = PurePosixPath(line.removeprefix("0::"))
            for group in (path, *path.parents):
                yield from _left(roots.cgroup / group.relative_to("/"), str(group))


def _left(folder: Path, name: str) -> Iterator[Room]:
    """A group's room: file pages that it can drop count as free, as they do for the host."""
    limit, used = _text(folder / "memory.max").strip(), _text(folder / "memory.current").strip()
    if limit.isdecimal() and used.isdecimal():
        told = _pairs(folder / "memory.stat")
        dropped = told.get("active_file", 0) + told.get("inactive_file", 0)
        left = max(0, int(limit) - max(0, int(used) - dropped))
        yield Room(left, f"this host within the memory limit of its control group {name}")


def _pairs(path: Path) -> dict[str, int]:
    """Lines of a name, a number and perhaps a unit."""
    lines = (line.split() for line in _text(path).splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdecimal()}


def _text(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text()
    return ""
