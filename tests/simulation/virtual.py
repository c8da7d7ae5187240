"""Running something on virtual time, alike in every run, and looking behind it when it is done.

Knows the loop and the one place where anyio's order of events depends on addresses. It knows
nothing of what runs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableSet
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from math import inf
from typing import TypeVar, cast

import anyio
import pytest
from anyio._backends import _asyncio as backend
from anyio._core import _eventloop as front

from tests.simulation.loop import Escape, VirtualLoop

T = TypeVar("T")
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class _InOrder(MutableSet[object]):
    """A set that iterates in the order of insertion."""

    def __init__(self) -> None:
        self._items: dict[object, None] = {}

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __iter__(self) -> Iterator[object]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def add(self, value: object) -> None:
        """Add at the end, if it is new."""
        self._items[value] = None

    def discard(self, value: object) -> None:
        """Take it out, if it is there."""
        self._items.pop(value, None)


@contextmanager
def orderly_scopes() -> Iterator[None]:
    """Cancellations are delivered in order of age, and threads are refused.

    anyio keeps a scope's children in a set that is ordered by their addresses, which differ
    from run to run; and its threads go past the loop. With each of its calls it asks which loop
    runs: here there is one kind.
    """
    plain = backend.CancelScope.__init__

    def in_order(self: backend.CancelScope, deadline: float = inf, shield: bool = False) -> None:  # noqa: FBT001, FBT002
        plain(self, deadline, shield)
        self._child_scopes = cast("set[backend.CancelScope]", _InOrder())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend.CancelScope, "__init__", in_order)
        patch.setattr(front, "current_async_library", lambda: "asyncio")
        patch.setattr(backend.AsyncIOBackend, "run_sync_in_worker_thread", _no_thread)
        yield


async def _no_thread(*_: object, **__: object) -> None:
    raise Escape("a thread inside the simulation")


def virtually(main: Callable[[], Awaitable[T]], *, start: float = 0.0) -> T:
    """What `main` returns, run on virtual time; no task may outlive it, no error go unheard."""
    loop = VirtualLoop(start)

    async def run() -> T:
        return await main()

    with orderly_scopes():
        try:
            result = loop.run_until_complete(run())
            left = loop.left_over()
        finally:
            troubles = list(loop.troubles)
            loop.abandon()
    assert [] == left
    assert [] == troubles
    return result


async def pass_time(seconds: float) -> None:
    """Let virtual time pass. Nobody waits: a loop that has nothing else to do jumps to then.

    Raises `Escape` where time is real, so that no test can sleep by this.
    """
    if not isinstance(asyncio.get_running_loop(), VirtualLoop):
        raise Escape("time passes by itself here: wait for what is to happen")
    await anyio.sleep(seconds)


class VirtualClock:
    """A wall clock that goes with the loop, until somebody sets it."""

    def __init__(self, start: datetime = START) -> None:
        self.start = start

    def now(self) -> datetime:
        """The present instant of the simulated world."""
        return self.start + timedelta(seconds=anyio.current_time())

    def set_by(self, step: timedelta) -> None:
        """Somebody, or NTP, sets the clock."""
        self.start += step


class CountedIds:
    """Ids and tokens that count; the run number keeps those of different runs apart."""

    def __init__(self, run: int = 0) -> None:
        self._run = run
        self._count = 0

    def new(self) -> str:
        """See `Ids.new`."""
        self._count += 1
        return f"20260301T{self._run:06}Z-{self._count:08x}"

    def token(self, length: int) -> str:
        """See `Ids.token`."""
        self._count += 1
        return f"{self._count:x}".zfill(length)[-length:]

    def jitter(self) -> float:
        """See `Ids.jitter`: spread, and alike in every run."""
        self._count += 1
        return (self._count * 0.618034) % 1.0
