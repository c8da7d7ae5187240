"""One way into a target: commands go in as bytes, and each one's answer is told apart.

Knows what the few commands of a restore by keys answer, and by which word a key of another node
is turned away. What a server refuses for every key alike ends the whole; the rest is counted.
"""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

import anyio
from msgspec import Struct, field

from daemon.errors import Failed, Transient
from daemon.valkey.connection import Login, Timeouts, timed_out
from daemon.valkey.dial import open_wire
from daemon.valkey.keys.answers import Answers
from daemon.valkey.keys.store import Ways
from daemon.valkey.refusal import refused
from daemon.valkey.resp import LINE_LIMIT, NotResp, encode
from daemon.valkey.wire import Lost, Wire

KEPT_BYTES = 4 << 20
"""Of a batch's commands so much is kept until they are answered, to name a key by."""
READ_BYTES = 256 << 10
_THERE = b"-BUSYKEY Target key name already exists."
_NIL = b"$-1"
"""What `SET … NX` says of a key that is there."""
_ELSEWHERE = (b"-MOVED ", b"-ASK ", b"-TRYAGAIN ")
OF_THIS_KEY = (b"-ERR Bad data", b"-ERR DUMP payload", b"-ERR string exceeds", b"-WRONGTYPE")
"""What is said of one key's value; every other refusal would meet the next key as well."""


class Tally(Struct):
    """What became of the commands of one pass, but for those that were done.

    `again` are names that belong to another node.
    """

    there: int = 0
    refused: list[tuple[bytes, str]] = field(default_factory=list)
    again: list[bytes] = field(default_factory=list)


class _Batch:
    """Commands that were sent and are not answered yet."""

    def __init__(self, commands: int) -> None:
        self.left = commands
        self.answered = 0
        self._kept: list[bytes] = []
        self._size = 0
        self._names: list[bytes] = []
        self.aside: list[bytes] | None = None
        """Where the answers go if they are not to be counted."""

    def keep(self, piece: bytes) -> None:
        """Keep the first bytes: what is behind them is the end of the last command's value."""
        if self._size < KEPT_BYTES:
            self._kept.append(piece)
            self._size += len(piece)

    def key(self, index: int) -> bytes:
        """The name in the command with that index, from 0 on."""
        if index >= len(self._names):  # The first answers come while the last commands go out.
            self._names = keys_of(b"".join(self._kept))
        return self._names[index] if index < len(self._names) else b""


class Lane:
    """One connection to one primary of the target; `listen` must run beside everything else."""

    def __init__(self, wire: Wire, login: Login, stall: float) -> None:
        self._wire = wire
        self._login = login
        self._stall = stall
        self._due: deque[_Batch] = deque()
        self._idle = anyio.Event()
        self._idle.set()
        self._buffer = b""
        self.tally = Tally()

    def begin(self, commands: int) -> None:
        """So many commands follow."""
        if commands:
            self._due.append(_Batch(commands))
            if self._idle.is_set():
                self._idle = anyio.Event()

    async def send(self, piece: bytes) -> None:
        """Bytes of the commands that were begun last."""
        self._due[-1].keep(piece)
        try:
            await self._wire.send(piece)
        except Lost as lost:
            raise self.lost(lost) from lost

    async def drained(self) -> None:
        """Wait until everything is answered."""
        await self._idle.wait()

    async def asked(self, command: bytes) -> bytes:
        """One command by itself, and the line that it is answered with; errors too."""
        await self.drained()
        self.begin(1)
        batch = self._due[0]
        batch.aside = []
        await self.send(command)
        await self.drained()
        return batch.aside[0]

    async def listen(self) -> None:
        """Take the answers in until cancelled; raises what ends the whole."""
        while True:
            with anyio.move_on_after(self._stall) as waiting:
                try:
                    await self._take()
                except Lost as lost:
                    raise self.lost(lost) from lost
            if waiting.cancelled_caught and self._due:
                raise timed_out(self._login.address, doing="RESTORE")

    def lost(self, lost: Lost) -> Transient:
        """The target went away in the middle."""
        return Transient(
            "target-lost",
            f"{self._login.address} went away while keys were written: {lost}",
            "What was written stays; see its log, and start the restore again when it is back.",
        )

    async def _take(self) -> None:
        while (data := self._wire.read(READ_BYTES)) is None:
            await self._wire.wait()
        if not data:
            raise Lost("it closed the connection")
        whole, end, rest = (self._buffer + data).rpartition(b"\r\n")
        self._buffer = rest
        if len(rest) > LINE_LIMIT:
            raise self.lost(Lost("it answered nonsense"))
        lines = whole.split(b"\r\n") if end else []
        while lines:
            if not self._due:
                raise refused(self._login.asked, _text(lines[0]), command="RESTORE")
            batch = self._due[0]
            own, lines = lines[: batch.left], lines[batch.left :]
            self._answered(batch, own)
            batch.left -= len(own)
            batch.answered += len(own)
            if not batch.left:
                self._due.popleft()
        if not self._due:
            self._idle.set()

    def _answered(self, batch: _Batch, lines: list[bytes]) -> None:
        if batch.aside is not None:
            batch.aside += lines
            return
        there = lines.count(_THERE) + lines.count(_NIL)
        self.tally.there += there
        if lines.count(b"+OK") + there < len(lines):
            for at, line in enumerate(lines):
                if line not in (b"+OK", _THERE, _NIL):
                    self._odd(batch, batch.answered + at, line)

    def _odd(self, batch: _Batch, index: int, line: bytes) -> None:
        """One answer that is neither of the usual two."""
        if line[:1] == b":":
            self.tally.there += line != b":0"  # What EXISTS says.
        elif line.startswith(_ELSEWHERE):
            self.tally.again.append(batch.key(index))
        elif line.startswith(OF_THIS_KEY):
            self.tally.refused.append((batch.key(index), _text(line[1:])))
        else:
            raise self.failure(line)

    def failure(self, line: bytes) -> Failed:
        """What an answer means that speaks against every key alike."""
        reply = _text(line[1:])
        if reply.startswith("NOPERM") and " key" in reply:
            user = self._login.asked.user
            return Transient(
                "cache-rights",
                f"user '{user}' of {self._login.address} may not write one of the keys",
                f"on the server: ACL SETUSER {user} ~* (or the patterns of the keys to restore)",
            )
        return refused(self._login.asked, reply, command="RESTORE")


