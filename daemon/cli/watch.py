"""A page that is drawn again in its place, until Ctrl-C; also over a daemon's restart.

Draws on the terminal's other screen, line by line and without clearing it first, so that nothing
flickers and the terminal is left as it was found. Knows no page: who calls says how it looks.
"""

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import anyio
import click
import msgspec
from anyio import to_thread
from msgspec import Struct

from daemon.answers import Status
from daemon.cli.words import duration, instant
from daemon.errors import Unreachable, ValkeepError

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
HOME, TO_END_OF_LINE, TO_END, PLAIN = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[0m"
_SIGN = re.compile(r"\x1b\[[0-9;]*m")
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Watched(Struct, frozen=True):
    """What is asked again and again, how an answer looks at a width, and how often."""

    ask: Callable[[], Status]
    drawn: Callable[[Status, int], list[str]]
    interval_seconds: float


class Frame(Struct):
    """The last answer, and since when there is no other."""

    found: Status
    found_at: float
    trouble: ValkeepError | None = None
    silent_at: float = 0.0
    asking: bool = False


def watch(watched: Watched) -> None:
    """Draw until a signal ends it; raises what the first question does."""
    frame = Frame(watched.ask(), 0.0)
    anyio.run(_watch, watched, frame)
    if frame.asking:
        # A thread waits for a daemon that hangs, and Python would wait for the thread.
        os._exit(0)


def stream(ask: Callable[[], bytes], interval_seconds: float) -> None:
    """One answer a line, until whoever reads has enough; raises what the first question does.

    Later on a daemon that does not answer is told once, and asked again.
    """

    async def run(answer: bytes | None) -> None:
        silent = False
        while True:
            if answer is not None:
                click.echo(msgspec.json.format(answer, indent=-1))
            await anyio.sleep(interval_seconds)
            try:
                answer, silent = ask(), False
            except Unreachable as error:
                if not silent:
                    click.echo(f"no answer, trying: {error.message}", err=True)
                answer, silent = None, True

    anyio.run(run, ask())


async def _watch(watched: Watched, frame: Frame) -> None:
    frame.found_at = anyio.current_time()
    with _other_screen():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_redraw_when_resized, watched, frame)
            tasks.start_soon(_end_when_told, tasks.cancel_scope)
            while True:
                _draw(watched, frame)
                await anyio.sleep(watched.interval_seconds)
                await _refresh(watched, frame)


async def _refresh(watched: Watched, frame: Frame) -> None:
    """The next answer, or why there is none."""
    frame.asking = True
    try:
        found = await to_thread.run_sync(watched.ask, abandon_on_cancel=True)
    except ValkeepError as error:
        if frame.trouble is None:
            frame.silent_at = anyio.current_time()
        frame.trouble = error
    except msgspec.MsgspecError as error:
        told = f"The daemon's answer is not understood: {error}"
        frame.trouble = ValkeepError("answer", told, "Start this command again.")
    else:
        frame.found, frame.found_at, frame.trouble = found, anyio.current_time(), None
    frame.asking = False


async def _redraw_when_resized(watched: Watched, frame: Frame) -> None:
    with anyio.open_signal_receiver(signal.SIGWINCH, signal.SIGCONT) as signals:
        async for number in signals:
            if number == signal.SIGCONT:
                _write(ENTER)
            _draw(watched, frame)


async def _end_when_told(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(*_ENDS, signal.SIGTSTP) as signals:
        async for number in signals:
            if number in _ENDS:
                scope.cancel()
                return
            # Stopped by Ctrl-Z: the shell gets its screen; SIGCONT brings ours back.
            _write(LEAVE)
            os.kill(os.getpid(), signal.SIGSTOP)


@contextmanager
def _other_screen() -> Iterator[None]:
    _write(ENTER)
    try:
        yield
    finally:
        _write(LEAVE)


def _draw(watched: Watched, frame: Frame) -> None:
    size = os.get_terminal_size(sys.stdout.fileno())
    lines = [*head(frame, anyio.current_time()), *watched.drawn(frame.found, size.columns)]
    _write(screen(lines, columns=size.columns, rows=size.lines))


def head(frame: Frame, elapsed: float) -> list[str]:
    """What stands above the page while the daemon does not answer; `elapsed` is the loop's time."""
    now = f"{instant(frame.found.now)}  Ctrl-C ends"
    if frame.trouble is None:
        return [now, ""]
    silent = duration(elapsed - frame.silent_at)
    since = frame.found.now + timedelta(seconds=frame.silent_at - frame.found_at)
    return [
        f"NO ANSWER since {instant(since)} ({silent}), trying again and again:",
        f"  {frame.trouble.message}",
        f"What follows was so at {instant(frame.found.now)}.  Ctrl-C ends",
        "",
    ]


def screen(lines: list[str], *, columns: int, rows: int) -> str:
    """What draws these lines in their places; those that have no room are counted."""
    shown = [clipped(line, columns) for line in lines]
    if len(shown) > rows:
        left = len(shown) - rows + 1
        shown = [
            *shown[: rows - 1],
            clipped(f"… {left} more lines: make the window higher", columns),
        ]
    body = f"{PLAIN}{TO_END_OF_LINE}\n".join(shown)
    return f"{HOME}{body}{PLAIN}{TO_END_OF_LINE}{TO_END}"


def clipped(line: str, columns: int) -> str:
    """At most so many characters of a line; colours take no room."""
    kept: list[str] = []
    room, at = columns, 0
    for sign in _SIGN.finditer(line):
        text = line[at : sign.start()][:room]
        kept += [text, sign[0]]
        room -= len(text)
        at = sign.end()
    return "".join([*kept, line[at:][:room]])


def _write(text: str) -> None:
    click.echo(text, nl=False)
    sys.stdout.flush()
