"""Making the new server: directory, bytes, configuration, start, and cache.

Each step is undone when it or a later one fails or is interrupted, up to the moment when the
server serves the data: from then on it is the caller's.
"""

import signal
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import anyio
import msgspec

from daemon.answers import Accepted, BackupDetail, ProgressView
from daemon.cli import follow
from daemon.cli.desk import Desk, Interrupted
from daemon.cli.new import conf
from daemon.cli.new.page import NewServerPlan
from daemon.cli.new.server import Served, launched, unmake
from daemon.cli.new.site import Start
from daemon.cli.new.wish import CONF, RDB, NewServer
from daemon.cli.plain_file import Manner, Wanted, write
from daemon.commands import AddCache
from daemon.errors import Failed, ValkeepError
from events.facts import ServerFacts, StoredFacts

PRIVATE = 0o700


class Order(msgspec.Struct, frozen=True):
    """All that is known before anything is made."""

    wanted: NewServer
    detail: BackupDetail
    stored: StoredFacts
    start: Start
    plan: NewServerPlan

    @property
    def server(self) -> ServerFacts | None:
        """The backup's server."""
        return self.detail.snapshot.server if self.detail.snapshot else None


def made(desk: Desk, order: Order) -> Served:
    """A server that serves the backup; nothing is left of it where that fails."""
    with _ends_as_ctrl_c(), _undone(order.wanted), closing(_Phases(desk)) as told:
        _fetch(desk, order)
        _configure(order, append_only=False)
        return anyio.run(_started, order, told)


def registered(desk: Desk, order: Order) -> Accepted | None:
    """The answer to its registration as a cache, if that is wanted; the server runs anyway."""
    wanted = order.wanted
    if wanted.register is None:
        return None
    by_hand = f"valkeep cache add {wanted.register} --url {wanted.url}"
    runs = f"The new server runs on {wanted.url}, but is not registered"
    try:
        answer, _ = desk.tell(Accepted, "/v1/commands", AddCache(wanted.register, wanted.url))
    except ValkeepError as error:
        hint = f"{error.hint.rstrip('.')}; then: `{by_hand}`."
        raise type(error)(error.code, f"{runs}: {error.message}", hint) from error
    except KeyboardInterrupt:
        raise Interrupted(f"{runs}. See: {by_hand}") from None
    return answer


async def _started(order: Order, told: Callable[[ProgressView], None]) -> Served:
    """Start it and wait until the data is there, in its append-only file too if it writes one."""
    append_only = order.plan.append_only
    async with launched(order.wanted, order.start.words, told) as process:
        served = await process.served(append_only=append_only)
        # An engine that is told of an append-only file looks there and nowhere else when it
        # starts: only now, with the data in it, the file may say so.
        if append_only:
            _configure(order, append_only=True)
        return served


def _fetch(desk: Desk, order: Order) -> None:
    wanted, view = order.wanted, order.detail.backup
    source = Wanted(view.backup_id, None, wanted.vault, f"new server {wanted.directory}")
    with follow.moving(desk) as told:
        write(desk.client, source, wanted.place(RDB), Manner(told=told))


def _configure(order: Order, *, append_only: bool) -> None:
    """Write its configuration in one step."""
    wanted = order.wanted
    told = conf.text(wanted, order.server, databases=order.plan.databases, append_only=append_only)
    partial = wanted.place(f".{CONF}.part")
    try:
        partial.touch(mode=0o600)
        partial.write_text(told, encoding="utf-8")
        partial.replace(wanted.place(CONF))
    except OSError as error:
        raise _unwritable(wanted.place(CONF), error) from None


@contextmanager
def _ends_as_ctrl_c() -> Generator[None, None, None]:
    """A polite end and a terminal that closes are taken for Ctrl-C: nothing half made may stay."""
    taken: list[signal.Signals] = []
    with suppress(ValueError):  # Outside the main thread nobody sends us any.
        for one in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(one) is signal.SIG_DFL:
                signal.signal(one, signal.default_int_handler)
                taken.append(one)
    try:
        yield
    finally:
        for one in taken:
            signal.signal(one, signal.SIG_DFL)


@contextmanager
def _undone(wanted: NewServer) -> Generator[None, None, None]:
    """Its directory; what is in it goes again unless all goes well."""
    made_it = _directory(wanted.directory)
    try:
        yield
    except ValkeepError as error:
        left = unmake(wanted, made=made_it)
        hint = f"{error.hint} {_left(left)}" if left else error.hint
        raise type(error)(error.code, error.message, hint) from error
    except KeyboardInterrupt:
        left = unmake(wanted, made=made_it)
        raise Interrupted(f"No new server was made. {_left(left)}".rstrip()) from None


def _left(names: tuple[str, ...]) -> str:
    return f"Left there: {', '.join(names)}" if names else "Nothing is left of it."


def _directory(directory: Path) -> bool:
    """Make it, readable for nobody else; False where it was there."""
    try:
        directory.mkdir(mode=PRIVATE)
    except FileExistsError:
        return False
    except OSError as error:
        raise _unwritable(directory, error) from None
    return True


def _unwritable(path: Path, error: OSError) -> Failed:
    return Failed(
        "file",
        f"{path} cannot be written: {(error.strerror or str(error)).lower()}.",
        "Is there room on that disk, and may you write there?",
    )


class _Phases:
    """A sign for each phase of the start, one after the other."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._shown = ExitStack()
        self._phase = ""
        self._told: Callable[[ProgressView], None] = _unheard

    def __call__(self, progress: ProgressView) -> None:
        """How far it is."""
        if progress.phase != self._phase:
            self.close()
            self._phase = progress.phase
            self._told = self._shown.enter_context(follow.moving(self._desk))
        self._told(progress)

    def close(self) -> None:
        """Take it away; what follows is the result."""
        self._shown.close()


def _unheard(_progress: ProgressView) -> None:
    """Before the first phase."""
