"""A program that runs one hook and lets nothing of it stay: run by path, never imported.

Knows Linux: it adopts whatever the hook leaves (``PR_SET_CHILD_SUBREAPER``), so that also what
has made itself a daemon is found and ended; its own end comes with its parent's. How the hook
ended it tells in one line of JSON on its standard output, which the hook never sees.
"""

import ctypes
import errno
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
GONE, OVER, END, CHILD = signal.SIGHUP, signal.SIGALRM, signal.SIGTERM, signal.SIGCHLD
"""The parent has ended; the time is over; the parent wants us to end; something has ended."""
WATCHED = (GONE, OVER, END, CHILD)
OOM_SCORE = "500"
ROUNDS, ROUND_SECONDS = 200, 0.02
"""How often what is left is killed, for what has been made meanwhile, and what dies slowly."""

_libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> None:
    """Run: parent's pid, seconds until the end, seconds of grace, the program, its arguments."""
    parent, seconds, grace, *command = arguments
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _libc.prctl(PR_SET_PDEATHSIG, GONE, 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("the parent has ended")
    told = os.dup(1)
    os.dup2(2, 1)
    ours = os.getpid()
    said, saying = os.pipe()
    child = os.fork()
    if child == 0:
        _become(command, saying, parent=ours)
    os.close(saying)
    os.close(0)
    report: dict[str, object] = _refusal(said)
    report |= _watch(child, seconds=float(seconds), grace=float(grace))
    report["left"] = _clear()
    os.write(told, json.dumps(report).encode())


def _become(command: list[str], saying: int, *, parent: int) -> None:
    """In the child: a session of its own, an end that comes with ours, and then the hook."""
    try:
        os.setsid()
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        with suppress(OSError):  # when memory runs out it is the hook that goes, not the daemon
            Path("/proc/self/oom_score_adj").write_text(OOM_SCORE, encoding="ascii")
        os.execv(command[0], command)  # noqa: S606 - no shell, and an absolute path
    except OSError as error:
        os.write(saying, str(error.errno).encode())
    finally:
        os._exit(127)


def _refusal(said: int) -> dict[str, object]:
    """Why the program could not be run, if it could not."""
    number = os.read(said, 16)
    os.close(said)
    if not number:
        return {}
    code = int(number)
    return {"errno": errno.errorcode.get(code, str(code)), "error": os.strerror(code)}


def _watch(child: int, *, seconds: float, grace: float) -> dict[str, object]:
    """Wait for its end; when the time is over, or we are to end, ask it to end and then make it."""
    report: dict[str, object] = {}
    signal.setitimer(signal.ITIMER_REAL, seconds)
    asked = False
    while (status := _reaped(child)) is None:
        number = signal.sigwaitinfo(WATCHED).si_signo
        if number == CHILD:
            continue
        if number == GONE or asked:
            _send(signal.SIGKILL)
            continue
        asked = True
        report["timed_out" if number == OVER else "ended"] = True
        signal.setitimer(signal.ITIMER_REAL, grace)
        _send(signal.SIGTERM)
    signal.setitimer(signal.ITIMER_REAL, 0)
    code = os.waitstatus_to_exitcode(status)
    return report | ({"exit": code} if code >= 0 else {"signal": signal.Signals(-code).name})


def _reaped(child: int) -> int | None:
    """Take whatever has ended; the hook's own status, when it is among them."""
    found = None
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            found = status if pid == child else found
    return found


def _clear() -> int:
    """Kill all that the hook has left; how many that were at first."""
    left = len(list(_below(os.getpid())))
    for _ in range(ROUNDS):
        _reaped(0)
        if not _send(signal.SIGKILL):
            break
        signal.sigtimedwait((CHILD,), ROUND_SECONDS)
    return left


def _send(number: signal.Signals) -> bool:
    """Send a signal to everything below us; whether there was anything."""
    found = list(_below(os.getpid()))
    for pid in found:
        with suppress(OSError):
            os.kill(pid, number)
    return bool(found)


def _below(pid: int) -> Iterator[int]:
    """Every living process below one, by what the kernel tells of all."""
    children: dict[int, list[int]] = {}
    for entry in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208 - names are all
        with suppress(OSError):
            told = Path("/proc", entry, "stat").read_bytes().rpartition(b")")[2].split()
            if told[0] != b"Z":
                children.setdefault(int(told[1]), []).append(int(entry))
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            yield child
            waiting.append(child)


if __name__ == "__main__":
    main(sys.argv[1:])
