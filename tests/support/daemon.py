"""The real daemon in a process of its own: started, asked, killed and started again.

Knows its configuration, its socket and its exit code, and tells what the log says by folding
it as the daemon does. Paths are short, because a Unix socket's must be.
"""

import os
import signal
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import anyio
import msgspec
from anyio import to_thread
from msgspec import Struct

from daemon.answers import Accepted, BackupDetail, Backups, BackupView, RestoreDetail, RestoreView
from daemon.api.streams import EventLine
from daemon.app.real import OFFSET_VARIABLE, SystemClock
from daemon.client import Client, Query, path_of
from daemon.commands import AddCache, Request, RequestBackup, RequestRestore
from daemon.errors import Forbidden, Unreachable
from events import codec
from events.envelope import Envelope
from events.facts import CommitId, Position, SourceKind, Stream
from events.types import Event
from projections.state import State, evolve
from projections.work import outstanding
from tests.support.nursery import Birth, Nursery
from tests.support.s3 import BUCKET, KEY, SECRET, S3Server

READY_SECONDS = 30.0
END_SECONDS = 40.0
WORK_SECONDS = 60.0
DOOM_SECONDS = 10.0
S3_KEYS = {"VAULT_KEY": KEY, "VAULT_SECRET": SECRET}
DEAD = (Unreachable, Forbidden)
"""What a client sees of a daemon that dies: with the request unread it looks like a refusal."""

Answer = TypeVar("Answer", bound=Struct)
T = TypeVar("T")
Look = Callable[[], Awaitable[None]]


class Told(Struct, frozen=True):
    """One event of the history, as the API tells it."""

    envelope: Envelope
    event: Event
    sentence: str


class Notices:
    """A socket like the service manager's, on which a daemon says how it is."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    async def said(self, state: bytes) -> None:
        """Wait until this is said; what was said before is passed over."""
        told: list[bytes] = []
        with anyio.fail_after(READY_SECONDS):
            while state not in told:
                await anyio.wait_readable(self._channel)
                told = self._channel.recv(4096).split(b"\n")


class DaemonProcess:
    """One installation: a configuration, a log, and at most one daemon that runs on them."""

    def __init__(
        self, nursery: Nursery, notices: Notices, directory: Path, environment: Mapping[str, str]
    ) -> None:
        self.notices = notices
        self.directory = directory
        self.socket = directory / "s"
        self.log = directory / "data" / "events.db"
        self.config = directory / "v.toml"
        self.environment = {
            "PATH": os.defpath,
            "LC_ALL": "C.UTF-8",
            "HOME": str(directory),
            "NOTIFY_SOCKET": str(directory / "n"),
            **environment,
        }
        self.clock = SystemClock()
        """As the daemon's own, which it has from its next start on."""
        self._nursery = nursery
        self._pid: int | None = None
        self._code: int | None = None

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
        """The process that was started last."""
        assert self._pid is not None, "no daemon was started"
        return self._pid

    async def start(self, *, doom: str | None = None, offset: timedelta | None = None) -> None:
        """Run it until it says that it is ready; with a doom it will kill itself there.

        An offset is added to its wall clock, in this run and in later ones without one.
        """
        if offset is not None:
            self.clock = SystemClock(offset)
        self.launch(doom=doom)
        await _first_of(self.ended, lambda: self.notices.said(b"READY=1"))
        # What is doomed may have met its end before it could say that it is ready.
        assert doom is not None or self.running(), f"the daemon ended at once: {self.output()}"

    def launch(self, *, doom: str | None = None) -> None:
        """Start the process and wait for nothing."""
        assert not self.running(), "a daemon runs already"
        self._code = None
        output = self.directory / "output"
        moved = {OFFSET_VARIABLE: str(self.clock.offset.total_seconds())}
        self._pid = self._nursery.birth(
            Birth(str(self.config), str(output), self.environment | moved, doom)
        )

    async def travel(self, to: datetime, *, doom: str | None = None) -> None:
        """Stop it, if it runs, and start it when its wall clock shows this instant."""
        if self.running():
            assert await self.stop() == 0, self.output()
        await self.start(doom=doom, offset=to - SystemClock().now())

    def running(self) -> bool:
        """Whether the process that was started last has not been seen to end."""
        return self._pid is not None and self._code is None

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
        if self._code is None:
            with anyio.fail_after(END_SECONDS):
                self._code = await self._nursery.wake(self.pid)
        return self._code

    async def died(self) -> None:
        """Wait until a doomed daemon has met its doom, which must be near."""
        with anyio.move_on_after(DOOM_SECONDS):
            assert await self.ended() == -signal.SIGKILL, self.output()
        assert not self.running(), f"it never came to its doom: {self.output()}"

    async def aclose(self) -> None:
        """End whatever still runs, at once."""
        if self.running():
            with anyio.CancelScope(shield=True):
                await self.kill()

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
        self, cache: str, *, url: str, source: SourceKind = "auto", password_file: str | None = None
    ) -> Accepted:
        """Put a cache under backup."""
        return await self.command(AddCache(cache, url, source=source, password_file=password_file))

    async def backup(self, cache: str, *, name: str) -> BackupView:
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
        self, backup: str, *, to: str, replace: bool = True, safety_backup: bool = True
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

    async def until(
        self, wanted: Callable[[State, Event], bool], look: Look | None = None
    ) -> State:
        """Follow the history until an event makes it so; the state then. `look` after each."""
        state = State()
        with anyio.fail_after(WORK_SECONDS), _let_go(self._told(follow=True)) as lines:
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

    def _told(self, *, follow: bool) -> Generator[Told, None, None]:
        client = Client(str(self.socket), patience_seconds=WORK_SECONDS)
        for line in client.lines("/v1/events", {"follow": follow}):
            yield _told(msgspec.json.decode(line, type=EventLine))


