"""Holding what is another's only as long as we are wanted, and signs of life while we wait.

A cancelled task may have to wait for a call that cannot be interrupted. What it holds of a
server (a connection that keeps a fork alive) is let go at once all the same, because another
task holds it.
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

import anyio
from anyio.abc import TaskStatus

from daemon.ports import Progress
from daemon.storage.one_error import one_error

T = TypeVar("T")

SIGN_SECONDS = 30.0


@asynccontextmanager
async def held(context: AbstractAsyncContextManager[T]) -> AsyncGenerator[T, None]:
    """The context's value; when the caller is cancelled the context ends before the caller does."""
    over = anyio.Event()
    with one_error():
        async with anyio.create_task_group() as tasks:
            value: T = await tasks.start(_hold, context, over)
            yield value
            over.set()


async def _hold(
    context: AbstractAsyncContextManager[T],
    over: anyio.Event,
    *,
    task_status: TaskStatus[T] = anyio.TASK_STATUS_IGNORED,
) -> None:
    async with context as value:
        task_status.started(value)
        await over.wait()


@asynccontextmanager
async def bounded_elsewhere(progress: Progress) -> AsyncGenerator[None, None]:
    """Signs of life for as long as the body runs: only for what has a bound of its own."""
    with one_error():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_give_signs, progress)
            yield
            tasks.cancel_scope.cancel()


async def _give_signs(progress: Progress) -> None:
    while True:
        await anyio.sleep(SIGN_SECONDS)
        progress.advance(0)
