"""A program that confines itself and then becomes an engine: run by path, never imported.

Knows Linux: a network namespace of its own, or no sockets but local ones; an end that comes with
the parent's, limits, the lowest priority, first in line when memory runs out. What it is not let
have it prints, and goes on without: the rest still holds. It needs nothing but Python's own
library.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import socket
import struct
import sys
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
SECCOMP_MODE_FILTER = 2
ALLOW, FAIL = 0x7FFF0000, 0x00050000
"""``SECCOMP_RET_ALLOW``, and ``SECCOMP_RET_ERRNO`` to which the error is added."""
MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""``AUDIT_ARCH_…`` of ``linux/audit.h``, and the number of ``socket``."""
IO_URING_SETUP, X32 = 425, 0x40000000
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
"""Of ``linux/bpf_common.h``: a word of the call's data, jumps on a constant, the verdict."""
MOST_WRITTEN_BYTES = 1 << 20
MOST_FILES = 256
NICE = 15
LACKS = "valkeep: without "
"""What a line begins with that tells what could not be had."""

_libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> None:
    """Confine, then run: parent's pid, memory, seconds, niceness, program and its arguments."""
    parent, memory_bytes, cpu_seconds, nice, *command = arguments
    refusal = _own_network()
    # After the namespace: new credentials would take it back.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("the parent has ended")
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if refusal and not _local_sockets_only():
        _lacks(f"a network namespace of its own ({refusal})")
    _limited(int(memory_bytes), cpu_seconds=int(cpu_seconds))
    os.nice(int(nice))
    os.execv(command[0], command)  # noqa: S606 - no shell, and the path is one that was found


def _own_network() -> str:
    """A namespace without any interface that is up; as root at once, else as a user of its own.

    Why not, or nothing.
    """
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(CLONE_NEWNET) == 0:
        return ""
    if _libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        return os.strerror(ctypes.get_errno())
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        Path("/proc/self", name).write_text(text, encoding="ascii")
    return ""


def _local_sockets_only() -> bool:
    """Have the kernel refuse every socket but those of this host's file system; for good."""
    if platform.machine() not in MACHINES:
        return False
    machine, make_socket = MACHINES[platform.machine()]
    return filtered(
        (
            (LOAD, 0, 0, 4),  # the machine's kind: calls of another one are refused
            (EQUAL, 0, 7, machine),
            (LOAD, 0, 0, 0),  # the call's number
            (AT_LEAST, 5, 0, X32),
            (EQUAL, 4, 0, IO_URING_SETUP),  # it makes sockets without asking for them
            (EQUAL, 0, 2, make_socket),
            (LOAD, 0, 0, 16),  # its first argument: the family
            (EQUAL, 0, 1, socket.AF_UNIX),
            (RETURN, 0, 0, ALLOW),
            (RETURN, 0, 0, FAIL | errno.EAFNOSUPPORT),
        )
    )


def filtered(program: tuple[tuple[int, int, int, int], ...]) -> bool:
    """Put all further calls of this process and its children under a filter (``seccomp(2)``).

    Steps of ``struct sock_filter``: code, how many steps to skip if so, and if not, constant.
    """
    steps = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    whole = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(steps)))
    return bool(_libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, whole, 0, 0) == 0)


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
