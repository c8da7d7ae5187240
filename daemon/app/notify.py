"""Telling the service manager how we are: the notification protocol of systemd.

``sd_notify(3)``: one datagram of ``NAME=value`` lines to the socket in ``NOTIFY_SOCKET``.
Whoever starts us may listen there; without the variable nothing is sent.
"""

import os
import socket


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
