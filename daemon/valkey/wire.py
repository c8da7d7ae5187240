"""One connection as bytes, plain or in TLS: sends and receives without queues of its own.

Knows sockets and when to wake; no protocol but TLS, and no patience: whoever waits here sets
the limit. What breaks raises `Lost`, with the system's or OpenSSL's error as its cause.
"""

import socket
import ssl
import struct
from contextlib import suppress

import anyio

from daemon.valkey.tunnel import READ_BYTES, RECORD_BYTES, Tunnel

RECEIVE_BYTES = 64 << 10
SEND_BYTES = 256 << 10
"""How much is wrapped into TLS at a time: it lies in memory twice until the system takes it."""


class Lost(Exception):
    """The other side is gone; the text says how it showed."""


class Wire:
    """A plain connection over a socket that was connected or accepted."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(0.0)
        self._socket = connection
        self._waking_bytes = 1

    async def send(self, data: bytes | memoryview) -> None:
        """Send all of it; returns when the system has taken the last byte. Raises `Lost`."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._socket)
            except OSError as error:
                raise _lost(error) from error

    async def wait(self, want_bytes: int = 1) -> None:
        """Wait until about so many bytes are there, or the end, or an error.

        The other side writes 16 KiB at a time; woken by each, we would use seven times the
        processor time, and on a small host that is the server's. [tried: 0.74 s against
        0.10 s for 400 MB] Unix sockets ignore it.
        """
        if want_bytes != self._waking_bytes:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, want_bytes)
            self._waking_bytes = want_bytes
        await anyio.wait_readable(self._socket)

    def read(self, limit_bytes: int = READ_BYTES) -> bytes | None:
        """What has come; none at the end, None if nothing is there. Raises `Lost`."""
        try:
            return self._socket.recv(limit_bytes)
        except BlockingIOError:
            return None
        except OSError as error:
            raise _lost(error) from error

    async def receive(self) -> bytes:
        """Some bytes, or none at the end. Raises `Lost`."""
        while (data := self.read(RECEIVE_BYTES)) is None:
            await self.wait()
        return data

    def close(self) -> None:
        """Close it; what the system has taken is still delivered."""
        self._socket.close()

    def abort(self) -> None:
        """Cut it: what was not delivered yet is thrown away."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


class TlsWire(Wire):
    """A connection in TLS; shake hands before anything else."""

    def __init__(self, connection: socket.socket, tunnel: Tunnel) -> None:
        super().__init__(connection)
        self._tunnel = tunnel

    async def shake_hands(self) -> None:
        """Agree with the other side and verify it. Raises `Lost`; the other side is told why."""
        try:
            while not self._tunnel.shake_hands():
                await self._flush()
                self._tunnel.take(await self._raw())
        except ssl.SSLError as error:
            with suppress(Lost):
                await self._flush()
            raise _lost(error) from error
        await self._flush()

    async def send(self, data: bytes | memoryview) -> None:
        """See `Wire.send`."""
        whole = memoryview(data)
        for start in range(0, len(whole), SEND_BYTES):
            try:
                self._tunnel.write(whole[start : start + SEND_BYTES])
            except ssl.SSLError as error:
                raise _lost(error) from error
            await self._flush()

    async def wait(self, want_bytes: int = 1) -> None:
        """See `Wire.wait`: of what is wanted, one record may have come in part already."""
        if not self._tunnel.more:
            await super().wait(max(1, want_bytes - RECORD_BYTES))

    def read(self, limit_bytes: int = READ_BYTES) -> bytes | None:
        """See `Wire.read`."""
        try:
            if not self._tunnel.more:
                raw = super().read(limit_bytes)
                if raw is None:
                    return None
                self._tunnel.take(raw)
            return self._tunnel.read()
        except ssl.SSLError as error:
            raise _lost(error) from error

    def close(self) -> None:
        """See `Wire.close`; the goodbye is sent if there is room for it."""
        self._tunnel.goodbye()
        with suppress(OSError):
            self._socket.send(self._tunnel.outgoing())
        super().close()

    async def _raw(self) -> bytes:
        while (data := super().read(RECEIVE_BYTES)) is None:
            await super().wait()
        return data

    async def _flush(self) -> None:
        if data := self._tunnel.outgoing():
            await super().send(data)


def _lost(error: OSError) -> Lost:
    if isinstance(error, ssl.SSLError):
        words = (error.reason or "broken").lower().replace("_", " ")
        return Lost(f"TLS: {getattr(error, 'verify_message', '') or words}")
    return Lost(error.strerror or "the connection broke")
