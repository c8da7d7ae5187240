"""Waiting over the end of a daemon: its next life is asked where the last one broke off.

What is waited for is in the log, so a restart changes nothing of it. Knows when to give up, and
what to tell meanwhile; the time that a daemon is away is measured by our own clock.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from msgspec import Struct

from daemon.cli.desk import Desk
from daemon.cli.sign import Sign, Standing
from daemon.client import STRANGER
from daemon.errors import Away, Forbidden, Unreachable, ValkeepError

RETURN_SECONDS = 60.0
"""Who gave no time-out waits so long for the next daemon: a restart takes far less."""
STEP_SECONDS = 0.5
STARTING = "starting"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

T = TypeVar("T")


class Gone(Exception):
    """No daemon came back in time; `message` says what the last one did, and for how long none."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Rejoin(Struct):
    """One wait's questions to whatever daemon there is."""

    desk: Desk
    shown_on: Sign
    answered: bool = False
    away: bool = False

    def ask(self, asked: Callable[[float], T], hold: float, left: float | None) -> T:
        """The answer to a question that may be held back so long, perhaps of the next daemon.

        `left` is how long the wait may last. Raises `Gone`, and every refusal of a daemon's.
        """
        try:
            found = asked(hold)
        except (Away, Unreachable, Forbidden) as error:
            if not self._lost(error):
                raise
            found = self._again(asked, error, left)
        self.answered, self.away = True, False
        return found

    def _lost(self, error: ValkeepError) -> bool:
        """Whether the daemon has gone; one that dies may look as it does before strangers."""
        return not isinstance(error, Forbidden) or (self.answered and error.code == STRANGER)

    def _again(self, asked: Callable[[float], T], first: ValkeepError, left: float | None) -> T:
        self.away = True
        began = alive = self.desk.seconds()
        error = first
        while True:
            now = self.desk.seconds()
            if error.code == STARTING:
                alive = now
            over = now - began >= left if left is not None else now - alive >= RETURN_SECONDS
            if over:
                raise Gone(_told(now - began, first=first, last=error))
            self._show(error, now)
            self.desk.sleep(STEP_SECONDS if left is None else min(STEP_SECONDS, left))
            try:
                return asked(0)
            except (Away, Unreachable, Forbidden) as another:
                if not self._lost(another):
                    raise
                error = another

    def _show(self, error: ValkeepError, now: float) -> None:
        label = "the daemon is away: waiting until it is back"
        if error.code == STARTING:
            label = "the daemon is starting"
        self.shown_on.show(Standing(False, label, None, _EPOCH + timedelta(seconds=now)))  # noqa: FBT003


def _told(seconds: float, *, first: ValkeepError, last: ValkeepError) -> str:
    how = "the daemon was stopped" if isinstance(first, Away) else "the daemon went away"
    return f"{how}, and for {seconds:.0f} s no other has answered. {last.message}"
