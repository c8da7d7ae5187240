"""Daemons by fork: one process (`cradle`) imports the program once, each daemon is its child.

Starting the interpreter and importing everything takes longer than most tests. A child is a
process like any other: own session, own environment, ended by its own pid. What is special
about starting by the command line is tried where that is the claim.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import msgspec
from msgspec import Struct

ROOT = Path(__file__).parents[2]


class Birth(Struct, tag="birth"):
    """A daemon is wanted, with this configuration; doomed, if there is a point."""

    config: str
    output: str
    environment: dict[str, str]
    doom: str | None = None


class Wake(Struct, tag="wake"):
    """A daemon has ended, and somebody wants to know how."""

    pid: int


class Answer(Struct):
    """A new child's pid, or the exit code of one that has ended (negative for a signal)."""

    number: int


class Nursery:
    """The tests' side of it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def birth(self, birth: Birth) -> int:
        """Start a daemon; its pid."""
        return self._ask(birth)

    async def wake(self, pid: int) -> int:
        """Wait until a daemon has ended; its exit code. Once for each."""
        handle = os.pidfd_open(pid)
        try:
            await anyio.wait_readable(handle)
        finally:
            os.close(handle)
        return self._ask(Wake(pid))

    def _ask(self, question: Birth | Wake) -> int:
        """Answered at once: nothing is waited for on the other side."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(question) + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=Answer).number


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A nursery, ready; what is still alive in it dies with it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.cradle"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    )
    with process:
        yield Nursery(process)
