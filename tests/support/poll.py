"""Waiting for what a real server says of itself, with a deadline instead of a sleep."""

from collections.abc import Awaitable, Callable

import anyio

STEP_SECONDS = 0.01


async def until(
    condition: Callable[[], Awaitable[bool]], what: str, *, deadline_seconds: float = 20.0
) -> None:
    """Ask until the condition holds; past the deadline `AssertionError` says what never came."""
    end = anyio.current_time() + deadline_seconds
    while not await condition():
        assert anyio.current_time() < end, f"waited {deadline_seconds} s in vain: {what}"
        await anyio.sleep(STEP_SECONDS)
