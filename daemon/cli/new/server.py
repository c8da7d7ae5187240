"""A new server from its start until it serves the data, and its end where that fails.

Knows the command's process, the server's own pid file, and what the server says of itself. It
ends nothing that it cannot prove to be what it started.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from msgspec import Struct

from daemon.answers import ProgressView
from daemon.cli.new.wish import AOF, CONF, LOG, OUTPUT, PID, RDB, NewServer
from daemon.errors import Failed
from daemon.valkey.address import parse
from daemon.valkey.connection import Login, Node, Timeouts, open_node
from daemon.valkey.info import fields, number, pairs

ANSWER_SECONDS = 60.0
"""From the start until it answers at all; loading comes after that."""
END_SECONDS = 10.0
BIRTH_SECONDS = 1.0
"""From the end of the command until a server that it left in the background has a pid file."""
POLL_SECONDS = 0.05
OUTPUT_BYTES = 2_000

Told = Callable[[ProgressView], None]


class Served(Struct, frozen=True):
    """A new server that serves its data: its own ``INFO``, and how long it took."""

    info: Mapping[str, str]
    pid: int
    seconds: float


class NewProcess:
    """One start under way. `told` hears of progress."""

    def __init__(self, wanted: NewServer, process: "subprocess.Popen[bytes]", told: Told) -> None:
        self._wanted = wanted
        self._process = process
        self._told = told
        self._began = anyio.current_time()
        self._login = Login(parse(wanted.url))

    async def served(self, *, append_only: bool) -> Served:
        """Wait until it has loaded everything, and if wanted until its append-only file has it.

        Raises `Failed` with what it printed when it ends before that, or never answers.
        """
        await self._listens()
        async with open_node(self._login, Timeouts()) as node:
            await self._is_ours(node)
            info = await self._loaded(node)
            if append_only:
                await self._append(node)
            pid = _pid(self._wanted) or number(info, "process_id")
        return Served(info, pid, anyio.current_time() - self._began)

    async def _listens(self) -> None:
        """Wait until somebody accepts connections."""
        wanted = self._wanted
        self._tell("starting")
        with anyio.move_on_after(ANSWER_SECONDS):
            while not await _accepts(wanted):
                self._still_there()
                await anyio.sleep(POLL_SECONDS)
            return
        raise self._failed(f"did not answer on {wanted.url} within {ANSWER_SECONDS:g} s")

    async def _is_ours(self, node: Node) -> None:
        """Whoever answers must live in our directory: the port may have been taken meanwhile."""
        found = pairs(await node.items("CONFIG", "GET", "dir")).get("dir", "")
        with suppress(OSError):
            if self._wanted.directory.samefile(found):
                return
        raise Failed(
            "start-failed",
            f"What answers on {self._wanted.url} is another server: it lives in {found or '?'}.",
            "Give another --port.",
        )

    async def _loaded(self, node: Node) -> Mapping[str, str]:
        while True:
            self._still_there()
            info = await self._info(node)
            if info.get("loading") != "1":
                return info
            total = number(info, "loading_total_bytes") or None
            self._tell("loading", number(info, "loading_loaded_bytes"), total)
            await anyio.sleep(POLL_SECONDS)

    async def _append(self, node: Node) -> None:
        """Have it write its append-only file, and wait for the end of that."""
        self._tell("writing the append-only file")
        await node.call("CONFIG", "SET", "appendonly", "yes")
        while True:
            self._still_there()
            info = await self._info(node)
            waits = (info.get("aof_rewrite_in_progress"), info.get("aof_rewrite_scheduled"))
            if "1" not in waits:
                break
            await anyio.sleep(POLL_SECONDS)
        if info.get("aof_last_bgrewrite_status") != "ok" or info.get("aof_enabled") != "1":
            raise self._failed("could not write its append-only file")

    async def _info(self, node: Node) -> Mapping[str, str]:
        """What it says; where the connection breaks because it has ended, why it has."""
        try:
            return fields(await node.text("INFO"))
        except Failed:
            with anyio.move_on_after(1.0):
                while True:
                    self._still_there()
                    await anyio.sleep(POLL_SECONDS)
            raise

    def _still_there(self) -> None:
        """Raise when the command has failed, or the server that it started has ended."""
        code = self._process.poll()
        if code:
            raise self._failed(f"ended with code {code}" if code > 0 else f"got signal {-code}")
        pid = _pid(self._wanted)
        if code is not None and pid is not None and not _alive(pid):
            raise self._failed("ended")

    def _tell(self, phase: str, moved: int = 0, total: int | None = None) -> None:
        seconds = anyio.current_time() - self._began
        self._told(ProgressView(phase, seconds, seconds, moved, total))

    def _failed(self, what: str) -> Failed:
        """With the last of what command and server printed: their files are about to go."""
        printed = [*_tail(self._wanted.place(OUTPUT)), *_tail(self._wanted.place(LOG))][-12:]
        shown = "\n".join(printed) or "It printed nothing."
        return Failed(
            "start-failed",
            f"The new server {what}. The last that was printed:\n{shown}",
            "See its own words above; --start-command says how it is started.",
        )

    def leave(self) -> None:
        """Let it run on without us: a command that stays in the foreground, too."""
        # Popen warns of children that still run when it is forgotten: this one is meant to.
        self._process.returncode = self._process.poll() or 0

    async def end(self) -> None:
        """End the command if it still runs, and the server that it has started."""
        if self._process.poll() is None:
            _signal_group(self._process.pid, signal.SIGTERM)
        pid = await self._own_pid()
        ours = pid is not None and _is_server(pid, self._wanted)
        if pid is not None and ours:
            await self._bid_farewell()
            _signal(pid, signal.SIGTERM)
        with anyio.move_on_after(END_SECONDS):
            await _until(lambda: self._process.poll() is not None)
            await _until(lambda: not (pid and ours and _alive(pid)))
            return
        if self._process.poll() is None:
            _signal_group(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if pid is not None and ours and _is_server(pid, self._wanted):
            _signal(pid, signal.SIGKILL)

    async def _own_pid(self) -> int | None:
        """The server's pid; one that has just gone into the background is about to write it."""
        with anyio.move_on_after(BIRTH_SECONDS):
            await _until(
                lambda: (
                    _pid(self._wanted) is not None
                    or self._process.poll() not in (None, 0, -signal.SIGTERM)
                )
            )
        return _pid(self._wanted)

    async def _bid_farewell(self) -> None:
        """Ask it to go without a last save, which may take long and is for nothing."""
        with suppress(Failed), anyio.move_on_after(1.0):
            async with open_node(self._login, Timeouts()) as node:
                await node.call("CONFIG", "SET", "save", "")


