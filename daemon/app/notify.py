"""How the service manager and we talk: readiness, signs of life, and sockets that it hands over.

``sd_notify(3)``: one datagram of ``NAME=value`` lines to the socket in ``NOTIFY_SOCKET``.
``sd_watchdog_enabled(3)`` and ``sd_listen_fds(3)``: what it wants and gives stands in variables
too. Whoever starts us may do the same; without the variables nothing is sent or taken.
"""

import os
import socket
from collections.abc import Callable, Mapping

import anyio

from daemon.errors import BadRequest

FIRST_HANDED = 3
"""``SD_LISTEN_FDS_START``: the number of the first file that is handed over."""
SHARE = 4
"""Signs of life come so many times in the time that is given."""


def notify(**states: str) -> None:
    """Send states such as ``READY="1"``; failures are of no consequence to us."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    message = "\n".join(f"{name}={value}" for name, value in states.items())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.connect(address)
            channel.sendall(message.encode())
        except OSError:
            return


def watchdog_seconds(environment: Mapping[str, str], pid: int) -> float | None:
    """How long we may be silent before we are taken for dead; None if nobody looks."""
    span, whose = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(pid))
    if not span.isdecimal() or not int(span) or whose != str(pid):
        return None
    return int(span) / 1_000_000


async def feed_watchdog(seconds: float, alive: Callable[[], bool]) -> None:
    """Give signs of life for as long as `alive` says so: an idle daemon does, a stuck one not."""
    while True:
        if alive():
            notify(WATCHDOG="1")
        await anyio.sleep(seconds / SHARE)


def handed_over(environment: Mapping[str, str], pid: int) -> socket.socket | None:
    """The listening socket of a socket unit; None without one.

    Raises `BadRequest` where several are handed over, or one of another kind.
    """
    if environment.get("LISTEN_PID") != str(pid):
        return None
    count = environment.get("LISTEN_FDS", "")
    if count != "1":
        raise _odd(f"{count or 'no'} sockets were handed over")
    try:
        with socket.socket(fileno=FIRST_HANDED) as given:
            listens = given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            door = given.dup()  # which our children do not inherit
    except OSError as error:
        raise _odd(f"what was handed over cannot be used ({error.strerror})") from None
    if (door.family, door.type, bool(listens)) != (socket.AF_UNIX, socket.SOCK_STREAM, True):
        raise _odd("what was handed over is no listening Unix socket")
    door.settimeout(0)
    return door


def _odd(what: str) -> BadRequest:
    return BadRequest(
        "socket-handed-over",
        f"The service manager's socket cannot be taken: {what}.",
        "The socket unit needs one ListenStream=, the path of [daemon] socket.",
    )
