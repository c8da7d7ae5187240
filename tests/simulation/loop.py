"""A deterministic asyncio loop on virtual time: one thread, no selector, no I/O.

Only `_run_once` and the leaf methods of `asyncio.BaseEventLoop` are replaced; tasks, futures
and anyio's backend run unchanged on top. Time jumps to the next timer when nothing is ready.
`kill -9` is an exception that leaves the loop between two callbacks.
"""

import asyncio
import heapq
import sys
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from typing import Any, Self, TypeVar

from anyio import lowlevel
from anyio._backends import _asyncio as backend

T = TypeVar("T")
LIVELOCK_STEPS = 200_000


class ProcessKilled(BaseException):
    """The process is gone: no `finally`, no `except`, no shutdown runs in it any more."""


class Deadlock(RuntimeError):
    """Nothing is ready and no timer is set: a wake-up was lost."""


class Livelock(RuntimeError):
    """Too many steps without any virtual time passing."""


class Escape(RuntimeError):
    """Code under simulation reached for a socket, a thread or a child process."""


class _NumberedTask(asyncio.Task[Any]):
    """A task whose hash is its birth number, so that sets of tasks iterate alike in every run."""

    def __init__(self, coroutine: Any, *, loop: "VirtualLoop", **options: Any) -> None:
        self.number = loop.born
        loop.born += 1
        loop.tasks.append(self)
        super().__init__(coroutine, loop=loop, **options)

    def __hash__(self) -> int:
        return self.number


class _Timer(float):
    """When a timer is due: compared as asyncio compares handles, but not by code in Python."""

    __slots__ = ("handle",)
    handle: Any

    def __new__(cls, when: float, handle: Any) -> Self:
        timer = super().__new__(cls, when)
        timer.handle = handle
        return timer


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in asyncio's own order; `kill_at` is the step before which it dies.

    What is in `before_step` is called before the step of that number, `witness` before each.
    """

    _ready: Any
    _scheduled: list[Any]
    _stopping: bool
    _check_closed: Any

    def __init__(self, now: float = 0.0, kill_at: int | None = None) -> None:
        super().__init__()
        self.now = now
        self.kill_at = kill_at
        self.steps = 0
        self.before_step: dict[int, Callable[[], object]] = {}
        self.witness: Callable[[], object] | None = None
        self.tasks: list[asyncio.Task[Any]] = []
        self.born = 0
        self.troubles: list[dict[str, Any]] = []
        self._still = 0
        self.set_exception_handler(lambda _, context: self.troubles.append(context))
        self.set_task_factory(_numbered)

    def time(self) -> float:
        """Virtual seconds."""
        return self.now

    def _run_once(self) -> None:
        ready, timers = self._ready, self._scheduled
        while timers and timers[0].handle._cancelled:
            heapq.heappop(timers).handle._scheduled = False
        if not ready:
            self._jump()
        while timers and timers[0] <= self.now:
            handle = heapq.heappop(timers).handle
            handle._scheduled = False
            if not handle._cancelled:
                ready.append(handle)
        self._still += len(ready)
        if self._still > LIVELOCK_STEPS:
            raise Livelock(f"at {self.now}: {ready[0]!r}")
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                self._step(handle)

    def _step(self, handle: Any) -> None:
        self.steps += 1
        if self.steps == self.kill_at:
            self._ready.appendleft(handle)  # or its task would be closed before it is abandoned
            raise ProcessKilled
        if self.witness is not None:
            self.witness()
        if self.steps in self.before_step:
            self.before_step.pop(self.steps)()
        handle._run()

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """A timer, in a heap that compares plain numbers."""
        self._check_closed()
        handle: Any = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._scheduled, _Timer(when, handle))
        handle._scheduled = True
        return handle  # type: ignore[no-any-return]

    def _jump(self) -> None:
        if not self._scheduled:
            if self._stopping:
                return
            raise Deadlock(f"at {self.now}: nothing is ready and no timer is set")
        if self._scheduled[0] > self.now:
            self.now = self._scheduled[0].handle.when()
            self._still = 0

    def _timer_handle_cancelled(self, handle: Any) -> None:
        """Cancelled timers are dropped when they come up; nothing needs counting."""

    def _write_to_self(self) -> None:
        """There is no other thread that would have to be woken."""

    def _process_events(self, event_list: Any) -> None:
        """There is no selector."""

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Refused: heavy work goes through the Offload port, which runs inline here."""
        raise Escape(f"a thread for {func!r}")

    def _escape(self, *_: Any, **__: Any) -> Any:
        raise Escape("real input or output inside the simulation")

    add_reader = add_writer = _escape  # type: ignore[assignment]
    _add_reader = _add_writer = _escape
    create_connection = create_server = _escape
    create_unix_server = create_unix_connection = _escape
    subprocess_exec = subprocess_shell = _escape

    def forget_done(self) -> None:
        """Let tasks that have ended be collected."""
        self.tasks = [task for task in self.tasks if not task.done()]

    def left_over(self) -> list[str]:
        """The tasks that have not ended, by what they run."""
        left = [task.get_coro() for task in self.tasks if not task.done()]
        return [getattr(coroutine, "__qualname__", "?") for coroutine in left]

    def abandon(self) -> None:
        """Drop every task as a killed process does.

        Coroutines are closed only to keep the interpreter quiet: each as if it ran, so that what
        it asks of the loop is answered. Whatever a `finally` tries now cannot touch the world:
        the caller has taken a copy of it before.
        """
        with unheard():
            asyncio._set_running_loop(self)
            self._close_tasks()
            asyncio._set_running_loop(None)
            self._ready.clear()
            self._scheduled.clear()
            self.close()

    def _close_tasks(self) -> None:
        """Close each as if it ran; anyio has to be told to forget the tasks of the dead."""
        lowlevel._run_vars.pop(self, None)
        tasks, self.tasks = self.tasks, []
        for task in [task for task in tasks if not task.done()]:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            asyncio.tasks._enter_task(self, task)
            _close(task.get_coro())
            asyncio.tasks._leave_task(self, task)
        for task in tasks:
            backend._task_states.pop(task, None)


@contextmanager
def unheard() -> Iterator[None]:
    """What the dead complain of is not heard: coroutines never awaited, errors while closing."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.unraisablehook = hook


def _numbered(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, T] | Any,
    context: Context | None = None,
    **options: Any,
) -> asyncio.Task[T]:
    assert isinstance(loop, VirtualLoop)
    return _NumberedTask(coroutine, loop=loop, context=context, **options)


def _close(coroutine: Any) -> None:
    """Close a coroutine however often it awaits in a `finally`; its errors reach nobody."""
    for _ in range(50):
        with suppress(BaseException):
            coroutine.close()
            return
