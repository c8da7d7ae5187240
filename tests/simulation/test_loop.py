"""The virtual loop: time jumps, kills are final, and what is lost or stuck is noticed."""

import socket

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread

from daemon.storage.one_error import one_error
from tests.simulation.loop import Deadlock, Escape, Livelock, ProcessKilled, VirtualLoop
from tests.simulation.virtual import orderly_scopes, pass_time, virtually


def test_time_jumps() -> None:
    """A day passes without a wait, and everything comes in its order."""

    async def main() -> list[str]:
        seen: list[str] = []

        async def after(seconds: float, name: str) -> None:
            await pass_time(seconds)
            seen.append(f"{name} at {anyio.current_time()}")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(after, 86400.0, "tomorrow")
            tasks.start_soon(after, 1.0, "soon")
        return seen

    assert virtually(main) == ["soon at 1.0", "tomorrow at 86400.0"]


def test_deadlock_is_noticed() -> None:
    """A wake-up that never comes is an error, not a test that hangs."""

    async def main() -> None:
        await anyio.Event().wait()

    with pytest.raises(Deadlock):
        virtually(main)


def test_livelock_is_noticed() -> None:
    """A loop that goes round while no time passes is an error, not a test that hangs."""

    async def main() -> None:
        while True:
            await anyio.lowlevel.checkpoint()

    with pytest.raises(Livelock):
        virtually(main)


def test_there_is_no_way_out() -> None:
    """Threads and sockets are refused inside the simulation."""

    async def thread() -> None:
        await to_thread.run_sync(socket.socket)

    async def connection() -> None:
        with one_error():
            await anyio.connect_tcp("127.0.0.1", 1)

    for way in (thread, connection):
        with pytest.raises(Escape):
            virtually(way)


def test_kill_runs_nothing_more() -> None:
    """After a kill no `finally` runs until the dead are abandoned."""
    loop = VirtualLoop()
    seen: list[str] = []

    async def main() -> None:
        try:
            seen.append("begun")
            await pass_time(1.0)
            seen.append("not reached")
        finally:
            seen.append("cleaned up")

    loop.kill_at = 3
    with orderly_scopes(), pytest.raises(ProcessKilled):
        loop.run_until_complete(main())
    assert seen == ["begun"]

    loop.abandon()
    assert loop.left_over() == []
    assert seen == ["begun", "cleaned up"]
