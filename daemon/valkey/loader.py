"""A private engine that loads plain bytes while they pass, and says what it found.

The bytes go through a named pipe that it takes for its ``dump.rdb``, so that nothing plain ever
lies on a disk; the name is gone as soon as both ends are open (an engine opens it once more when
it has loaded, to drop the page cache) [tried: Valkey 8.1.8, Redis 7.0.15]. An engine that was
not let, or cannot, says nothing of the bytes: the checker judges those.
"""

import errno
import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from fcntl import F_SETPIPE_SZ, fcntl
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import IO

import anyio
import redis.asyncio
from anyio.abc import Process
from msgspec import Struct
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from daemon.errors import Permanent
from daemon.valkey import confine
from daemon.valkey.checker import PIPE_BYTES
from daemon.valkey.engine import CLEAN_ENVIRONMENT, SOCKET_PATH_LIMIT, Engine, end

START_SECONDS = 60.0
POLL_SECONDS = 0.02
RDB = "dump.rdb"
_COMPLAINT = re.compile(
    r"Can't handle RDB format version \d+|no matching module type|more than \d+ databases"
    r"|Out Of Memory allocating \d+ bytes|Short read or OOM loading DB|Wrong signature"
    r"|Internal error in RDB reading offset \d+|Unknown RDB [a-z ]+|Bad file format reading"
)


class Room(Struct, frozen=True):
    """What one load may use; `directory` is made where there is none, and is ours alone.

    `options` are more words for the engine's command line, for those who ask it afterwards. `nice`
    is how much it gives way to others.
    """

    directory: Path
    memory_bytes: int
    databases: int = 16
    cpu_seconds: int = 3 * 3_600
    stall_seconds: float = 60.0
    options: tuple[str, ...] = ()
    nice: int = confine.NICE


class Loaded(Struct, frozen=True):
    """What the engine says that it holds; `lacks` are the walls around it that were not let."""

    keys: int
    expired: int
    keys_per_database: dict[int, int]
    seconds: float
    lacks: tuple[str, ...] = ()
    used_memory_bytes: int | None = None


class NotLoaded(Struct, frozen=True):
    """The engine has not loaded the bytes; they may be perfectly good."""

    reason: str


