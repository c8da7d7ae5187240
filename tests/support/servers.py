"""Real servers for tests: started, killed, frozen and started again by their own pid.

Plain helpers; fixtures are made of them in `conftest`. A node listens on a free port of
127.0.0.1 and on a Unix socket in its directory, and saves nothing unless asked to.
"""

import signal
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import redis.asyncio
from anyio.abc import Process
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from daemon.valkey.engine import Engine, end, spawn, tail
from tests.support.poll import until

DATABASES = (0, 3, 9)
FAR_FUTURE = 4_102_444_800
"""The first second of 2100: an expiry that no test outlives."""

LIBRARY = """#!lua name=warehouse
redis.register_function('stock', function(keys, args) return 42 end)
"""


class Node:
    """One real server that a test may treat badly."""

    def __init__(self, engine: Engine, directory: Path, settings: Mapping[str, str]) -> None:
        self.engine = engine
        self.directory = directory
        self.settings = dict(settings)
        self.port = int(self.settings["port"])
        self.socket = self.settings["unixsocket"]
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Its address over TCP; the password, where it has one, is never part of it."""
        return f"valkey://127.0.0.1:{self.port}"

    @property
    def unix_url(self) -> str:
        """Its address on the Unix socket."""
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process is not None, "the node is not running"
        return self._process.pid

    def client(self, database: int = 0) -> redis.asyncio.Redis:
        """A new client over TCP, with the node's password; close it with `aclose`."""
        return redis.asyncio.Redis(
            host="127.0.0.1",
            port=self.port,
            db=database,
            password=self.settings.get("requirepass"),
            retry=Retry(NoBackoff(), 0),
        )

    async def start(self) -> None:
        """Run it, on the same directory and port as before, until it answers."""
        assert self._process is None, "the node is running already"
        self._process = await spawn(self.engine, self.directory / "engine.log", self.settings)
        await until(self._answers, f"{self.engine.label} to answer: {tail(self.directory)}")

    async def kill(self) -> None:
        """``kill -9`` and wait until it is gone; its directory stays."""
        await self._end(signal.SIGKILL)

    async def fallen(self) -> None:
        """Wait until somebody else has killed it; its directory stays."""
        assert self._process is not None, "the node is not running"
        process, self._process = self._process, None
        await process.wait()
        await process.aclose()

    async def stop(self) -> None:
        """End it politely, if it runs at all."""
        if self._process is not None:
            with anyio.CancelScope(shield=True):
                self.resume()
                process, self._process = self._process, None
                await end(process)

    def pause(self) -> None:
        """Freeze it where it stands; connections stay open and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        with suppress(ProcessLookupError):
            assert self._process is not None
            self._process.send_signal(signal.SIGCONT)

    def running(self) -> bool:
        """Whether the process that was started last still lives."""
        return self._process is not None and self._process.returncode is None

    def output(self) -> str:
        """The last of what the server printed."""
        return tail(self.directory)

    async def _end(self, how: signal.Signals) -> None:
        assert self._process is not None, "the node is not running"
        process, self._process = self._process, None
        process.send_signal(how)
        await process.wait()
        await process.aclose()

    async def _answers(self) -> bool:
        assert self.running(), f"{self.engine.label} ended: {self.output()}"
        client = self.client()
        try:
            await client.ping()
        except (RedisError, OSError):
            return False
        else:
            return True
        finally:
            await client.aclose()


@asynccontextmanager
async def start_node(
    engine: Engine, directory: Path, **settings: str
) -> AsyncGenerator[Node, None]:
    """A running node in a directory (made if need be); ``_`` in setting names means ``-``."""
    await anyio.Path(directory).mkdir(parents=True, exist_ok=True)
    defaults = {
        "port": str(free_port()),
        "bind": "127.0.0.1",
        "unixsocket": str(directory / "node.sock"),
        "dir": str(directory),
        "save": "",
        "appendonly": "no",
        "repl-diskless-sync": "yes",
        "repl-diskless-sync-delay": "0",
        "enable-debug-command": "yes",
    }
    given = {name.replace("_", "-"): value for name, value in settings.items()}
    node = Node(engine, directory, defaults | given)
    try:
        await node.start()
        yield node
    finally:
        await node.stop()


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def fill(client: redis.asyncio.Redis, keys: int = 300, prefix: str = "k") -> None:
    """Every kind of value in several databases, with and without expiries, and a function.

    `keys` is the number of strings in each database; the other kinds come on top of them.
    """
    await client.function_load(LIBRARY, replace=True)
    for database in DATABASES:
        pipe = client.pipeline(transaction=False)
        pipe.execute_command("SELECT", database)
        for number in range(keys):
            pipe.set(f"{prefix}:{number}", f"value {number} " * (number % 7 + 1))
        for number in range(0, keys, 5):
            pipe.expireat(f"{prefix}:{number}", FAR_FUTURE + number)
        pipe.set(f"{prefix}:nul\0key".encode(), b"\0\xff\r\n*3\r\n" * 20)
        pipe.set(f"{prefix}:large", bytes(range(256)) * 400)
        pipe.rpush(f"{prefix}:list", *(f"item {number}" for number in range(500)))
        pipe.sadd(f"{prefix}:set", *(f"member {number}" for number in range(300)))
        pipe.sadd(f"{prefix}:intset", *range(60))
        pipe.zadd(f"{prefix}:zset", {f"member {number}": number / 3 for number in range(300)})
        pipe.hset(f"{prefix}:hash", mapping={f"field {n}": "x" * n for n in range(200)})
        pipe.hset(f"{prefix}:smallhash", mapping={"a": "1", "b": "2"})
        for number in range(1, 60):
            pipe.xadd(f"{prefix}:stream", {"n": number}, id=f"{number}-1")
        pipe.xgroup_create(f"{prefix}:stream", "readers", id="0")
        pipe.xreadgroup("readers", "alice", {f"{prefix}:stream": ">"}, count=10)
        pipe.xack(f"{prefix}:stream", "readers", "1-1", "2-1")
        pipe.execute_command("SELECT", 0)
        await pipe.execute()


async def digest(client: redis.asyncio.Redis) -> tuple[str, bytes]:
    """What the server holds: its digest over all databases, and its functions."""
    found = await command(client, "DEBUG", "DIGEST")
    text = found.decode() if isinstance(found, bytes) else str(found)
    return text, bytes(await client.function_dump())


async def command(client: redis.asyncio.Redis, *words: str | bytes | int) -> object:
    """Any command's answer; redis-py leaves `execute_command` without types."""
    answer: object = await client.execute_command(*words)  # type: ignore[no-untyped-call]
    return answer
