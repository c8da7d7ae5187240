"""Opening a connection of our own to a server, for what redis-py is too slow for.

Tries every address of a name, and shakes hands in TLS where the URL says so. Knows no word of
what is spoken then.
"""

import errno
import os
import socket
import ssl

import anyio

from daemon.errors import Failed
from daemon.valkey.address import Address
from daemon.valkey.connection import Login, timed_out, unreachable
from daemon.valkey.tls import client_context
from daemon.valkey.tls_refusal import tls_failed
from daemon.valkey.tunnel import Tunnel
from daemon.valkey.wire import Lost, TlsWire, Wire


async def open_wire(login: Login, seconds: float) -> Wire:
    """A connection to the server, in TLS where its URL says so; `seconds` for each of the two.

    Raises `Transient` or `Permanent`. The files of TLS are read now.
    """
    tunnel = None
    if login.tls is not None:
        name = login.tls.server_name or login.address.host
        tunnel = Tunnel(client_context(login.tls), server_name=name)
    sock = await open_socket(login.address, seconds)
    if tunnel is None:
        return Wire(sock)
    wire = TlsWire(sock, tunnel)
    agreed = False
    try:
        with anyio.move_on_after(seconds):
            await wire.shake_hands()
            agreed = True
            return wire
    except Lost as lost:
        raise _not_agreed(login, lost) from lost
    finally:
        if not agreed:
            wire.abort()
    raise timed_out(login.address, doing="the TLS handshake")


def _not_agreed(login: Login, lost: Lost) -> Failed:
    match lost.__cause__:
        case ssl.SSLError() as error:
            return tls_failed(login.address, login.tls, error)
        case OSError() as error:
            return unreachable(login.address, error)
        case _:
            return unreachable(login.address, lost)


async def open_socket(address: Address, seconds: float) -> socket.socket:
    """A connected, non-blocking socket; tries every address of a name in turn.

    Made by hand because the system may give a transport's socket to nobody else to wait for.
    """
    failure: OSError = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    with anyio.move_on_after(seconds):
        for family, where in await _endpoints(address):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.settimeout(0)  # Never blocks.
            try:
                await _connected(sock, where)
            except OSError as error:
                failure = error
            else:
                return sock
        raise unreachable(address, failure)
    raise timed_out(address, doing="our connection")


async def _endpoints(address: Address) -> list[tuple[socket.AddressFamily, str | tuple[str, int]]]:
    if address.socket is not None:
        return [(socket.AF_UNIX, address.socket)]
    try:
        found = await anyio.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise unreachable(address, error) from error
    return [(family, sockaddr[:2]) for family, _, _, _, sockaddr in found]


async def _connected(sock: socket.socket, where: str | tuple[str, int]) -> None:
    connected = False
    try:
        number = sock.connect_ex(where)
        if number in {errno.EINPROGRESS, errno.EAGAIN}:
            await anyio.wait_writable(sock)
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connected = True
    finally:
        if not connected:
            sock.close()
