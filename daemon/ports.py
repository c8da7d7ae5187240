"""The seams that the composition root fills: clock, ids, randomness, threads, progress.

Protocols only. In simulations each has a deterministic form; nothing below `app` may
reach around them (no wall clock, no uuid, no random, no thread of its own).
"""

from collections.abc import Callable
from datetime import datetime
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Clock(Protocol):
    """The wall clock. Durations use `anyio.current_time()`, never this."""

    def now(self) -> datetime:
        """The present instant, UTC and aware."""
        ...


class Ids(Protocol):
    """Fresh names and secrets."""

    def new(self) -> str:
        """A new id: 8 digits, ``T``, 6 digits, ``Z-`` and 8 hexadecimal digits; sorts by time."""
        ...

    def token(self, length: int) -> str:
        """That many random hexadecimal characters, unguessable."""
        ...

    def jitter(self) -> float:
        """A random number, 0 <= x < 1, for spreading retries."""
        ...


class Offload(Protocol):
    """Runs blocking or heavy functions off the event loop, a bounded number at a time."""

    async def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result; its exceptions come through. Not interrupted by cancellation."""
        ...


class Progress(Protocol):
    """Where one piece of work reports how far it is; kept in memory only."""

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        """A new phase begins; the total is what the phase is expected to move, if known."""
        ...

    def advance(self, moved_bytes: int) -> None:
        """So many more bytes of the phase are done; 0 says that it gets on without any.

        Work that says nothing for long is ended as stalled: whatever lasts gives such signs, or
        has a bound of its own.
        """
        ...


class Tell(Protocol):
    """Where a question that takes long says how far it is; kept for whoever waits for it alone."""

    def __call__(self, doing: str, done: int = 0, total: int | None = None) -> None:
        """What is being done, and how many of how many are done, if that can be counted."""
        ...


def untold(doing: str, done: int = 0, total: int | None = None) -> None:
    """Nobody wants to know."""