@asynccontextmanager
async def installation(
    nursery: Nursery, config: str, environment: Mapping[str, str] | None = None
) -> AsyncGenerator[DaemonProcess, None]:
    """A fresh installation in a short temporary folder, not started; killed at the end."""
    with TemporaryDirectory(prefix="vk") as folder, _notices(Path(folder, "n")) as notices:
        daemon = DaemonProcess(nursery, notices, Path(folder), environment or {})
        daemon.configure(config)
        try:
            yield daemon
        finally:
            await daemon.aclose()


def directory_vault(directory: Path) -> str:
    """The configuration of a vault in a directory, which is made."""
    directory.mkdir(parents=True, exist_ok=True)
    return f'[vaults.main]\nurl = "file://{directory}"\n'


def s3_vault(server: S3Server, prefix: str = "team") -> str:
    """The configuration of a vault on a server; `S3_KEYS` go into the environment."""
    return f"""
[vaults.main]
url = "s3://{BUCKET}/{prefix}"
endpoint_url = "{server.endpoint_url}"
region = "us-east-1"
access_key_id_env = "VAULT_KEY"
secret_access_key_env = "VAULT_SECRET"
"""


@contextmanager
def _let_go(lines: Generator[Told, None, None]) -> Iterator[Generator[Told, None, None]]:
    """Close them in the end, unless a thread that was left to itself is still reading."""
    try:
        yield lines
    finally:
        with suppress(ValueError):  # or it would hide that time is up
            lines.close()


def _told(line: EventLine) -> Told:
    envelope = Envelope(
        position=Position(line.position),
        stream=Stream(line.stream),
        at=line.at,
        who=line.who,
        commit_id=CommitId(line.commit_id),
    )
    return Told(envelope, codec.decode(bytes(line.event)), line.sentence)


@contextmanager
def _notices(path: Path) -> Iterator[Notices]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        channel.settimeout(0)
        yield Notices(channel)


async def _first_of(*functions: Callable[[], Awaitable[object]]) -> None:
    """Return when any of them has ended."""

    async def run(function: Callable[[], Awaitable[object]]) -> None:
        await function()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for function in functions:
            tasks.start_soon(run, function)


async def _threaded(function: Callable[[], T]) -> T:
    """A blocking call in a thread, which is left to itself when the test is over."""
    return await to_thread.run_sync(function, abandon_on_cancel=True)
