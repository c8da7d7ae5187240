"""The engine's own RDB checker, fed with plain bytes while they pass.

Knows how to run an engine under the name that makes it a checker, what it prints, and how
to keep it small: limits of memory, time and output, an empty environment, one open pipe.
Three answers: totals, "cannot read" (our engine's fault: it lowers the proof) and "broken".
"""

import asyncio
import errno
import os
import re
import resource
import signal
import subprocess
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from fcntl import F_SETPIPE_SZ, fcntl
from typing import IO

import anyio
from msgspec import Struct

from daemon.valkey.engine import CLEAN_ENVIRONMENT, Engine
from events.facts import RdbTotals

PIPE_BYTES = 1 << 20
OUTPUT_BYTES = 4 << 20


class Limits(Struct, frozen=True):
    """What one check may use; `stall_seconds` is how long it may leave its input unread."""

    memory_bytes: int = 2 << 30
    cpu_seconds: int = 3_600
    stall_seconds: float = 60.0
    nice: int = 0


class Unread(Struct, frozen=True):
    """This engine cannot read the bytes, or was not let; they may be perfectly good."""

    reason: str


class Broken(Struct, frozen=True):
    """The engine read the bytes and found them damaged."""

    reason: str


Verdict = RdbTotals | Unread | Broken

_OK = "RDB looks OK!"
_ERROR = "--- RDB ERROR DETECTED ---"
_COUNT = re.compile(r"^\[info\] (\d+) (keys read|expires)$", re.MULTILINE)
_DATABASE = re.compile(r"^\[offset \d+\] Selecting DB ID (\d+)$", re.MULTILINE)
_NOT_KNOWN_HERE = (
    "Can't handle RDB format version",
    "Invalid object type",
    "Unknown RDB encoding type",
    "Pre-release function format not supported",
    "Server crash",
)


class Checker:
    """One check under way: `feed` every plain byte in order, then ask for the `verdict`."""

    def __init__(self, engine: Engine, limits: Limits, output: IO[bytes]) -> None:
        self._engine = engine
        self._limits = limits
        self._output = output
        self._read_end, self._write_end = _pipe()
        self._process: asyncio.subprocess.Process | None = None
        self._magic = b""
        self._stalled = False
        self._left_early = False

    async def feed(self, chunk: bytes) -> None:
        """Hand over bytes; waits while the checker is busy, never for one that has ended.

        Whatever becomes of the checker is told by `verdict`: this raises nothing.
        """
        if len(self._magic) < 6:
            self._magic += chunk[: 6 - len(self._magic)]
        rest = memoryview(chunk)
        while rest and self._write_end >= 0:
            try:
                rest = rest[os.write(self._write_end, rest) :]
            except BlockingIOError:
                await self._room()
            except BrokenPipeError:
                self._left_early = True
                self._close_input()

    @property
    def failed(self) -> bool:
        """Its word is wanted even when it has stopped reading: all bytes are checked besides."""
        return False

    @property
    def ended(self) -> bool:
        """Whether it reads no more, because it has an opinion, or was ended."""
        return self._left_early or self._stalled

    async def verdict(self) -> Verdict:
        """End the input and wait for the checker's answer."""
        self._close_input()
        if self._process is None:
            return Unread(f"{self._engine.label} could not be run as an RDB checker")
        with anyio.move_on_after(self._limits.stall_seconds) as waiting:
            await self._process.wait()
        if waiting.cancelled_caught:
            self._stalled = True
            await self.close()
        self._output.seek(0)
        text = self._output.read(OUTPUT_BYTES).decode(errors="replace")
        return self._judge(text, self._process.returncode or 0)

    async def start(self) -> None:
        """Run the engine under the checker's name; called once, before anything else."""
        try:
            with suppress(OSError):
                # Not by anyio: it cannot run a program under another name, and a link of that
                # name would be left behind by a daemon that is killed.
                self._process = await asyncio.create_subprocess_exec(
                    f"{self._engine.kind}-check-rdb",
                    "/dev/stdin",
                    executable=self._engine.server,
                    stdin=self._read_end,
                    stdout=self._output,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    env=CLEAN_ENVIRONMENT,
                    start_new_session=True,
                )
                _confine(self._process.pid, self._limits)
        finally:
            os.close(self._read_end)

    async def close(self) -> None:
        """End the checker if it still runs."""
        self._close_input()
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _room(self) -> None:
        with anyio.move_on_after(self._limits.stall_seconds) as waiting:
            await anyio.wait_writable(self._write_end)
        if waiting.cancelled_caught:
            self._stalled = True
            self._close_input()
            if self._process is not None:
                with suppress(ProcessLookupError):
                    self._process.kill()

    def _close_input(self) -> None:
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1

    def _judge(self, text: str, returncode: int) -> Verdict:
        label = self._engine.label
        if self._stalled:
            return Unread(f"{label} stopped reading for {self._limits.stall_seconds:g} s")
        if returncode < 0:
            return Unread(f"{label} was ended by {_signal_name(-returncode)} while reading")
        if returncode == 0 and _OK in text:
            counts = {what: int(number) for number, what in _COUNT.findall(text)}
            return RdbTotals(
                keys=counts.get("keys read", 0),
                expires=counts.get("expires", 0),
                highest_database=max(map(int, _DATABASE.findall(text)), default=0),
                by=label,
            )
        found = _complaint(text)
        if self._left_early and "Unexpected EOF" in found:
            # It says so too when it cannot get the memory for one large value.
            return Unread(f"{label} gave up within its {self._limits.memory_bytes} bytes of memory")
        foreign = "Wrong signature" in found and self._magic == b"VALKEY"
        if not found or foreign or any(known in found for known in _NOT_KNOWN_HERE):
            return Unread(f"{label} cannot read it: {found or 'it gave no reason'}")
        return Broken(f"{label} found it damaged: {found}")


@asynccontextmanager
async def rdb_checker(engine: Engine, limits: Limits) -> AsyncGenerator[Checker, None]:
    """A check by this engine; leaving the context ends it, whatever state it is in.

    The checker lives on a pipe of ours, so that it also ends when we are killed.
    """
    with tempfile.TemporaryFile() as output:
        checker = Checker(engine, limits, output)
        try:
            await checker.start()
            yield checker
        finally:
            with anyio.CancelScope(shield=True):
                await checker.close()


def _pipe() -> tuple[int, int]:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(write_end, False)
    with suppress(OSError):  # Beyond the user's allowance: the usual 64 KiB will do.
        fcntl(write_end, F_SETPIPE_SZ, PIPE_BYTES)
    return read_end, write_end


def _confine(pid: int, limits: Limits) -> None:
    """Limits set from outside, on a process that waits for its first byte.

    Where a sandbox forbids it, the sandbox' own limits are what there is.
    """
    if limits.nice:
        _gentle(pid, nice=limits.nice)
    for what, limit in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, OUTPUT_BYTES),
        (resource.RLIMIT_NOFILE, 16),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.prlimit(pid, what, (limit, limit))
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.ESRCH}:
                raise


def _gentle(pid: int, *, nice: int) -> None:
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, nice)


def _complaint(text: str) -> str:
    """What the checker found wrong, without the key it was at."""
    _, marker, after = text.partition(_ERROR)
    return after.strip().partition("\n")[0].strip() if marker else ""


def _signal_name(number: int) -> str:
    names = {
        signal.SIGXCPU: "its limit of processor time",
        signal.SIGABRT: "its limit of memory, or a fault of its own",
        signal.SIGXFSZ: "its limit of output",
    }
    return names.get(signal.Signals(number), signal.Signals(number).name)
