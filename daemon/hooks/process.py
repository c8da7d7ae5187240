"""One hook as a process: what it is given, how long it may take, and what is kept of it.

Whatever it does, it ends: by itself, by its time-out, or with us (see `daemon.hooks.warden`).
Nothing of the daemon's own environment comes through but what is named here.
"""

import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Protocol

import anyio
import msgspec
from anyio.abc import ByteReceiveStream, Process
from msgspec import Struct
from msgspec.structs import replace

from daemon.hooks import strays
from daemon.hooks.program import Doubt, listed, myself
from daemon.ports import Offload
from events.hooks import HookEnding, HookResult

WARDEN = Path(__file__).with_name("warden.py")
GRACE_SECONDS = 5.0
"""Between the request to end and the kill; less than the daemon's own end may take."""
SLACK_SECONDS = 10.0
"""What the warden may take beyond that; what does not die by then is stuck in the kernel."""
LOOK_SECONDS = 5.0
"""For a look at its program, which may lie on a disk that hangs."""
OUTPUT_BYTES = 4096
FREE_BYTES, PAUSE_SECONDS = 1 << 20, 0.01
"""From so much output on each piece is followed by a pause: who prints without end gets no core."""
LAST_SECONDS = 1.0
"""For what is still in the pipe when everything has ended."""
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROLS = re.compile(r"[^\n\t\x20-\x7e\xa0-\U0010ffff]")

Facts = Mapping[str, str | int]


class Command(Struct, frozen=True):
    """A hook's command line, and how long it may take."""

    words: tuple[str, ...]
    timeout_seconds: float


class Runner(Protocol):
    """Whatever runs hooks."""

    async def run(self, hook: str, facts: Facts) -> HookEnding:
        """Run a hook by its name with these facts, and wait for its end; never raises for it.

        When the caller is cancelled the hook is ended, with all that it has started, before that
        comes through.
        """
        ...


