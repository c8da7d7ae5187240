"""A terminal with a command in it: what it draws, its size, its signals and its end."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import anyio
from anyio import to_thread

SECONDS = 20.0
_SIGN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """The outer end of a pseudo-terminal, and the process at its inner end."""

    def __init__(self, outer: int, process: subprocess.Popen[bytes]) -> None:
        self.written = ""
        """All that has come so far, control sequences included."""
        self._outer = outer
        self._process = process

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def screen(self) -> str:
        """What stands on it since it was last drawn from its first line on, without colours."""
        return _SIGN.sub("", self.written.rpartition("\x1b[H")[2])

    async def shows(self, text: str) -> None:
        """Wait until this stands on the screen."""
        with anyio.fail_after(SECONDS):
            while text not in self.screen:
                await self._more()

    async def lacks(self, text: str) -> None:
        """Wait until a screen without this has been drawn."""
        with anyio.fail_after(SECONDS):
            while text in self.screen:
                await self._more()

    async def _more(self) -> None:
        await anyio.wait_readable(self._outer)
        self.written += os.read(self._outer, 65536).decode(errors="replace")

    def resize(self, *, rows: int, columns: int) -> None:
        """Give it another size; its process hears of that."""
        _resize(self._outer, rows=rows, columns=columns)
        self.signal(signal.SIGWINCH)

    def signal(self, number: signal.Signals) -> None:
        """Send one to the process."""
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait until the process is gone; its exit code, with all that it wrote at last."""
        code = await to_thread.run_sync(self._process.wait, SECONDS)
        os.set_blocking(self._outer, False)
        try:
            while piece := os.read(self._outer, 65536):
                self.written += piece.decode(errors="replace")
        except OSError:
            return code
        return code


@contextmanager
def terminal(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Terminal]:
    """A command in a terminal of 24 lines and 80 columns; killed at the end if it still runs."""
    outer, inner = pty.openpty()
    _resize(outer, rows=24, columns=80)
    process = subprocess.Popen(
        command, stdin=inner, stdout=inner, stderr=inner, env=dict(environment)
    )
    os.close(inner)
    try:
        yield Terminal(outer, process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(SECONDS)
        os.close(outer)


def _resize(outer: int, *, rows: int, columns: int) -> None:
    fcntl.ioctl(outer, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
