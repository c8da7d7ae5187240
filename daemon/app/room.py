"""How much memory this host has left for something that may also be left undone.

Knows Linux: what the kernel thinks could be had, and the limit that a service manager has set.
"""

from contextlib import suppress
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


def free_memory_bytes() -> int:
    """Bytes that could be had now without swapping, by the host and by our own service's limit."""
    return min(_of_host(MEMINFO), _of_service(CGROUP, root=CGROUPS))


def _of_host(meminfo: Path) -> int:
    for line in meminfo.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) << 10
    return 0


def _of_service(cgroup: Path, *, root: Path) -> int:
    """What the control groups around us leave: each one's ``memory.max`` less what is in use."""
    least = 1 << 62
    with suppress(OSError, ValueError):
        own = cgroup.read_text().rpartition("::")[2].strip()
        for folder in (root / own.lstrip("/"), *(root / own.lstrip("/")).parents):
            limit = folder / "memory.max"
            if not folder.is_relative_to(root) or not limit.exists():
                continue
            text = limit.read_text().strip()
            if text != "max":
                used = int((folder / "memory.current").read_text())
                least = min(least, max(0, int(text) - used))
    return least
