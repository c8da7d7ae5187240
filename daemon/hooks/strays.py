"""Processes that a hook has started and that nobody watches any more: found by their mark, ended.

A warden ends all that is below it. Where it was killed itself, or a whole life of the daemon was,
the mark that every hook gets in its environment, and that whatever it starts inherits, is what
still tells whose they are. Knows Linux; blocks for a moment.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

MARK = "VALKEEP_RUN"
ROUNDS = 20
"""How often it is looked again: what is about to be ended may have started more."""
MOST_BYTES = 1 << 20


class Stray(Struct, frozen=True):
    """A process that was ended, and its program as the kernel told it."""

    pid: int
    program: str


def end(is_stray: Callable[[str], bool]) -> tuple[Stray, ...]:
    """Kill every process of ours with a mark of which this is so; what they were."""
    found: dict[int, Stray] = {}
    for _ in range(ROUNDS):
        now = list(_killed(is_stray))
        found |= {one.pid: one for one in now}
        if not now:
            break
    return tuple(found.values())


def _killed(is_stray: Callable[[str], bool]) -> Iterator[Stray]:
    """One look at all processes; a handle of each makes sure that it is the one that was read."""
    ours = {os.getpid(), os.getppid()}
    for entry in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208 - names are all
        if int(entry) not in ours and (program := _ended(entry, is_stray)) is not None:
            yield Stray(int(entry), program)


def _ended(entry: str, is_stray: Callable[[str], bool]) -> str | None:
    """Kill one process, if it is a stray; its program, None for any other."""
    with suppress(OSError):
        handle = os.pidfd_open(int(entry))
        try:
            mark = _mark(entry)
            if mark is None or not is_stray(mark):
                return None
            program = _program(entry)
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)
        return program
    return None


def _mark(entry: str) -> str | None:
    """The mark in a process's environment; none of what has ended or is not ours to read."""
    with Path("/proc", entry, "environ").open("rb") as file:
        environment = file.read(MOST_BYTES)
    begin = f"{MARK}=".encode()
    marks = (pair for pair in environment.split(b"\0") if pair.startswith(begin))
    found = next(marks, None)
    return None if found is None else found[len(begin) :].decode(errors="replace")


def _program(entry: str) -> str:
    words = Path("/proc", entry, "cmdline").read_bytes()[:4096].split(b"\0")
    return words[0].decode(errors="replace")
