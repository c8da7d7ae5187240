"""Why a server has not answered the first command, where the connection does not tell it.

A plain server waits for ever for the end of what TLS says first, and one that wants TLS cuts
off who speaks plainly. And who refuses our certificate says so in an alert that is lost when
we had sent a command already. Says nothing secret, and believes little of what it hears.
"""

import ssl
from contextlib import suppress

import anyio

from daemon.errors import Failed
from daemon.valkey.address import Address
from daemon.valkey.tls import Tls, client_context
from daemon.valkey.tls_refusal import not_tls, only_tls, tls_failed

SECONDS = 2.0
_RECORDS = (b"\x16", b"\x15")
"""How a TLS server's answer begins: with its side of the handshake, or an alert."""
_GONE = (OSError, anyio.EndOfStream, anyio.BrokenResourceError)
_CODES = frozenset({"cache-timeout", "cache-unreachable", "cache-protocol", "tls-broken"})


async def diagnosed(address: Address, tls: Tls | None, failed: Failed) -> Failed:
    """The failure of a first command, or a better one if another try shows the reason."""
    if failed.code not in _CODES or address.socket is not None:
        return failed
    if tls is None:
        spoken = await _first_byte(address, _hello()) in _RECORDS
        return only_tls(address) if spoken else failed
    if await _first_byte(address, b"PING\r\n") in (b"+", b"-"):
        return not_tls(address)
    alert = await _alert(address, tls)
    return failed if alert is None else tls_failed(address, tls, alert)


def _hello() -> bytes:
    """What a TLS client says first."""
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def _alert(address: Address, tls: Tls) -> ssl.SSLError | None:
    """What the server says of our handshake, listening only; a content one says nothing."""
    try:
        with anyio.move_on_after(SECONDS):
            async with await anyio.connect_tcp(
                address.host,
                address.port,
                ssl_context=client_context(tls),
                tls_hostname=tls.server_name or address.host,
                tls_standard_compatible=False,  # A goodbye would fail too, and hide the alert.
            ) as stream:
                await stream.receive(1)
    except ssl.SSLError as error:
        return error
    except _GONE:
        return None
    return None


async def _first_byte(address: Address, said: bytes) -> bytes:
    with suppress(*_GONE):
        with anyio.move_on_after(SECONDS):
            async with await anyio.connect_tcp(address.host, address.port) as stream:
                await stream.send(said)
                return await stream.receive(1)
    return b""
