"""The real daemon in a process of its own: started, asked, killed and started again.

Knows its configuration, its socket and its exit code, and tells what the log says by folding
it as the daemon does. Paths are short, because a Unix socket's must be.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import anyio
import msgspec
from anyio import to_thread
from anyio.abc import Process
from msgspec import Struct

from daemon.answers import Accepted, BackupDetail, Backups, BackupView, RestoreDetail, RestoreView
from daemon.api.streams import EventLine
from daemon.client import Client, Query, path_of
from daemon.commands import AddCache, Request, RequestBackup, RequestRestore
from events import codec
from events.envelope import Envelope
from events.facts import CommitId, Position, SourceKind, Stream
from events.types import Event
from projections.state import State, evolve
from projections.work import outstanding

ROOT = Path(__file__).parents[2]
READY_SECONDS = 30.0
END_SECONDS = 40.0
WORK_SECONDS = 60.0

Answer = TypeVar("Answer", bound=Struct)
Look = Callable[[], Awaitable[None]]


class Told(Struct, frozen=True):
    """One event of the history, as the API tells it."""

    envelope: Envelope
    event: Event
    sentence: str


class DaemonProcess:
    """One installation: a configuration, a log, and at most one daemon that runs on them."""

    def __init__(self, directory: Path, config: str, environment: Mapping[str, str]) -> None:
        self.directory = directory
        self.socket = directory / "s"
        self.log = directory / "data" / "events.db"
        self.config = directory / "v.toml"
        self.environment = dict(environment)
        self._process: Process | None = None
        self.configure(config)

    def configure(self, config: str) -> None:
        """Write the configuration; `config` is all but the daemon's own places."""
        own = f"""
[daemon]
socket = "{self.socket}"
data_dir = "{self.directory / "data"}"
[roles]
operator = []
[restore]
bind = "127.0.0.1"
"""
        self.config.write_text(own + config)

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process is not None, "no daemon runs"
        return self._process.pid

    async def start(self, *, doom: str | None = None) -> None:
        """Run it until it says that it is ready; with a doom it will kill itself there."""
        with _notices(self.directory / "n") as notices:
            await self.launch(doom=doom)
            with anyio.move_on_after(READY_SECONDS):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_when, self._wait, tasks.cancel_scope)
                    tasks.start_soon(_when, notices, tasks.cancel_scope)
        assert self.running(), f"the daemon ended at once: {self.output()}"

    async def launch(self, *, doom: str | None = None) -> None:
        """Start the process and wait for nothing."""
        assert not self.running(), "a daemon runs already"
        program = ["daemon.cli", "serve", "--config", str(self.config)]
        if doom is not None:
            program = ["tests.support.doomed", str(self.config), doom]
        environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": str(self.directory)}
        environment |= {"NOTIFY_SOCKET": str(self.directory / "n")} | self.environment
        with (self.directory / "output").open("ab") as sink:
            self._process = await anyio.open_process(
                [sys.executable, "-X", "dev", "-m", *program],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=ROOT,
                start_new_session=True,
            )

    def running(self) -> bool:
        """Whether the process that was started last still lives."""
        return self._process is not None and self._process.returncode is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    async def kill(self) -> None:
        """``kill -9``, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        """Wait until the process is gone; its exit code, negative for a signal."""
        with anyio.fail_after(END_SECONDS):
            return await self._wait()

    async def _wait(self) -> int:
        assert self._process is not None
        return await self._process.wait()

    async def aclose(self) -> None:
        """End whatever still runs, at once."""
        if self._process is None:
            return
        with anyio.CancelScope(shield=True):
            if self._process.returncode is None:
                with suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
            await self._process.aclose()

    def output(self) -> str:
        """All that any run of it printed."""
        return (self.directory / "output").read_text()

    async def get(self, shape: type[Answer], *parts: str, query: Query | None = None) -> Answer:
        """One answer of the API, decoded."""
        return msgspec.json.decode(await self.raw(*parts, query=query), type=shape)

    async def raw(self, *parts: str, query: Query | None = None) -> bytes:
        """One answer of the API as it came."""
        client = Client(str(self.socket))
        return await _threaded(lambda: client.get(path_of(*parts), query))

    async def command(self, request: Request) -> Accepted:
        """Give a command; raises what the daemon answers with."""
        body = msgspec.json.encode(request)
        client = Client(str(self.socket))
        said = await _threaded(lambda: client.post("/v1/commands", body))
        return msgspec.json.decode(said, type=Accepted)

    async def post(self, route: str, body: bytes) -> bytes:
        """Say anything at all."""
        client = Client(str(self.socket))
        return await _threaded(lambda: client.post(route, body))

    async def add(
        self, cache: str, url: str, *, source: SourceKind = "auto", password_file: str | None = None
    ) -> Accepted:
        """Put a cache under backup."""
        return await self.command(AddCache(cache, url, source=source, password_file=password_file))

    async def backup(self, cache: str, name: str) -> BackupView:
        """Ask for a manual backup and wait until it has ended, well or not."""
        accepted = await self.command(RequestBackup(cache, name))
        assert accepted.backup_id is not None
        return await self.backup_ended(accepted.backup_id)

    async def backup_ended(self, reference: str) -> BackupView:
        """Wait until a backup has ended, well or not."""
        query = {"wait": WORK_SECONDS}
        found = (await self.get(BackupDetail, "backups", reference, query=query)).backup
        assert found.phase in ("complete", "failed"), f"{found} {self.output()}"
        return found

    async def listed(self) -> tuple[BackupView, ...]:
        """The backups that exist, as anybody sees them."""
        return (await self.get(Backups, "backups")).backups

    async def restore(
        self, backup: str, to: str, *, replace: bool = True, safety_backup: bool = True
    ) -> RestoreView:
        """Restore a backup and wait until that has ended, well or not."""
        request = RequestRestore(backup, to, replace=replace, safety_backup=safety_backup)
        accepted = await self.command(request)
        assert accepted.restore_id is not None
        return await self.restore_ended(accepted.restore_id)

    async def restore_ended(self, restore_id: str) -> RestoreView:
        """Wait until a restore has ended, well or not."""
        query = {"wait": WORK_SECONDS}
        found = (await self.get(RestoreDetail, "restores", restore_id, query=query)).restore
        assert found.phase in ("completed", "failed"), f"{found} {self.output()}"
        return found

    async def history(self) -> list[Told]:
        """All that the log holds."""
        return await _threaded(lambda: list(self._told(follow=False)))

    async def events(self) -> list[Event]:
        """All events, in order."""
        return [told.event for told in await self.history()]

    async def until(self, wanted: Callable[[State, Event], bool], look: Look | None = None) -> State:
        """Follow the history until an event makes it so; the state then. `look` after each."""
        state = State()
        with anyio.fail_after(WORK_SECONDS):
            lines = self._told(follow=True)
            while (told := await _threaded(lambda: next(lines, None))) is not None:
                state = evolve(state, told.envelope, told.event)
                if look is not None:
                    await look()
                if wanted(state, told.event):
                    return state
        raise AssertionError(f"the history ended: {self.output()}")

    async def settled(self, look: Look | None = None) -> State:
        """Follow the history until nothing is outstanding; the state then."""
        end = len(await self.history())
        return await self.until(
            lambda state, _: state.position >= end and not list(outstanding(state)), look
        )

    def _told(self, *, follow: bool) -> Iterator[Told]:
        client = Client(str(self.socket), patience_seconds=WORK_SECONDS)
        for line in client.lines("/v1/events", {"follow": follow}):
            yield _told(msgspec.json.decode(line, type=EventLine))


@asynccontextmanager
async def daemon_process(
    config: str, environment: Mapping[str, str] | None = None
) -> AsyncGenerator[DaemonProcess, None]:
    """An installation in a short temporary folder, not started; killed at the end."""
    with TemporaryDirectory(prefix="vk") as folder:
        daemon = DaemonProcess(Path(folder), config, environment or {})
        try:
            yield daemon
        finally:
            await daemon.aclose()


def directory_vault(directory: Path) -> str:
    """The configuration of a vault in a directory, which is made."""
    directory.mkdir(parents=True, exist_ok=True)
    return f'[vaults.main]\nurl = "file://{directory}"\n'


def _told(line: EventLine) -> Told:
    envelope = Envelope(
        position=Position(line.position),
        stream=Stream(line.stream),
        at=line.at,
        who=line.who,
        commit_id=CommitId(line.commit_id),
    )
    return Told(envelope, codec.decode(bytes(line.event)), line.sentence)


class _Notices:
    """Waits for ``READY=1`` on a socket that the daemon was told of."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    async def __call__(self) -> None:
        while True:
            await anyio.wait_readable(self._channel)
            if b"READY=1" in self._channel.recv(4096).split(b"\n"):
                return
