"""Restoring into servers of the far side: their connections, our listener, and who is let in.

Knows how the daemon's own steps reach the model: commands, the bytes of the replication stream,
and the way a restart or an outage cuts both. The steps themselves are the daemon's.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import anyio
from msgspec.structs import replace

from daemon.actors.restore.glance import Shelf
from daemon.actors.restore.planning import Planning, Visit
from daemon.actors.restore.undo import UndoActor
from daemon.errors import Transient, ValkeepError
from daemon.valkey.address import parse
from daemon.valkey.connection import Login, Node
from daemon.valkey.listener import Listener, Names, Replica
from daemon.valkey.primary import Access, Primary
from daemon.valkey.target import Target
from daemon.valkey.target_facts import Entry
from daemon.valkey.wire import Lost, Wire
from events.facts import CacheSettings, TargetFacts, TrialFacts
from tests.simulation.far import Far
from tests.simulation.line import Line
from tests.simulation.servers import FarServer, Loading
from tests.simulation.virtual import pass_time
from tests.support.samples import SERVER

COMMAND_SECONDS = 30.0
"""How long an answer is waited for; as the daemon's own connections do."""
LOOK_SECONDS = 0.02


class FarNode(Node):
    """A `Node` at the other end of the line."""

    def __init__(self, line: Line, url: str) -> None:
        self.login = Login(parse(url))
        self._line = line
        self._url = url

    async def call(self, *words: str | int) -> object:
        """See `Node.call`."""
        now = asyncio.get_running_loop().time
        told = " ".join(map(str, words))
        with anyio.move_on_after(COMMAND_SECONDS):
            return await self._line.call(
                f"target {told} at {self._url}",
                lambda far: answer(far.servers[self._url], words, now()),
            )
        raise Transient("cache-timeout", f"{self._url} does not answer", "is it frozen?")


def answer(server: FarServer, words: tuple[str | int, ...], now: float) -> object:
    """What a server does with a command, and what it says."""
    server.settle(now)
    name, *rest = map(str, words)
    match name, rest:
        case "INFO", [section]:
            return server.info(section)
        case "CONFIG", ["GET", setting]:
            return [setting, server.settings[setting]]
        case "CONFIG", ["SET", setting, value]:
            server.settings[setting] = value
        case "REPLICAOF", ["NO", "ONE"]:
            server.follow("")
        case "REPLICAOF", [host, port]:
            server.follow(f"{host}:{port}")
        case (("BGSAVE" | "BGREWRITEAOF"), []):
            server.asked_to_save(now)
        case _:
            raise AssertionError(f"the model does not know {words}")
    return "OK"


class FarWire(Wire):
    """A connection that a replica has opened to us."""

    def __init__(self, line: Line, url: str) -> None:
        self._line = line
        self._url = url
        self._link = self._server.links

    @property
    def _server(self) -> FarServer:
        return self._line.far.servers[self._url]

    async def send(self, data: bytes | memoryview) -> None:
        """See `Wire.send`."""
        url, link, sent = self._url, self._link, bytes(data)
        now = asyncio.get_running_loop().time

        def effect(far: Far) -> None:
            server, far.loadings = far.servers[url], ()
            if server.linked and server.links == link:
                dump = server.hear(sent)
                if dump is not None:
                    take(far, server, dump, now())

        try:
            await self._line.call(f"target bytes at {url}", effect)
        except ValkeepError as error:
            self.abort()
            raise Lost("the line went dead") from error

    async def receive(self) -> bytes:
        """See `Wire.receive`."""
        while True:
            await pass_time(LOOK_SECONDS)
            server = self._server
            if not server.linked or server.links != self._link:
                return b""
            if server.said:
                data, server.said = server.said, b""
                return data

    def close(self) -> None:
        """See `Wire.close`."""
        self.abort()

    def abort(self) -> None:
        """See `Wire.abort`."""
        if self._server.links == self._link:
            self._server.cut()


def take(far: Far, server: FarServer, dump: bytes, now: float) -> None:
    """A server has a dump's last byte: it loads it, or ends where it is not one (R5)."""
    sha256 = hashlib.sha256(dump).hexdigest()
    far.loadings = (*far.loadings, Loading(server.url, sha256, server.mark))
    if sha256 not in far.snapshots:
        server.died = "it took a dump that is none"
        server.restart()
        return
    server.load(far.marks.get(sha256, sha256), now)


class FarListener:
    """An open door in this incarnation; a server that was told to follow us comes in by it."""

    def __init__(self, line: Line, url: str, entry: Entry, names: Names, port: int) -> None:
        self.host, self.port = "127.0.0.1", port
        self.tls = False
        self._line = line
        self._url = url
        self._entry = entry
        self._names = names

    @property
    def address(self) -> str:
        """See `Listener.address`."""
        return f"{self.host}:{self.port}"

    async def replica(self, within_seconds: float) -> Replica:
        """See `Listener.replica`."""
        with anyio.move_on_after(within_seconds):
            while True:
                await pass_time(LOOK_SECONDS)
                server = self._line.far.servers[self._url]
                comes = server.primary == self.address and not server.linked
                if comes and (found := self._let_in(server)) is not None:
                    return found
        raise Transient("listener", "nobody came", "look at the network")

    def _let_in(self, server: FarServer) -> Replica | None:
        names = self._names
        primary = Primary(
            self._entry.access, replication_id=names.replication_id, marker=names.marker
        )
        password = server.settings["masterauth"]
        for words in (["AUTH", password], ["PSYNC", "?", "-1"]):
            parts = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
            primary.receive(f"*{len(words)}\r\n{parts}".encode())
        primary.outgoing()
        if primary.over:
            return None
        server.linked, server.offered = True, names.replication_id
        server.links += 1
        return Replica(FarWire(self._line, server.url), primary)


class FarPlanning(Planning):
    """`Planning` over the line."""

    def __init__(self, line: Line, life: int, shelf: Shelf) -> None:
        self._line = line
        self._life = life
        self._shelf = shelf
        self._visits = 0

    @asynccontextmanager
    async def visit(self, settings: CacheSettings) -> AsyncGenerator[Visit, None]:
        """See `Planning.visit`."""
        url = settings.url
        self._visits += 1
        told = f"{self._life:020}{self._visits:020}"
        names, entry = Names(told, "VALKEEP"), Entry(Access(f"one-time-{told}"), one_time=True)
        node = FarNode(self._line, url)
        await node.call("INFO", "server")
        server = self._line.far.servers[url]
        port = 1024 + (97 * self._life + self._visits) % 60_000
        listener = FarListener(self._line, url, entry, names, port)
        found = replace(SERVER, run_id=server.run_id, keys={0: 3}, aof=server.aof)
        facts = TargetFacts(
            server=replace(found, settings={"repl-timeout": "60"}),
            trial=TrialFacts("reached"),
            load_mode=server.settings["repl-diskless-load"],
        )
        try:
            yield Visit(Target(node), cast("Listener", listener), names, entry, facts)
        finally:
            server = self._line.far.servers[url]
            if server.primary == listener.address:
                server.cut()


class FarUndo(UndoActor):
    """`UndoActor` over the line."""

    line: Line

    @asynccontextmanager
    async def _target(self, settings: CacheSettings) -> AsyncIterator[Target]:
        """See `UndoActor._target`."""
        yield Target(FarNode(self.line, settings.url))


def no_password(settings: CacheSettings) -> str | None:
    """Servers here have none."""
    return None
