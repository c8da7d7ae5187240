"""Reading what a server answers on a wire of ours, as far as the moving of keys needs it.

Knows RESP2 and no command. Long strings are passed on in pieces, so that no value has to lie in
memory whole.
"""

from collections.abc import AsyncGenerator

from daemon.valkey.resp import LINE_LIMIT, NotResp
from daemon.valkey.wire import Lost, Wire

PIECE_BYTES = 256 << 10


class Answers:
    """Answers in the order in which they come."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._buffer = b""

    async def line(self) -> bytes:
        """The next line without its end; raises `Lost`, or `NotResp` for one without an end."""
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > LINE_LIMIT:
                raise NotResp(f"a line of more than {LINE_LIMIT} bytes")
            self._buffer += await self._more()
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line

    async def number(self, kind: bytes) -> int:
        """A number behind this sign: an integer, or the length of what follows."""
        line = await self.line()
        if line[:1] != kind or not line[1:].lstrip(b"-").isdigit():
            raise NotResp("an answer of another kind than the question wants")
        return int(line[1:])

    async def bulk(self) -> bytes:
        """A string that is known to be short."""
        length = await self.number(b"$")
        return b"".join([piece async for piece in self.pieces(length)])

    async def pieces(self, length: int) -> AsyncGenerator[bytes, None]:
        """So many bytes of a string, as they come; its end is read away too."""
        left = length
        while left > 0:
            if not self._buffer:
                self._buffer = await self._more()
            piece, self._buffer = self._buffer[:left], self._buffer[left:]
            left -= len(piece)
            yield piece
        while len(self._buffer) < 2:
            self._buffer += await self._more()
        self._buffer = self._buffer[2:]

    async def _more(self) -> bytes:
        while (data := self._wire.read(PIECE_BYTES)) is None:
            await self._wire.wait()
        if not data:
            raise Lost("it closed the connection")
        return data
