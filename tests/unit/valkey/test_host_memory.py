"""What memory is left, from files as the kernel writes them."""

from pathlib import Path

import pytest

from daemon.valkey.fork import Room
from daemon.valkey.host_memory import Roots, room

EXECUTABLE = "/usr/bin/valkey-server-with-a-long-name"
COMM = "valkey-server-w\n"
MEMINFO = "MemTotal:       16000000 kB\nMemAvailable:    4000000 kB\nHugePages_Total:   0\n"


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """A host with 4 GB to be had, and process 7 in two groups, of which the outer has a limit."""
    made = Roots(tmp_path / "proc", tmp_path / "cgroup")
    inner = made.cgroup / "team.slice" / "valkey.service"
    process = made.proc / "7"
    inner.mkdir(parents=True)
    process.mkdir(parents=True)
    (made.proc / "meminfo").write_text(MEMINFO)
    (process / "comm").write_text(COMM)
    (process / "cgroup").write_text("4:memory:/x\n0::/team.slice/valkey.service\n")
    (inner / "memory.max").write_text("max\n")
    (inner / "memory.current").write_text("900\n")
    limit(made, max_bytes=3000, current=1500)
    return made


def limit(roots: Roots, *, max_bytes: int, current: int) -> None:
    """The outer group's limit and use, 300 bytes of it files that can be dropped."""
    outer = roots.cgroup / "team.slice"
    (outer / "memory.max").write_text(f"{max_bytes}\n")
    (outer / "memory.current").write_text(f"{current}\n")
    (outer / "memory.stat").write_text("anon 1200\ninactive_file 200\nactive_file 100\n")


def test_the_narrowest_limit_counts(roots: Roots) -> None:
    """A group above the server's own sets the limit, and files that can be dropped are free."""
    group = "this host within the memory limit of its control group /team.slice"
    assert room(7, EXECUTABLE, roots) == Room(1800, group)
    limit(roots, max_bytes=1000, current=1500)
    assert room(7, EXECUTABLE, roots) == Room(0, group)
    limit(roots, max_bytes=1 << 60, current=1500)
    assert room(7, EXECUTABLE, roots) == Room(4_096_000_000, "this host")


@pytest.mark.parametrize(
    ("process_id", "executable"), [(8, EXECUTABLE), (7, "/usr/bin/redis-server"), (7, "")]
)
def test_a_process_that_is_not_the_servers_is_not_believed(
    roots: Roots, process_id: int, executable: str
) -> None:
    """A process id counted in a container is another program's here: only the host counts."""
    assert room(process_id, executable, roots) == Room(4_096_000_000, "this host")


def test_a_system_that_tells_nothing_forbids_nothing(tmp_path: Path) -> None:
    """Without the kernel's files nothing is known."""
    assert room(7, EXECUTABLE, Roots(tmp_path, tmp_path)) is None


def test_this_very_host_is_read() -> None:
    """The kernel that runs this test tells how much there is."""
    found = room(1, "")
    assert found is not None
    assert found.available_bytes > 1 << 20
