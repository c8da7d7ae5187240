"""A program that confines itself and then becomes an engine: run by path, never imported.

Knows Linux: a network namespace of its own, an end that comes with the parent's, limits, the
lowest priority, first in line when memory runs out. What it is not let have it prints, and goes
on without: the rest still holds. It needs nothing but Python's own library.
"""

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
MOST_WRITTEN_BYTES = 1 << 20
MOST_FILES = 256
NICE = 15
LACKS = "valkeep: without "
"""What a line begins with that tells what could not be had."""

_libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> None:
    """Confine, then run: parent's pid, memory, seconds, niceness, program and its arguments."""
    parent, memory_bytes, cpu_seconds, nice, *command = arguments
    _own_network()
    # After the namespace: new credentials would take it back.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("the parent has ended")
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _limited(int(memory_bytes), cpu_seconds=int(cpu_seconds))
    os.nice(int(nice))
    os.execv(command[0], command)  # noqa: S606 - no shell, and the path is one that was found


def _own_network() -> None:
    """A namespace without any interface that is up; as root at once, else as a user of its own."""
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(CLONE_NEWNET) == 0:
        return
    if _libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        _lacks(f"a network namespace of its own ({os.strerror(ctypes.get_errno())})")
        return
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        Path("/proc/self", name).write_text(text, encoding="ascii")


def _limited(memory_bytes: int, *, cpu_seconds: int) -> None:
    for what, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, MOST_WRITTEN_BYTES),
        (resource.RLIMIT_NOFILE, MOST_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        least = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (least, least))
    try:
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    except OSError as error:
        _lacks(f"being the first to go when memory runs out ({error.strerror})")


def _lacks(what: str) -> None:
    sys.stdout.write(f"{LACKS}{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
