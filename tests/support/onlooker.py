"""A client that asks one thing over and over and remembers what kinds of answers it got.

Speaks the protocol itself, so that an answer is what the server said and not what a library
made of it. It never retries within an answer's time and never sleeps between two.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NoReturn

import anyio
import anyio.lowlevel
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from msgspec import Struct

LINE_BYTES = 1 << 16
CLOSED = "closed"
_GONE = (OSError, anyio.BrokenResourceError, anyio.IncompleteRead, anyio.EndOfStream)


class Spell(Struct):
    """A run of answers of one kind: its length, how many there were, and the longest wait.

    The wait before its first answer is its own, whatever came before.
    """

    kind: str
    began: float
    ended: float
    answers: int = 0
    longest_wait: float = 0.0

    @property
    def seconds(self) -> float:
        """From its first answer to its last."""
        return self.ended - self.began


class Onlooker:
    """Asks one command of a node on 127.0.0.1; a value that it reads is a kind of answer."""

    def __init__(self, port: int, command: str) -> None:
        self.spells: list[Spell] = []
        self.asked = anyio.Event()
        self._port = port
        self._command = command.encode() + b"\r\n"

    @property
    def kinds(self) -> list[str]:
        """The kinds of answers in the order in which they came, each run once."""
        return [spell.kind for spell in self.spells]

    async def run(self) -> NoReturn:
        """Ask until cancelled; a connection that is closed is made anew at once."""
        while True:
            asked = anyio.current_time()
            try:
                async with await anyio.connect_tcp("127.0.0.1", self._port) as stream:
                    await self._ask(stream)
            except _GONE:
                self._saw(CLOSED, asked)
            await anyio.lowlevel.checkpoint()

    async def _ask(self, stream: SocketStream) -> NoReturn:
        answers = BufferedByteReceiveStream(stream)
        while True:
            asked = anyio.current_time()
            await stream.send(self._command)
            self.asked.set()
            self._saw(await _answer(answers), asked)

    def _saw(self, kind: str, asked: float) -> None:
        now = anyio.current_time()
        if not self.spells or self.spells[-1].kind != kind:
            self.spells.append(Spell(kind, began=now, ended=now))
        last = self.spells[-1]
        last.ended = now
        last.answers += 1
        last.longest_wait = max(last.longest_wait, now - asked)


async def _answer(stream: BufferedByteReceiveStream) -> str:
    """The kind of one answer: an error's first word, a value, or ``OK`` for anything else."""
    line = (await stream.receive_until(b"\r\n", LINE_BYTES)).decode()
    if line.startswith("-"):
        return line[1:].partition(" ")[0]
    if line.startswith("$") and line != "$-1":
        data = await stream.receive_exactly(int(line[1:]) + 2)
        return data[:-2].decode()
    return "nothing" if line in ("$-1", "*-1", "_") else "OK"


@asynccontextmanager
async def watched(*lookers: Onlooker) -> AsyncGenerator[None, None]:
    """Onlookers that ask for as long as the context lasts."""
    async with anyio.create_task_group() as tasks:
        for one in lookers:
            tasks.start_soon(one.run)
            await one.asked.wait()
        yield
        tasks.cancel_scope.cancel()