@asynccontextmanager
async def launched(
    wanted: NewServer, words: Sequence[str], told: Told
) -> AsyncGenerator[NewProcess, None]:
    """Run the start command; what it has started ends with the context if that fails."""
    started = NewProcess(wanted, _run(words, wanted.place(OUTPUT)), told)
    done = False
    try:
        yield started
        done = True
    finally:
        if done:
            started.leave()
        else:
            with anyio.CancelScope(shield=True):
                await started.end()


async def _accepts(wanted: NewServer) -> bool:
    with suppress(OSError):
        async with await anyio.connect_tcp(wanted.address, wanted.port):
            return True
    return False


async def _until(so: Callable[[], bool]) -> None:
    """Wait until it is so: of other processes nobody tells us."""
    while True:
        if so():
            return
        await anyio.sleep(POLL_SECONDS)


def unmake(wanted: NewServer, *, made: bool) -> tuple[str, ...]:
    """Take away what was made; the names of what is left there.

    A directory that was there before stays, and in it whatever is not known to be ours.
    """
    directory = wanted.directory
    if made:
        shutil.rmtree(directory, ignore_errors=True)
        return (str(directory),) if directory.exists() else ()
    shutil.rmtree(wanted.place(AOF), ignore_errors=True)
    for name in (RDB, CONF, f".{CONF}.part", LOG, OUTPUT, PID):
        with suppress(OSError):
            wanted.place(name).unlink()
    with suppress(OSError):
        return tuple(sorted(str(entry) for entry in directory.iterdir()))
    return ()


def _run(words: Sequence[str], output: Path) -> "subprocess.Popen[bytes]":
    """In a session of its own: a Ctrl-C in our terminal is not for the server."""
    with output.open("ab") as sink:
        try:
            return subprocess.Popen(  # noqa: S603 - the caller's own command, split without a shell
                list(words),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise Failed(
                "start-failed",
                f"{words[0]} cannot be started: {why}.",
                "--start-command says what is started.",
            ) from None


def _pid(wanted: NewServer) -> int | None:
    """What its pid file says; None while there is none."""
    with suppress(OSError, ValueError):
        return int(wanted.place(PID).read_text())
    return None


def _command_line(pid: int) -> str:
    """How the process is called now; empty for none, and for one that only waits to be reaped."""
    with suppress(OSError):
        return Path("/proc", str(pid), "cmdline").read_bytes().decode(errors="replace")
    return ""


def _alive(pid: int) -> bool:
    return bool(_command_line(pid))


def _is_server(pid: int, wanted: NewServer) -> bool:
    """Whether that process is our server: it names itself after its port, or our file.

    A number in a file proves nothing: the file may be of a container, the number of another.
    """
    line = _command_line(pid)
    return f":{wanted.port}" in line or str(wanted.directory) in line


def _signal(pid: int, number_: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number_)


def _signal_group(pid: int, number_: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number_)


def _tail(path: Path) -> list[str]:
    """The last lines of a file."""
    with suppress(OSError), path.open("rb") as log:
        log.seek(0, os.SEEK_END)
        log.seek(max(0, log.tell() - OUTPUT_BYTES))
        text = log.read().decode(errors="replace")
        return [line.strip() for line in text.splitlines() if line.strip()]
    return []