class HookRunner:
    """Runs hooks as processes; `commands` says what each name means now."""

    def __init__(
        self,
        commands: Callable[[str], Command | None],
        environment: Mapping[str, str],
        offload: Offload,
        mark: str = "",
    ) -> None:
        """`mark` is this life's, and no other's: what is left of its hooks is known by it."""
        self._mark = mark
        self._runs = 0
        self._commands = commands
        self._environment = dict(environment)
        self._offload = offload

    async def run(self, hook: str, facts: Facts) -> HookEnding:
        """See `Runner.run`."""
        command = self._commands(hook)
        if command is None:
            return _not_started("it is not configured any more")
        refused = await self._refused(command.words[0])
        if refused is not None:
            return _not_started(refused.message)
        began = anyio.current_time()
        self._runs += 1
        mark = f"{self._mark}.{self._runs}"
        environment = self.environment(facts) | {strays.MARK: mark}
        try:
            ending = await self._ran(command, environment, facts)
        finally:
            left = await self._left_by(mark)
        if left:
            ending = replace(ending, error=_left(ending.error, left))
        return replace(ending, seconds=round(anyio.current_time() - began, 3))

    def environment(self, facts: Facts) -> dict[str, str]:
        """All that the hook finds in its environment."""
        told = {f"VALKEEP_{name.upper()}": _plain(value) for name, value in facts.items()}
        return self._environment | told

    async def _left_by(self, mark: str) -> tuple[strays.Stray, ...]:
        """End what its warden could not, because it was killed itself."""
        with anyio.CancelScope(shield=True), suppress(OSError):  # another look may hang
            return await self._offload(strays.end, mark.__eq__)
        return ()

    async def _refused(self, program: str) -> Doubt | None:
        try:
            with anyio.fail_after(LOOK_SECONDS):
                found = await self._offload(listed, program, myself())
        except OSError as error:
            why = error.strerror or "its disk hangs"
            return Doubt(f"{program} cannot be looked at: {why}", "Look at its disk.")
        return next((doubt for doubt in found if doubt.refused), None)

    async def _ran(self, command: Command, environment: dict[str, str], facts: Facts) -> HookEnding:
        seconds = f"{command.timeout_seconds}"
        try:
            process = await anyio.open_process(
                [
                    *(sys.executable, "-I", "-S", str(WARDEN)),
                    *(f"{os.getpid()}", seconds, f"{GRACE_SECONDS}", *command.words),
                ],
                stdin=subprocess.PIPE,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            return _not_started(f"no process can be had: {error.strerror}")
        hearing = _Hearing(process)
        try:
            with anyio.move_on_after(command.timeout_seconds + GRACE_SECONDS + SLACK_SECONDS):
                await hearing.whole(msgspec.json.encode(dict(facts)) + b"\n")
            return hearing.ending()
        finally:
            await _end(process)


class _Hearing:
    """What is heard of a hook: its output's end, and what the warden tells."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._output = bytearray()
        self._printed = 0
        self._told = bytearray()

    async def whole(self, given: bytes) -> None:
        """Give it what it is told on standard input, and listen until its warden has ended."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._give, given)
            tasks.start_soon(self._listen)
            async with anyio.create_task_group() as telling:
                telling.start_soon(self._be_told)
            await self._process.wait()
            # What holds the pipe open now can no longer be ended by anybody.
            tasks.cancel_scope.deadline = anyio.current_time() + LAST_SECONDS

    async def _give(self, given: bytes) -> None:
        stdin = self._process.stdin
        if stdin is not None:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                await stdin.send(given)
            with suppress(OSError):
                await stdin.aclose()

    async def _listen(self) -> None:
        async with aclosing(_heard(self._process.stderr)) as heard:
            async for data in heard:
                self._output += data
                self._printed += len(data)
                del self._output[:-OUTPUT_BYTES]
                if self._printed > FREE_BYTES:
                    await anyio.sleep(PAUSE_SECONDS)

    async def _be_told(self) -> None:
        async with aclosing(_heard(self._process.stdout)) as heard:
            async for data in heard:
                self._told += data

    def ending(self) -> HookEnding:
        """How it ended, as far as is known."""
        output = clean(bytes(self._output), cut=self._printed > OUTPUT_BYTES)
        try:
            said = msgspec.json.decode(self._told, type=_Said)
        except msgspec.MsgspecError:
            result: HookResult = "killed"
            error = "its warden ended without a word: was it killed?"
            return HookEnding(result, 0.0, signal="SIGKILL", error=error, output=output)
        if said.error is not None:
            return replace(_not_started(said.why()), output=output)
        result = said.result()
        return HookEnding(result, 0.0, said.exit, said.signal, error=said.remark(), output=output)


class _Said(Struct, frozen=True):
    """What the warden tells."""

    exit: int | None = None
    signal: str | None = None
    timed_out: bool = False
    ended: bool = False
    left: int = 0
    errno: str | None = None
    error: str | None = None

    def result(self) -> HookResult:
        if self.timed_out:
            return "timed-out"
        if self.ended:
            return "cut-off"
        if self.signal is not None:
            return "killed"
        return "ok" if self.exit == 0 else "failed"

    def remark(self) -> str:
        if not self.left:
            return ""
        what = "1 process" if self.left == 1 else f"{self.left} processes"
        return f"{what} that it had left behind {'was' if self.left == 1 else 'were'} ended"

    def why(self) -> str:
        """Why it could not be run: the kernel says only that something is not there."""
        if self.errno == "ENOENT":
            return "its interpreter (the first line, after #!) is not there"
        if self.errno == "ENOEXEC":
            return "it is neither a program nor a script with #! in its first line"
        return f"{self.error}"


def _left(error: str, left: Sequence[strays.Stray]) -> str:
    """That something was still there though the warden had gone."""
    many = "1 process was" if len(left) == 1 else f"{len(left)} processes were"
    return f"{error.rstrip('.')}; {many} left, and ended".removeprefix("; ")


async def _heard(stream: ByteReceiveStream | None) -> AsyncGenerator[bytes, None]:
    """What comes, until nobody holds the other end any more."""
    if stream is None:
        return
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        while True:
            yield await stream.receive()


async def _end(process: Process) -> None:
    """Whatever still runs ends: asked at first, by way of the warden, and then made to."""
    with anyio.CancelScope(shield=True):
        await _told(process, process.terminate, GRACE_SECONDS + SLACK_SECONDS / 2)
        await _told(process, process.kill, LAST_SECONDS)
        streams = (process.stdin, process.stdout, process.stderr)
        for stream in filter(None, streams):
            with suppress(OSError):
                await stream.aclose()


async def _told(process: Process, act: Callable[[], None], seconds: float) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            act()
        with anyio.move_on_after(seconds):
            await process.wait()


def clean(output: bytes, *, cut: bool = False) -> str:
    """Text without what would do something to a terminal or a log; `cut` at its beginning."""
    text = output.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROLS.sub("\ufffd", _ESCAPES.sub("", text)).rstrip()
    return f"… {text}" if cut else text


def _plain(value: str | int) -> str:
    return str(value).replace("\0", "\ufffd")


def _not_started(why: str) -> HookEnding:
    return HookEnding("not-started", 0.0, error=why)
