"""`valkeep serve`: the daemon from its configuration to its last record.

Knows the order of coming up (log, ledger, vaults, worker, socket) and of going down. All
real parts are made here and handed down; no rule is decided here.
"""

import os
import signal
import socket
import sys
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path

import anyio
import structlog
from anyio.abc import TaskStatus
from msgspec import Struct, structs
from msgspec.structs import replace

from daemon.api import Roles, access_for, listening
from daemon.api import serve as serve_socket
from daemon.app.code import code_hash
from daemon.app.logs import set_up_logs
from daemon.app.memory import keep_buffers_warm, uncollected
from daemon.app.messages import notifications
from daemon.app.notify import feed_watchdog, handed_over, notify, watchdog_seconds
from daemon.app.parts import Basics, Daemon, build
from daemon.app.real import ForsakenThreads, RandomIds, SystemClock, Threads, clock_offset
from daemon.app.rebuilt import Rebuilder, Tools, swap_in
from daemon.app.settings import LOG_NAME, STATE_NAME, Settings, read
from daemon.app.spool import open_spool
from daemon.app.threshold import Threshold
from daemon.app.vaults import none_is_missed
from daemon.commands import StartDaemon
from daemon.config import Config, DaemonConfig
from daemon.core import Settled
from daemon.errors import BadRequest, ValkeepError
from daemon.frozen import FileDrawer, Freezer
from daemon.ledger import Ledger
from daemon.storage.factory import directory_of
from daemon.storage.one_error import one_error
from events.facts import Failure, InstallationId
from events.log import LogError
from events.sqlite import SqliteLog, open_log

log = structlog.get_logger()

HARD_END_SECONDS = 25
"""After this much shutting down the process ends whatever it waits for: the log is safe."""


ANSWER_SECONDS = 0.5
"""Until the caller who asked for a recovery has its answer."""
SETTLED_SECONDS = 2.0
"""So long the word that we are ready waits for a log that may not be writable."""
AT_RESTART = (
    "daemon",
    "roles",
    "restore",
    "engine",
    "storage",
    "spool",
    "timeouts",
    "imports",
)
"""Sections of the configuration that hold from the start on; a reload takes over all others."""
AT_ONCE = ("bandwidth",)
"""But for these settings of ``[daemon]``."""


class Run(Struct, frozen=True):
    """One run of the daemon: its settings, where they came from, and the socket it was given."""

    settings: Settings
    config_path: str | None
    version: str
    clock: SystemClock
    door: socket.socket | None = None


def serve(config_path: str | None) -> int:
    """Run the daemon until it is told to end; the exit code, with errors told on stderr."""
    set_up_logs(sys.stderr)
    keep_buffers_warm()
    try:
        clock = SystemClock(clock_offset(os.environ))
        door = handed_over(os.environ, os.getpid())
        run = Run(read(config_path), config_path, version("valkeep"), clock, door)
        anyio.run(_serve, run)
    except (ValkeepError, LogError) as error:
        print(f"error: {error.message}\n  hint: {error.hint}", file=sys.stderr)  # noqa: T201
        return 2 if isinstance(error, BadRequest) else 1
    return 0


async def _serve(run: Run) -> None:
    """Serve until told to end; on a log that was recovered meanwhile, from the start."""
    while await _serve_once(run):
        log.info("daemon starts again on the recovered log")
        run = replace(run, settings=read(run.config_path))


async def _serve_once(run: Run) -> bool:
    """One run of the daemon; whether it is to go on with a log that was recovered."""
    config = run.settings.config
    if run.clock.offset:
        log.warning("clock moved for a test", by=str(run.clock.offset), now=str(run.clock.now()))
    folder = Path(config.daemon.data_dir)
    _make(folder, setting="data_dir in [daemon]")
    if run.settings.file is None:
        # Without a file nobody was asked to make the user's own vault.
        for vault in config.vaults.values():
            _make(Path(directory_of(vault.url)), setting="XDG_DATA_HOME")
    async with AsyncExitStack() as stack:
        door = stack.enter_context(listening(Path(config.daemon.socket), run.door))
        access = access_for(Roles(**structs.asdict(config.roles)), own_uid=os.geteuid())
        threshold = Threshold(door, access, handed=run.door is not None)
        stack.callback(threshold.stopped)
        swap_in(folder / LOG_NAME)
        async with threshold.starting(folder / LOG_NAME):
            events = await stack.enter_async_context(open_log(folder / LOG_NAME, pid=os.getpid()))
            daemon = await _put_together(run, events)
        stack.push_async_callback(daemon.shelf.aclose)
        with one_error():
            await _live(daemon, run, threshold)
        return daemon.basics.rebuilder.wanted.is_set()


