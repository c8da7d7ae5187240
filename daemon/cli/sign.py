"""What is shown while somebody waits: a bar on a terminal, plain lines elsewhere.

Knows the screen and nothing of what is waited for. What moves by itself comes with a clock; the
rest goes by the daemon's.
"""

import os
import re
import sys
from datetime import datetime
from typing import Protocol

import click
from msgspec import Struct

from daemon.answers.progress import ProgressView
from daemon.cli.bar import line
from daemon.cli.rate import Rate
from daemon.cli.wide import cut
from daemon.cli.words import duration

BAR_STEP_SECONDS = 0.5
LINE_STEP_SECONDS = 5.0
FIRST_STEP_SECONDS, FIRST_LOOKS = 1.0, 10
"""Short work is looked at more often, or its phases would never be seen."""
LINE_EVERY_SECONDS = 30.0
"""In a long phase a plain line says so often how far it is."""
WAIT_EVERY_SECONDS = 300.0
"""What only waits is said again so often: it still does."""
NARROWEST = 20


class Standing(Struct, frozen=True):
    """What is shown of running work, and whether it has ended."""

    ended: bool
    label: str
    progress: ProgressView | None
    now: datetime
    moving: bool = False
    """Whether the label tells how far it is, and is worth saying now and then."""


class Sign(Protocol):
    """Where it is told how far work is."""

    step: float
    """So many seconds may lie between two looks."""

    def show(self, standing: Standing) -> None:
        """Tell one look at running work."""
        ...

    def clear(self) -> None:
        """Leave the screen to what comes next; may be called twice."""
        ...


def told(standing: Standing, rate: Rate | None = None, columns: int | None = None) -> str:
    """One line: phase, bar, amount, rate, time left; each as far as it is known and has room."""
    progress = standing.progress
    if progress is None:
        return standing.label if columns is None else cut(standing.label, columns)
    return line(progress, rate or Rate().after(progress), columns)


class Lines:
    """For logs and pipes: a line for each phase, and in a long one another now and then."""

    def __init__(self) -> None:
        self.step = FIRST_STEP_SECONDS
        self._looks = 0
        self._rate = Rate()
        self._phase = ""
        self._since: datetime | None = None
        self._told_at: datetime | None = None

    def show(self, standing: Standing) -> None:
        """See `Sign`."""
        progress = standing.progress
        self._looks += 1
        self.step = FIRST_STEP_SECONDS if self._looks < FIRST_LOOKS else LINE_STEP_SECONDS
        if progress is not None:
            self._rate = self._rate.after(progress)
        phase = progress.phase if progress else standing.label
        if self._since is None or self._told_at is None or self._is_new(phase, standing):
            self._phase, self._since, self._told_at = phase, standing.now, standing.now
            click.echo(phase, err=True)
            return
        every = LINE_EVERY_SECONDS if progress or standing.moving else WAIT_EVERY_SECONDS
        if (standing.now - self._told_at).total_seconds() >= every:
            self._told_at = standing.now
            waited = duration((standing.now - self._since).total_seconds())
            more = line(progress, self._rate) if progress else f"{standing.label}  for {waited}"
            click.echo(more, err=True)

    def _is_new(self, phase: str, standing: Standing) -> bool:
        """Whether another phase has begun; what moves on quickly is not told each time."""
        if standing.moving and self._told_at is not None:
            since = (standing.now - self._told_at).total_seconds()
            return since >= LINE_STEP_SECONDS and _words(phase) != _words(self._phase)
        return _kind(phase) != _kind(self._phase)

    def clear(self) -> None:
        """Nothing to take away."""


class Bar:
    """On a terminal: one line that changes in its place, and is never longer than that is wide."""

    step = BAR_STEP_SECONDS

    def __init__(self) -> None:
        self._rate = Rate()
        self._shown = False

    def show(self, standing: Standing) -> None:
        """See `Sign`."""
        if standing.progress is not None:
            self._rate = self._rate.after(standing.progress)
        text = told(standing, self._rate, _columns() - 1)
        # The rest is wiped afterwards: a line that is wiped first would flicker.
        click.echo(f"\r{text}\x1b[K", err=True, nl=False)
        self._shown = True

    def clear(self) -> None:
        """Take the line away; what follows is the result."""
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)
        self._shown = False


class Silence:
    """For programs that read what is said on stderr, which then is nothing but errors."""

    step = LINE_STEP_SECONDS

    def show(self, standing: Standing) -> None:
        """Nobody reads it."""

    def clear(self) -> None:
        """Nothing to take away."""


def sign(*, terminal: str, as_json: bool) -> Sign:
    """What fits stderr; `terminal` is its kind, as ``TERM`` says it."""
    if sys.stderr.isatty() and terminal != "dumb":
        return Bar()
    return Silence() if as_json and not sys.stderr.isatty() else Lines()


def _columns() -> int:
    """As wide as the terminal is now: it may have been made smaller while we waited."""
    try:
        return max(NARROWEST, os.get_terminal_size(sys.stderr.fileno()).columns)
    except (OSError, ValueError):
        return 80


def _words(label: str) -> str:
    """A label without its bar and figures."""
    return _kind(re.sub(r"^\[[#.]*\] ", "", label))


def _kind(phase: str) -> str:
    """A phase without its figures: those change while it goes on."""
    return re.sub(r"\d[\d,.]*", "0", phase)
