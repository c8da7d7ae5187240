"""Where benchmarks play: a private engine with data, a daemon, and an S3 server on loopback.

Everything lives under one temporary folder, listens on 127.0.0.1 or a Unix socket there, and
is ended by its own process id.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import anyio

from benchmarks.data import respond
from daemon.client import Client
from daemon.valkey.engine import Engine, find_engines

READY_SECONDS = 30.0
KEY, SECRET = "AKIAVALKEEPBENCH0001", "valkeep/bench/secret/key/0123456789abcdef"
BUCKET = "backups"
RECIPIENT = "age1mf4zmulgwvvdwp7dxrhxw0cucrvmx069crlnz23n6fx275qgxg7qfs95rs"
"""Of a throw-away pair: nothing is read here."""

CONFIG = """[daemon]
socket = "{folder}/valkeep.sock"
data_dir = "{folder}/state"

[vaults.directory]
url = "file://{folder}/vault"

[vaults.sealed]
url = "file://{folder}/sealed"
recipients = ["{recipient}"]

[vaults.s3]
url = "s3://{bucket}/vault"
endpoint_url = "http://127.0.0.1:{s3_port}"
region = "us-east-1"
access_key_id_env = "BENCH_KEY"
secret_access_key_env = "BENCH_SECRET"

[vaults.slow]
url = "s3://{bucket}/slow"
endpoint_url = "http://127.0.0.1:{slow_port}"
region = "us-east-1"
access_key_id_env = "BENCH_KEY"
secret_access_key_env = "BENCH_SECRET"
"""


def seconds() -> float:
    """A clock for durations."""
    return time.perf_counter()


class Took(NamedTuple):
    """Seconds from the request: until the backup was complete, and until all bytes were stored.

    What lies between is the checker that reads them back, where processors are few. `fork` is
    how long the server's child lived.
    """

    complete: float
    stored: float
    fork: float


class Stage:
    """All that runs, and what can be asked of it."""

    def __init__(self, folder: Path, engine: Engine, *, port: int, s3_port: int) -> None:
        self.folder = folder
        self.engine = engine
        self.port = port
        self.s3_port = s3_port
        self.slow_port = _free_port()
        self.client = Client(str(folder / "valkeep.sock"))
        self.daemon_pid = 0
        self._made = 0

    @property
    def cli(self) -> str:
        """The engine's own client."""
        assert self.engine.cli is not None
        return self.engine.cli

    def fill(self, total_bytes: int) -> None:
        """Replace what the engine holds by about so many bytes of RDB."""
        self.ask("FLUSHALL")
        with subprocess.Popen(
            [self.cli, "-p", str(self.port), "--pipe"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        ) as loading:
            assert loading.stdin is not None
            for chunk in respond(total_bytes):
                loading.stdin.write(chunk)
            loading.stdin.close()

    def ask(self, *words: str) -> str:
        """One command to the engine."""
        done = subprocess.run(
            [self.cli, "-p", str(self.port), *words], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def command(self, **body: object) -> dict[str, Any]:
        """One command to the daemon."""
        answer: dict[str, Any] = json.loads(
            self.client.post("/v1/commands", json.dumps(body).encode())
        )
        return answer

    def backup(self, cache: str) -> Took:
        """Make one backup, and delete it again."""
        self._made += 1
        began = seconds()
        made = self.command(type="request-backup", cache=cache, name=f"bench-{self._made}")
        route = f"/v1/backups/{made['backup_id']}"
        while (found := json.loads(self.client.get(route, {"wait": 60})))["backup"]["phase"] in (
            "waiting",
            "running",
        ):
            pass
        complete = seconds() - began
        assert found["backup"]["phase"] == "complete", found
        events = self._events(made["positions"][0])
        requested = datetime.fromisoformat(events["backup-requested"]["at"])
        stored = self._stored_at(made["backup_id"]) - requested.timestamp()
        fork = events["snapshot-taken"]["event"]["snapshot"].get("fork_seconds") or 0.0
        self.command(type="delete-backup", backup=made["backup_id"])
        return Took(complete, stored, fork)

    def _stored_at(self, backup_id: str) -> float:
        """When the object got its name: the last change of its file, in whichever vault."""
        (data,) = self.folder.glob(f"**/{backup_id}/*.rdb.*")
        return data.stat().st_ctime

    def _events(self, position: int) -> dict[str, dict[str, Any]]:
        """The events from a position on, each with its envelope, by their kinds."""
        told = self.client.lines("/v1/events", {"after": position - 1})
        lines = [json.loads(line) for line in told]
        return {line["event"]["type"].partition("/")[0]: line for line in lines}

    def memory(self, line: str) -> int:
        """One figure of the daemon's memory in bytes, such as ``VmRSS`` or ``VmHWM``."""
        for text in Path(f"/proc/{self.daemon_pid}/status").read_text().splitlines():
            if text.startswith(f"{line}:"):
                return int(text.split()[1]) * 1024
        raise LookupError(line)

    def forget_peak(self) -> None:
        """Begin to watch the daemon's peak memory anew (proc(5), ``clear_refs``)."""
        Path(f"/proc/{self.daemon_pid}/clear_refs").write_text("5")


def _kind(tag: str) -> str:
    return tag.partition("/")[0]


@contextmanager
def stage() -> Iterator[Stage]:
    """Everything up, and everything down again at the end."""
    engine = next(iter(anyio.run(find_engines, os.environ["PATH"])), None)
    if engine is None or engine.cli is None:
        raise SystemExit("make bench needs valkey-server and valkey-cli")
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="valkeep-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        made = Stage(folder, engine, port=_free_port(), s3_port=_free_port())
        stack.enter_context(_engine(made))
        stack.enter_context(_s3(made))
        stack.enter_context(_slow_line(made))
        made.daemon_pid = stack.enter_context(_daemon(made))
        yield made


@contextmanager
def _engine(made: Stage) -> Iterator[None]:
    settings = {
        "port": str(made.port),
        "bind": "127.0.0.1",
        "dir": str(made.folder),
        "save": "",
        "repl-diskless-sync-delay": "0",
        "rdbcompression": "no",
        "client-output-buffer-limit": "replica 0 0 0",
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    with _child(made, [made.engine.server, *words], {}):
        _listens(made.port)
        yield


@contextmanager
def engine_beside(made: Stage) -> Iterator[int]:
    """A second engine, empty, for as long as the context lasts; the port that it listens on."""
    port, folder = _free_port(), made.folder / "beside"
    folder.mkdir()
    settings = {"port": str(port), "bind": "127.0.0.1", "dir": str(folder), "save": ""}
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    with _child(made, [made.engine.server, *words], {}):
        _listens(port)
        yield port


@contextmanager
def _s3(made: Stage) -> Iterator[None]:
    rclone = Path(sys.executable).parent / "rclone"
    buckets = made.folder / "buckets"
    (buckets / BUCKET).mkdir(parents=True)
    command = [str(rclone), "serve", "s3", "--auth-key", f"{KEY},{SECRET}"]
    command += ["--addr", f"127.0.0.1:{made.s3_port}", "--config", str(made.folder / "none")]
    with _child(made, [*command, str(buckets)], {}):
        _listens(made.s3_port)
        yield


@contextmanager
def _slow_line(made: Stage) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.slow", str(made.slow_port), str(made.s3_port)]
    with _child(made, command, {}):
        _listens(made.slow_port)
        yield


@contextmanager
def _daemon(made: Stage) -> Iterator[int]:
    for vault in ("vault", "sealed"):
        (made.folder / vault).mkdir(mode=0o700)
    config = made.folder / "valkeep.toml"
    config.write_text(
        CONFIG.format(
            folder=made.folder,
            bucket=BUCKET,
            s3_port=made.s3_port,
            slow_port=made.slow_port,
            recipient=RECIPIENT,
        ),
        encoding="utf-8",
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind(str(made.folder / "ready"))
        ready.settimeout(READY_SECONDS)
        more = {
            "NOTIFY_SOCKET": str(made.folder / "ready"),
            "BENCH_KEY": KEY,
            "BENCH_SECRET": SECRET,
        }
        command = [sys.executable, "-m", "daemon.cli", "serve", "--config", str(config)]
        with _child(made, command, more) as process:
            ready.recv(4096)
            yield process.pid


@contextmanager
def _child(
    made: Stage, command: list[str], more: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with (made.folder / "output.log").open("ab") as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=os.environ | more,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=READY_SECONDS)


@contextmanager
def server(made: Stage, folder: Path, settings: dict[str, str]) -> Iterator[int]:
    """One more engine in a folder, that of the stage; its port, once it listens."""
    port = settings.get("port") or str(_free_port())
    given = {"port": port, "bind": "127.0.0.1", "dir": str(folder), "save": "", **settings}
    words = [word for name, value in given.items() for word in (f"--{name}", value)]
    with _child(made, [made.engine.server, *words], {}):
        _listens(int(port))
        yield int(port)


def _listens(port: int) -> None:
    deadline = seconds() + READY_SECONDS
    while seconds() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
