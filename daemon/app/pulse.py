"""How the daemon, its host and its vaults are right now: measured when somebody asks.

Bounded in time whatever hangs: what has not answered by then is told as that. Answers of the
last seconds are given again, so that many who ask cost no more than one.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import anyio
from msgspec import Struct

from daemon.answers.standing import (
    EngineView,
    HostView,
    PortView,
    ReachView,
    SpoolView,
    StateView,
    Vitals,
)
from daemon.app.real import ForsakenThreads
from daemon.app.settings import LOG_NAME
from daemon.doctor.rounds import Sickroom
from daemon.errors import BadRequest, Failed, Transient
from daemon.ports import Clock
from daemon.storage import names
from daemon.storage.factory import directory_of
from daemon.storage.spool import Spool
from daemon.valkey.engine import Engine, sound
from events.facts import Failure, VaultName

FRESH_SECONDS = 5.0
PATIENCE_SECONDS = 2.0
SILENT = "vault-silent"
"""The code of a vault that has not answered in time: asking it takes that time."""
STATM = Path("/proc/self/statm")


class Body(Struct, frozen=True):
    """What is looked at: the daemon's own parts and places."""

    data_dir: str
    clock: Clock
    engine: Engine | None
    spool: Spool | None
    watchdog_seconds: float | None
    looked_at: Callable[[], float | None]
    port: Callable[[], PortView | None]
    state: Callable[[], StateView | None] = lambda: None


class _Disk(Struct, frozen=True):
    """Room on a disk, and what the log's files take of it."""

    free_bytes: int
    total_bytes: int
    log_bytes: int = 0


class Pulse:
    """Measures, and remembers for a few seconds."""

    def __init__(self, body: Body, vaults: Sickroom, urls: dict[VaultName, str]) -> None:
        self._body = body
        self._vaults = vaults
        self._urls = urls
        self._pools: dict[str, ForsakenThreads] = {}
        self._lock = anyio.Lock()
        self._found: Vitals | None = None
        self._found_at = 0.0
        self._configuration: Failure | None = None

    def take_reload(self, failure: Failure | None) -> None:
        """The configuration was read again: why it was not taken over, or None where it was."""
        self._configuration, self._found = failure, None

    async def __call__(self) -> Vitals | None:
        """See `daemon.api.seams.Pulse`."""
        async with self._lock:
            found = self._found
            age = anyio.current_time() - self._found_at
            if found is None or age > FRESH_SECONDS or _may_be_mended(found):
                # A client that goes away must leave no thread behind that looks like a dead disk.
                with anyio.CancelScope(shield=True):
                    found = await self._measured()
                self._found, self._found_at = found, anyio.current_time()
            return found

    def forget(self) -> None:
        """Measure anew at the next question: the configuration has changed."""
        self._found = None

    async def _measured(self) -> Vitals:
        reached: dict[str, ReachView] = {}
        hosts: list[HostView] = []

        async def of_host() -> None:
            hosts.append(await self._host())

        async def of_vault(name: VaultName) -> None:
            reached[name] = await self._reach(name)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(of_host)
            for name in self._urls:
                tasks.start_soon(of_vault, name)
        return Vitals(hosts[0], dict(sorted(reached.items())))

    async def _host(self) -> HostView:
        body, looked_at = self._body, self._body.looked_at()
        disk, spool, why = None, None, ""
        try:
            with anyio.fail_after(PATIENCE_SECONDS):
                disk = await self._of("data_dir", partial(_log_disk, body.data_dir))
                spool = await self._spool()
        except TimeoutError:
            why = f"it has not answered within {PATIENCE_SECONDS:g} s"
        except OSError as error:
            why = error.strerror or str(error)
        return HostView(
            at=body.clock.now(),
            pid=os.getpid(),
            data_dir=body.data_dir,
            memory_bytes=_memory_bytes(),
            log_bytes=disk.log_bytes if disk else None,
            free_bytes=disk.free_bytes if disk else None,
            total_bytes=disk.total_bytes if disk else None,
            unmeasured=why,
            watchdog_seconds=body.watchdog_seconds,
            looked_seconds=None if looked_at is None else anyio.current_time() - looked_at,
            engine=_engine(body.engine),
            spool=spool,
            metrics=body.port(),
            state=body.state(),
            configuration=self._configuration,
        )

    async def _spool(self) -> SpoolView | None:
        spool = self._body.spool
        if spool is None:
            return None
        disk = await self._of("spool", partial(_disk, spool.bounds.folder))
        bounds = spool.bounds
        return SpoolView(bounds.folder, bounds.max_bytes, spool.taken_bytes, disk.free_bytes)

    async def _reach(self, name: VaultName) -> ReachView:
        """Ask for the smallest thing that a vault has, and a directory for its room."""
        failure: Failure | None = None
        disk: _Disk | None = None
        url = self._urls[name]
        try:
            with anyio.fail_after(PATIENCE_SECONDS):
                await (await self._vaults.readable(name)).size(names.OWNER)
                if urlsplit(url).scheme == "file":
                    disk = await self._of(f"vault {name}", partial(_disk, directory_of(url)))
        except TimeoutError:
            told = f"it has not answered within {PATIENCE_SECONDS:g} s"
            hint = "Look at its server, its disk or its mount, and at the network between."
            failure = Transient(SILENT, told, hint).as_failure()
        except Failed as error:
            failure = error.as_failure()
        except BadRequest as error:
            failure = Transient(error.code, error.message, error.hint).as_failure()
        except OSError as error:
            told = error.strerror or str(error)
            failure = Transient(SILENT, told, "Look at its disk or mount.").as_failure()
        room = (disk.free_bytes, disk.total_bytes) if disk else (None, None)
        return ReachView(self._body.clock.now(), failure, *room)

    async def _of(self, what: str, look: Callable[[], _Disk]) -> _Disk:
        """In threads of its own, which may be left behind."""
        pool = self._pools.setdefault(what, ForsakenThreads())
        return await pool(look)


def _may_be_mended(found: Vitals) -> bool:
    """Whether something has refused at once: asking again is quick, and it may be well by now."""
    failures = [reach.failure for reach in found.vaults.values() if reach.failure is not None]
    return bool(failures) and all(failure.code != SILENT for failure in failures)


def _engine(engine: Engine | None) -> EngineView | None:
    if engine is None:
        return None
    return EngineView(engine.label, engine.server, engine.origin, sound(engine))


def _disk(folder: str) -> _Disk:
    found = os.statvfs(folder)
    return _Disk(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def _log_disk(folder: str) -> _Disk:
    found = _disk(folder)
    files = (e for e in os.scandir(folder) if e.name.startswith(LOG_NAME) and e.is_file())
    return _Disk(found.free_bytes, found.total_bytes, sum(e.stat().st_size for e in files))


def _memory_bytes() -> int | None:
    """What we hold in memory now; none where the kernel does not tell."""
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
