"""Walls around private engines: what a confined program cannot do, whatever it was let have."""

import os
import subprocess
import sys

import pytest

from daemon.valkey import confine

UNSHARE = {"x86_64": 272, "aarch64": 97}
NO_NAMESPACES = f"""
import errno, os, platform, sys
sys.path.insert(0, sys.argv[1])
from daemon.valkey import confine
number = {UNSHARE}[platform.machine()]
confine._libc.prctl(confine.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
assert confine.filtered((
    (confine.LOAD, 0, 0, 0),
    (confine.EQUAL, 0, 1, number),
    (confine.RETURN, 0, 0, confine.FAIL | errno.EPERM),
    (confine.RETURN, 0, 0, confine.ALLOW),
))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
"""Goes on as the rest of its arguments, where no namespace can be made."""
TRIES = """
import ctypes, errno, os, socket
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_VSOCK):
    try:
        socket.socket(family, socket.SOCK_DGRAM)
        print("open")
    except OSError as error:
        print(errno.errorcode[error.errno])
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(425, 8, ctypes.create_string_buffer(120)), errno.errorcode[ctypes.get_errno()])
here, there = socket.socketpair(socket.AF_UNIX)
here.send(b"x")
print(there.recv(1), len(os.listdir("/")) > 0)
"""


def confined(*before: str) -> list[str]:
    """What the tries print, in a program that `confine` has become."""
    walls = [str(confine.__file__), str(os.getpid()), str(4 << 30), "60", "15"]
    command = [sys.executable, *before, *walls, sys.executable, "-c", TRIES]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_without_namespaces_only_local_sockets_are_left(pytestconfig: pytest.Config) -> None:
    """Where a service may make no namespace, the kernel refuses every way out all the same."""
    told = confined("-c", NO_NAMESPACES, str(pytestconfig.rootpath))
    assert told == [*["EAFNOSUPPORT"] * 4, "-1 EAFNOSUPPORT", "b'x' True"]


def test_a_filter_that_is_refused_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose numbers we do not know has no filter, and says so."""
    monkeypatch.setattr("platform.machine", lambda: "vax")
    assert not confine._local_sockets_only()
