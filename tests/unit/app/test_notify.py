"""What a service manager wants of us and gives us, read from its variables."""

import socket
from pathlib import Path

import anyio
import pytest

from daemon.app.notify import feed_watchdog, handed_over, watchdog_seconds
from daemon.errors import BadRequest

PID = 42


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "240000000"}, 240.0),
        ({"WATCHDOG_USEC": "240000000", "WATCHDOG_PID": "42"}, 240.0),
        ({"WATCHDOG_USEC": "240000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_a_watchdog_is_fed_where_one_looks(
    environment: dict[str, str], seconds: float | None
) -> None:
    """The time is in microseconds, and meant for the process that is named."""
    assert watchdog_seconds(environment, PID) == seconds


@pytest.mark.anyio
async def test_signs_of_life_end_with_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it works, a sign comes in good time; when it works no more, none."""
    works = [True, True, False, True]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        manager.settimeout(0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        async with anyio.create_task_group() as tasks:

            def alive() -> bool:
                if len(works) == 1:
                    tasks.cancel_scope.cancel()
                return works.pop(0)

            tasks.start_soon(feed_watchdog, 0.004, alive)
        heard = [manager.recv(100) for _ in range(3)]
        with pytest.raises(BlockingIOError):
            manager.recv(100)

    assert heard == [b"WATCHDOG=1"] * 3


@pytest.mark.parametrize("environment", [{}, {"LISTEN_PID": "43", "LISTEN_FDS": "1"}])
def test_nothing_is_taken_that_is_not_ours(environment: dict[str, str]) -> None:
    """What is handed over to another process, an ancestor say, is none of our business."""
    assert handed_over(environment, PID) is None


@pytest.mark.parametrize("count", ["0", "2", "", "many"])
def test_exactly_one_socket_is_taken(count: str) -> None:
    """A unit that hands over none or several is refused, saying what it needs."""
    with pytest.raises(BadRequest) as refused:
        handed_over({"LISTEN_PID": "42", "LISTEN_FDS": count}, PID)
    assert "ListenStream" in refused.value.hint
