"""What a daemon says that stops or starts: to who waits for an answer, and to who comes now.

Nobody is left to guess: where no answer can come there is a refusal of its own kind, which says
what becomes of what was asked for.
"""

import socket
from collections.abc import Callable

import anyio

from daemon.api.faults import refusal
from daemon.api.peer import peer_of
from daemon.api.roles import Access
from daemon.errors import Away

STOPPING, STARTING = "stopping", "starting"
_AGAIN = "Ask again when it runs: `systemctl status valkeep` tells whether it does."


def cut_off(*, question: bool) -> Away:
    """For whoever waits for an answer that will not come any more."""
    if not question:
        return Away(
            STOPPING,
            "The daemon is stopping, and did not come to an end with this before.",
            "Whether it was taken is in the log: look with `valkeep events` when it runs again, "
            "before you say it once more.",
        )
    return Away(
        STOPPING,
        "The daemon is stopping. What was asked for is in its log: with the next start it goes "
        "on, or is recorded as interrupted.",
        _AGAIN,
    )


def broken_off() -> Away:
    """For whoever reads a history, which does not end here."""
    return Away(
        STOPPING,
        "The daemon is stopping: this is not the end of the history.",
        "Go on when it runs again, after the last position that came: `--after N`, `?after=N`.",
    )


def too_late() -> Away:
    """For whoever comes now: nothing was read, so nothing was done."""
    return Away(STOPPING, "The daemon is stopping, and takes nothing any more.", _AGAIN)


def too_early(log_bytes: int, seconds: float) -> Away:
    """For whoever comes while the log is read: nothing was read of theirs, so nothing was done."""
    return Away(
        STARTING,
        f"The daemon is starting: for {seconds:.0f} s it has been reading its log of "
        f"{_mebibytes(log_bytes)}.",
        "Ask again in a moment; `systemctl status valkeep` or its own log tells how it goes.",
    )


async def turning_away(door: socket.socket, access: Access, standing: Callable[[], Away]) -> None:
    """Refuse everybody at a listening, non-blocking Unix socket, until cancelled."""
    while True:
        await anyio.wait_readable(door)
        turn_away_all(door, access, standing())


def turn_away_all(door: socket.socket, access: Access, error: Away) -> None:
    """Refuse whoever has knocked by now; a stranger hears nothing, as ever."""
    while True:
        try:
            connection, _ = door.accept()
        except OSError:
            return
        with connection:
            _refuse(connection, access, error)


def _refuse(connection: socket.socket, access: Access, error: Away) -> None:
    """In one write: the socket's buffer is empty, so it cannot block."""
    connection.settimeout(0)
    try:
        if access.role_of(peer_of(connection)) is not None:
            connection.send(refusal(error))
    except OSError:
        return


def _mebibytes(size_bytes: int) -> str:
    return f"{max(0.1, size_bytes / 2**20):,.1f} MiB"