async def passed(ways: Ways, lanes: tuple[Lane, ...]) -> None:
    """Pass a pack on, each way of it into its lane."""
    for lane in lanes:
        commands, length = await ways.next()
        lane.begin(commands)
        async with aclosing(ways.pieces(length)) as pieces:
            async for piece in pieces:
                await lane.send(piece)


def keys_of(commands: bytes) -> list[bytes]:
    """The second word of each of these commands, as far as it is there whole."""
    names: list[bytes] = []
    at = 0
    while at < len(commands):
        words, at = _number(commands, at)
        for word in range(words):
            length, at = _number(commands, at)
            if at + length > len(commands) or length < 0:
                return names  # The rest is still to come.
            if word == 1:
                names.append(commands[at : at + length])
            at += length + 2
    return names


def _number(commands: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends; -1 where it is cut off."""
    end = commands.find(b"\r\n", at)
    return (int(commands[at + 1 : end]), end + 2) if end > 0 else (-1, len(commands))


def _text(line: bytes) -> str:
    return line.decode(errors="backslashreplace")


@asynccontextmanager
async def open_lane(
    login: Login, timeouts: Timeouts, database: int | None = None
) -> AsyncGenerator[Lane, None]:
    """A connection that is logged in; raises `Transient` or `Permanent`. Call `listen` yourself."""
    wire = await open_wire(login, timeouts.connect)
    try:
        with anyio.move_on_after(timeouts.command) as waiting:
            await _greet(wire, login, database)
        if waiting.cancelled_caught:
            raise timed_out(login.address, doing="AUTH")
        yield Lane(wire, login, timeouts.stall)
    finally:
        wire.abort()


async def _greet(wire: Wire, login: Login, database: int | None) -> None:
    answers = Answers(wire)
    try:
        for words in _greeting(login, database):
            await wire.send(encode(*words))
            line = await answers.line()
            if line[:1] == b"-":
                raise refused(login.asked, _text(line[1:]), command=str(words[0]))
    except (Lost, NotResp) as error:
        raise Transient(
            "target-lost",
            f"{login.address} broke the connection off: {error}",
            "is the server up, and is it a Valkey or Redis server?",
        ) from error


def _greeting(login: Login, database: int | None) -> list[tuple[str | int, ...]]:
    credentials = login.credentials
    words: list[tuple[str | int, ...]] = []
    if credentials.password is not None:
        user = (credentials.username,) if credentials.username else ()
        words.append(("AUTH", *user, credentials.password))
    if database:
        words.append(("SELECT", database))
    return words
