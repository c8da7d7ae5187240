"""Asking a private engine by the thousand: RESP2 on its Unix socket, and as little else as can be.

Knows how commands are written and how replies come in; a client that makes an object of every
reply takes ten times as long [tried]. It is for engines of our own: what they say is trusted.
"""

from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import asynccontextmanager

from daemon.errors import Permanent, Transient
from daemon.valkey.address import Address
from daemon.valkey.dial import open_socket
from daemon.valkey.resp import encode
from daemon.valkey.wire import Lost, Wire

CONNECT_SECONDS = 10.0

Reply = bytes | int | None | list["Reply"]


class Asking:
    """One connection to one private engine; its replies are taken in the order of what was sent.

    Raises `Transient("engine-ended")` when the engine is gone, and `Permanent("engine-refused")`
    for an error that it answers with, which never holds a key.
    """

    def __init__(self, wire: Wire, label: str) -> None:
        self._wire = wire
        self._label = label
        self._replies = _Replies()

    async def send(self, commands: bytes) -> None:
        """Send whole commands; returns when the system has taken them."""
        try:
            await self._wire.send(commands)
        except Lost as error:
            raise self._ended() from error

    async def ask(self, *words: str | bytes | int) -> Reply:
        """One command's reply."""
        await self.send(encode(*words))
        return await self.reply()

    async def reply(self) -> Reply:
        """The next reply, of any shape."""
        reading = self._replies.next()
        while True:
            try:
                next(reading)
            except StopIteration as end:
                if isinstance(end.value, _Refused):
                    raise self._refused(end.value) from None
                found: Reply = end.value
                return found
            self._replies.feed(await self._received())

    async def lines(self, count: int) -> list[bytes]:
        """All that is still to come: so many lines of statuses, numbers and array headers."""
        chunks: list[bytes] = []
        found = 0
        while found < count:
            chunk = await self._received()
            if not chunks and chunk.startswith(b"-"):
                raise self._refused(_Refused(chunk[1:].split(b"\r")[0]))
            chunks.append(chunk)
            found += chunk.count(b"\n")
        return b"".join(chunks).split(b"\r\n")[:count]

    async def _received(self) -> bytes:
        try:
            chunk = await self._wire.receive()
        except Lost as error:
            raise self._ended() from error
        if not chunk:
            raise self._ended()
        return chunk

    def _ended(self) -> Transient:
        return Transient(
            "engine-ended",
            f"The private {self._label} that had loaded the data has ended in the middle",
            "was this host's memory used up? `dmesg` tells; then ask again",
        )

    def _refused(self, error: "_Refused") -> Permanent:
        return Permanent(
            "engine-refused",
            f"The private {self._label} answered {error.code}",
            "use another engine (see `valkeep doctor`), and please report this",
        )


class _Refused(bytes):
    """An error's text; its first word names no key."""

    @property
    def code(self) -> str:
        return self.split(b" ")[0].decode("ascii", "replace")


@asynccontextmanager
async def asking(socket: str, *, label: str) -> AsyncGenerator[Asking, None]:
    """A connection to the private engine on this socket; closed with the context."""
    wire = Wire(await open_socket(Address(socket=socket), CONNECT_SECONDS))
    try:
        yield Asking(wire, label)
    finally:
        wire.close()


def bulk(word: bytes) -> bytes:
    """One word as commands hold it."""
    return b"$%d\r\n%b\r\n" % (len(word), word)


def each(command: bytes, bulks: Iterable[bytes]) -> bytes:
    """A command of one argument, once for each of these."""
    head = b"*2\r\n" + bulk(command)
    return b"".join([head + one for one in bulks])


_Reading = Generator[None, None, Reply]
"""Stops wherever the bytes end, and goes on there when there are more."""


class _Replies:
    """Bytes in, replies out; what was read of a reply is not read again."""

    def __init__(self) -> None:
        self._data = b""
        self._at = 0

    def feed(self, chunk: bytes) -> None:
        """More bytes."""
        self._data = self._data[self._at :] + chunk
        self._at = 0

    def next(self) -> _Reading:
        """The next reply."""
        line = yield from self._line()
        sign, text = line[:1], line[1:]
        match sign:
            case b"+":
                return text
            case b"-":
                return _Refused(text)
            case b":":
                return int(text)
            case b"$":
                return (yield from self._bulk(int(text)))
            case _:
                return (yield from self._array(int(text)))

    def _line(self) -> Generator[None, None, bytes]:
        while (end := self._data.find(b"\r\n", self._at)) < 0:
            yield
        line = self._data[self._at : end]
        self._at = end + 2
        return line

    def _bulk(self, size: int) -> _Reading:
        if size < 0:
            return None
        while len(self._data) < self._at + size + 2:
            yield
        found = self._data[self._at : self._at + size]
        self._at += size + 2
        return found

    def _array(self, count: int) -> _Reading:
        if count < 0:
            return None
        found: list[Reply] = []
        while len(found) < count:
            self._whole_bulks(found, count)
            if len(found) < count:
                found.append((yield from self.next()))
        return found

    def _whole_bulks(self, found: list[Reply], count: int) -> None:
        """As many strings as lie here whole: most of what comes, so without any ado."""
        data, at = self._data, self._at
        last = len(data) - 1
        while len(found) < count and data.startswith(b"$", at):
            end = data.find(b"\r\n", at)
            start = end + 2
            after = start + int(data[at + 1 : end]) if end > 0 else last
            if after >= last or after < start:
                break
            found.append(data[start:after])
            at = after + 2
        self._at = at