async def _put_together(run: Run, events: SqliteLog) -> Daemon:
    ids = RandomIds(run.clock)
    ledger = Ledger(events, run.clock, ids)
    folder = Path(run.settings.config.daemon.data_dir)
    freezer = Freezer(ledger, FileDrawer(folder / STATE_NAME), ForsakenThreads(), code_hash)
    with uncollected():
        await freezer.load()
    none_is_missed(run.settings.config, ledger.state)
    installation = ledger.state.installation or InstallationId(ids.new())
    offload, rebuilder = Threads(), Rebuilder(folder / LOG_NAME, Tools(run.clock, ids))
    rebuilder.clear()
    spool = await open_spool(run.settings.config, installation, offload)
    basics = Basics(
        ledger, run.clock, ids, offload, installation, run.version, rebuilder, freezer, spool
    )
    return await build(run.settings.config, basics, os.environ.get("PATH", ""))


def _make(folder: Path, *, setting: str) -> None:
    """A folder for us alone."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(
            "folder",
            f"The folder {folder} cannot be made: {error.strerror}.",
            f"The daemon's user must be able to write there; {setting} says where it is.",
        ) from None


async def _live(daemon: Daemon, run: Run, threshold: Threshold) -> None:
    """Everything at once, until a signal; the ledger is the last to go."""
    start = StartDaemon(daemon.basics.installation, run.version)
    door, access = threshold.door, threshold.access
    async with anyio.create_task_group() as writing:
        writing.start_soon(daemon.core.ledger.run)
        async with anyio.create_task_group() as working:
            # Whoever hears that we are ready may send a signal at once.
            await working.start(_obey_signals, daemon, run, working.cancel_scope)
            working.start_soon(serve_socket, door, daemon.outside, access)
            working.start_soon(daemon.port.run, daemon.outside)
            working.start_soon(daemon.core.run, start, *_settled(run.settings))
            working.start_soon(daemon.hooks.tell_doubts)
            working.start_soon(daemon.rounds.run)
            working.start_soon(daemon.keeper.run)
            working.start_soon(daemon.keyspace.run)
            working.start_soon(daemon.basics.freezer.run)
            working.start_soon(daemon.basics.freezer.look_behind)
            working.start_soon(_end_when_recovered, daemon, working.cancel_scope)
            watched = watchdog_seconds(os.environ, os.getpid())
            if watched is not None:
                working.start_soon(feed_watchdog, watched, daemon.core.is_working)
            with anyio.move_on_after(SETTLED_SECONDS):
                await daemon.core.settled.wait()
            notify(READY="1", MAINPID=str(os.getpid()), STATUS="Backups are made and kept.")
            log.info("daemon started", socket=run.settings.config.daemon.socket, pid=os.getpid())
        notify(STOPPING="1")
        writing.start_soon(threshold.stopping)
        await daemon.core.stop("told to end")
        if not daemon.basics.rebuilder.wanted.is_set():
            await daemon.keeper.flush()
            await daemon.basics.freezer.flush()
        writing.cancel_scope.cancel()
    log.info("daemon stopped")


async def _end_when_recovered(daemon: Daemon, working: anyio.CancelScope) -> None:
    """A log was rebuilt from a vault's copy: end this run, so that the next one takes it."""
    await daemon.basics.rebuilder.wanted.wait()
    await anyio.sleep(ANSWER_SECONDS)
    working.cancel()


async def _obey_signals(
    daemon: Daemon,
    run: Run,
    working: anyio.CancelScope,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """SIGHUP reads the configuration again; SIGTERM and SIGINT end us, a second one at once."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            if number == signal.SIGHUP:
                await _reload(daemon, run)
                continue
            log.info("daemon stopping", signal=number.name)
            signal.alarm(HARD_END_SECONDS)
            working.cancel()
            return


def _settled(settings: Settings) -> tuple[Settled, ...]:
    """What the log is told of the configuration, at a start and when it was read again."""
    told = notifications(settings.config, socket.gethostname())
    return (settings.declared(), settings.hooks(), told)


async def _reload(daemon: Daemon, run: Run) -> None:
    """Take a changed configuration; a bad one changes nothing."""
    try:
        settings = read(run.config_path)
        none_is_missed(settings.config, daemon.core.ledger.state)
        daemon.take_vaults(settings.config)
        daemon.take_notifications(settings.config)
        for setting in _settled(settings):
            await daemon.core.ledger.report(setting)
        await daemon.hooks.tell_doubts()
    except ValkeepError as error:
        log.warning("configuration not reloaded", error=error.message, hint=error.hint)
        daemon.pulse.take_reload(Failure(error.code, error.message, error.hint))
        return
    daemon.pulse.take_reload(None)
    restart = [
        name
        for name in AT_RESTART
        if _at_start(settings.config, name) != _at_start(run.settings.config, name)
    ]
    log.info("configuration reloaded", takes_effect_at_restart=restart)


def _at_start(config: Config, section: str) -> object:
    """A section but for what is taken over at once."""
    found: object = getattr(config, section)
    at_once = dict.fromkeys(AT_ONCE, "")
    return structs.replace(found, **at_once) if isinstance(found, DaemonConfig) else found
