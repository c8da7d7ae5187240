"""TLS as a state machine without I/O: what the network gave in, what it is to be given out.

Knows records and the handshake, and nothing of sockets and time. One tunnel is one
connection; what it raises is `ssl.SSLError`, and after that there may still be an alert in
`outgoing` that tells the other side why.
"""

import ssl
from typing import cast

RECORD_BYTES = (16 << 10) + 512
"""No record is longer, overhead included: less than this of what came may be unread."""
READ_BYTES = 1 << 20
_ROOM_BYTES = READ_BYTES + RECORD_BYTES


class Tunnel:
    """One end of a TLS connection: a client's with the server's name, else a server's."""

    def __init__(self, context: ssl.SSLContext, *, server_name: str | None = None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_name is None,
            server_hostname=server_name,
        )
        self._room = memoryview(bytearray(_ROOM_BYTES))
        self._ended = False
        self.more = False
        """Whether `read` may give more at once, before anything else comes."""

    def take(self, data: bytes) -> None:
        """What came from the network; none at its end."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def outgoing(self) -> bytes:
        """What is to be sent now; each byte is given out once."""
        return self._outgoing.read()

    def shake_hands(self) -> bool:
        """Go on with the handshake: whether it is over. Send `outgoing` after each call."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.more = True  # What the other side said right after may have come with its last word.
        return True

    def write(self, data: bytes | memoryview) -> None:
        """Wrap up plain bytes; send `outgoing` afterwards."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest) :]

    def read(self) -> bytes | None:
        """Plain bytes, about 1 MiB at most; none at the end; None where more has to come.

        An end without the other side's goodbye looks the same: whoever reads must know by the
        bytes themselves whether they are whole, as with a connection that has no TLS.
        """
        filled = 0
        while filled < len(self._room) and not self._ended:
            try:
                count = self._fill(filled)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLEOFError:
                count = 0
            filled += count
            self._ended = not count
        self.more = filled == len(self._room)
        if filled:
            return bytes(self._room[:filled])
        return b"" if self._ended else None

    def _fill(self, filled: int) -> int:
        # With a buffer it gives a number; the type stubs know of the other form only.
        return cast("int", self._tls.read(_ROOM_BYTES - filled, self._room[filled:]))

    def goodbye(self) -> None:
        """Tell the other side that no more comes; send `outgoing` afterwards."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:  # It has not said its own goodbye yet: there is no need to wait.
            return
