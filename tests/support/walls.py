"""The walls of `packaging/systemd/valkeep.service`, as far as they can be had without systemd.

Run by path: puts them up around itself and becomes the program that it is given. What
it cannot have: a user of its own (the interpreter may lie in root's home, so the daemon stays root,
without any capability), `ProtectHome` and `ProtectProc` for the same reason, device rules, and the
exact list of calls behind `@system-service`; those that it names one by one are refused.
"""

import ctypes
import errno
import os
import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from daemon.valkey.confine import (
    ALLOW,
    EQUAL,
    FAIL,
    LOAD,
    MACHINES,
    PR_SET_NO_NEW_PRIVS,
    RETURN,
    filtered,
)

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_SET_MDWE = 24, 28, 65
NO_ROOT = 0b11
"""``SECBIT_NOROOT`` and its lock: uid 0 gains no capability by ``execve``."""
LAST_CAPABILITY = 63
REFUSED = {
    "x86_64": {
        "unshare": 272,
        "setns": 308,
        "mount": 165,
        "umount2": 166,
        "pivot_root": 155,
        "chroot": 161,
        "reboot": 169,
        "swapon": 167,
        "init_module": 175,
        "bpf": 321,
        "keyctl": 250,
        "add_key": 248,
        "settimeofday": 164,
        "clock_settime": 227,
        "ptrace": 101,
        "kexec_load": 246,
        "sethostname": 170,
    },
    "aarch64": {
        "unshare": 97,
        "setns": 268,
        "mount": 40,
        "umount2": 39,
        "pivot_root": 41,
        "chroot": 51,
        "reboot": 142,
        "swapon": 224,
        "init_module": 105,
        "bpf": 280,
        "keyctl": 219,
        "add_key": 217,
        "settimeofday": 170,
        "clock_settime": 112,
        "ptrace": 117,
        "kexec_load": 104,
        "sethostname": 161,
    },
}
"""Calls outside ``@system-service ~@privileged @keyring``, ``RestrictNamespaces`` and the like."""
FAMILIES = (1, 2, 10)
"""``RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6``."""

_libc = ctypes.CDLL(None, use_errno=True)


def main(writable: str, command: list[str]) -> None:
    """Put up the walls, with one folder that can be written to, and become the command."""
    _read_only(writable)
    for capability in range(LAST_CAPABILITY + 1):
        _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    _done(_libc.prctl(PR_SET_SECUREBITS, NO_ROOT, 0, 0, 0))
    _done(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _libc.prctl(PR_SET_MDWE, 1, 0, 0, 0)  # since Linux 6.3
    if not filtered(_calls()):
        sys.exit("no filter of calls can be had")
    os.execv(command[0], command)  # noqa: S606 - no shell


def _read_only(writable: str) -> None:
    """`ProtectSystem=strict`: everything is read-only, but for one folder."""
    none, root, folder = None, b"/", os.fsencode(writable)
    uid, gid = os.geteuid(), os.getegid()
    _done(_libc.unshare(CLONE_NEWNS if uid == 0 else CLONE_NEWNS | CLONE_NEWUSER))
    if uid != 0:
        for name, text in (("setgroups", "deny"), ("uid_map", uid), ("gid_map", gid)):
            told = text if isinstance(text, str) else f"{text} {text} 1"
            Path("/proc/self", name).write_text(told, encoding="ascii")
    _done(_libc.mount(none, root, none, MS_REC | MS_PRIVATE, none))
    _done(_libc.mount(folder, folder, none, MS_BIND, none))
    _done(_libc.mount(none, root, none, MS_REMOUNT | MS_BIND | MS_RDONLY, none))
    os.chdir(writable)


def _calls() -> tuple[tuple[int, int, int, int], ...]:
    """The filter: refused calls, then sockets of other families, then all else."""
    machine = platform.machine()
    refused = sorted(REFUSED[machine].values())
    steps = [(LOAD, 0, 0, 0)]
    tail = 1 + len(FAMILIES)
    steps += [(EQUAL, len(refused) - number + tail, 0, call) for number, call in enumerate(refused)]
    steps.append((EQUAL, 0, 2 + len(FAMILIES), MACHINES[machine][1]))
    steps.append((LOAD, 0, 0, 16))
    steps += [(EQUAL, len(FAMILIES) - number, 0, family) for number, family in enumerate(FAMILIES)]
    steps += [(RETURN, 0, 0, FAIL | errno.EPERM), (RETURN, 0, 0, ALLOW)]
    return tuple(steps)


def _done(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