class Loader:
    """One load under way: `feed` every plain byte in order, then ask for the `verdict`."""

    def __init__(self, engine: Engine, room: Room, directory: Path) -> None:
        self._engine = engine
        self._room = room
        self._directory = directory
        self._process: Process | None = None
        self._write_end = -1
        self._began = anyio.current_time()
        self._failed = ""

    @property
    def failed(self) -> bool:
        """Whether it takes no more bytes: the rest need not be read for it."""
        return bool(self._failed)

    @property
    def socket(self) -> str:
        """Where it can be asked, once the verdict is that it has loaded, until it is closed."""
        return str(self._directory / "engine.sock")

    async def start(self) -> None:
        """Run the engine and open the way into it; called once, before anything else."""
        self._began = anyio.current_time()
        fifo = self._directory / RDB
        os.mkfifo(fifo, 0o600)
        with _appending(self._directory / "engine.log") as sink:
            self._process = await anyio.open_process(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=CLEAN_ENVIRONMENT,
                start_new_session=True,
            )
        await self._open(fifo)

    async def feed(self, chunk: bytes) -> None:
        """Hand over bytes; waits while the engine is busy, never for one that has ended."""
        rest = memoryview(chunk)
        while rest and self._write_end >= 0:
            try:
                rest = rest[os.write(self._write_end, rest) :]
            except BlockingIOError:
                await self._has_room()
            except BrokenPipeError:
                self._fail("it stopped reading")

    async def verdict(self) -> Loaded | NotLoaded:
        """End the input and wait until the engine serves the data, or has ended."""
        self._close_input()
        if not self._failed:
            with anyio.move_on_after(self._room.stall_seconds):
                return await self._served()
            self._failed = "it did not come to an end with what it had read"
        return NotLoaded(await self._reason())

    async def close(self) -> None:
        """End the engine if it still runs: it holds nothing that anybody needs."""
        self._close_input()
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await end(self._process)

    def _command(self) -> list[str]:
        room = self._room
        settings = {
            "port": "0",
            "unixsocket": str(self._directory / "engine.sock"),
            "unixsocketperm": "700",
            "dir": str(self._directory),
            "dbfilename": RDB,
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "databases": str(room.databases),
            "maxclients": "16",
            "sanitize-dump-payload": "yes",
        }
        walls = [str(os.getpid()), str(room.memory_bytes), str(room.cpu_seconds), str(room.nice)]
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        shim = [sys.executable, "-I", "-S", str(confine.__file__)]
        return [*shim, *walls, self._engine.server, *options, *room.options]

    async def _open(self, fifo: Path) -> None:
        """Wait for the engine to open its end, then open ours and take the name away."""
        with anyio.move_on_after(START_SECONDS):
            while self._write_end < 0 and self._process and self._process.returncode is None:
                self._write_end = _opened(fifo)
                await anyio.sleep(0 if self._write_end >= 0 else POLL_SECONDS)
        if self._write_end < 0:
            self._fail("it did not come up")

    async def _has_room(self) -> None:
        with anyio.move_on_after(self._room.stall_seconds) as waiting:
            await anyio.wait_writable(self._write_end)
        if waiting.cancelled_caught:
            self._fail(f"it stopped reading for {self._room.stall_seconds:g} s")

    async def _served(self) -> Loaded | NotLoaded:
        """What it says when it has loaded all, or why it ended before that."""
        while self._process is not None and self._process.returncode is None:
            found = await self._asked()
            if found is not None:
                return found
            await anyio.sleep(POLL_SECONDS)
        return NotLoaded(await self._reason())

    async def _asked(self) -> Loaded | None:
        """What the engine says, once it has loaded everything."""
        client = redis.asyncio.Redis(
            unix_socket_path=str(self._directory / "engine.sock"), retry=Retry(NoBackoff(), 0)
        )
        try:
            info = await client.info()
        except (RedisError, OSError):
            return None
        finally:
            await client.aclose()
        if info.get("loading") != 0:
            return None
        databases = {
            int(name[2:]): int(found["keys"])
            for name, found in info.items()
            if re.fullmatch(r"db\d+", name)
        }
        return Loaded(
            keys=int(info.get("rdb_last_load_keys_loaded", sum(databases.values()))),
            expired=int(info.get("rdb_last_load_keys_expired", 0)),
            keys_per_database=databases,
            seconds=anyio.current_time() - self._began,
            lacks=tuple(self._lacks()),
            used_memory_bytes=int(info["used_memory"]) if "used_memory" in info else None,
        )

    async def _reason(self) -> str:
        """Why it did not load, in its own words where they are known to name no key."""
        process = self._process
        if process is not None:
            with anyio.move_on_after(1.0):
                await process.wait()
        label = self._engine.label
        told = _COMPLAINT.findall(self._log())
        if told:
            return f"{label} could not load it: {told[0]}"
        code = None if process is None else process.returncode
        if code is not None and code < 0:
            return f"{label} was ended by signal {-code} while it loaded, for memory perhaps"
        return f"{label} could not load it: {self._failed or 'it gave no reason'}"

    def _log(self) -> str:
        try:
            return (self._directory / "engine.log").read_text(errors="replace")[-100_000:]
        except OSError:
            return ""

    def _lacks(self) -> Iterator[str]:
        for line in self._log().splitlines():
            if line.startswith(confine.LACKS):
                yield line.removeprefix(confine.LACKS)

    def _fail(self, reason: str) -> None:
        self._failed = reason
        self._close_input()

    def _close_input(self) -> None:
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1


def _opened(fifo: Path) -> int:
    """Our end of the pipe, whose name is gone then; -1 while nobody reads from it."""
    try:
        write_end = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return -1
        raise
    fifo.unlink()
    with suppress(OSError):  # Beyond the user's allowance: 64 KiB will do.
        fcntl(write_end, F_SETPIPE_SZ, PIPE_BYTES)
    return write_end


def _appending(place: Path) -> IO[bytes]:
    return place.open("ab")


@asynccontextmanager
async def rdb_loader(engine: Engine, room: Room) -> AsyncGenerator[Loader, None]:
    """A load by this engine; leaving the context ends it and takes its directory away.

    Raises `Permanent("engine-socket")` where the directory's path is too long for a socket.
    """
    room.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="l", dir=room.directory) as name:
        directory = Path(name)
        if len(str(directory / "engine.sock").encode()) > SOCKET_PATH_LIMIT:
            raise Permanent(
                "engine-socket",
                f"{directory} is too long for a Unix socket in it",
                "choose a data_dir with a shorter path",
            )
        loader = Loader(engine, room, directory)
        try:
            await loader.start()
            yield loader
        finally:
            with anyio.CancelScope(shield=True):
                await loader.close()


def sweep(directory: Path) -> None:
    """Take away what loads of a daemon that was killed have left; blocks for a moment."""
    with suppress(OSError):
        rmtree(directory)
