"""The worker: one loop that starts what is outstanding, and stops what is no longer wanted.

Knows admission (how much runs at once) and rest (how long to leave alone what just failed).
Which work there is comes from the state, how it is done from the actors.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar, assert_never
from urllib.parse import urlsplit

import anyio
import structlog
from anyio.abc import TaskGroup
from msgspec import Struct

from daemon.actors.bulkhead import contained
from daemon.board import Board
from daemon.errors import Failed, ValkeepError
from daemon.ledger import Ledger
from daemon.ports import Clock, Ids, Progress
from events.facts import CacheName, Failure, VaultName
from projections.state import State
from projections.work import (
    BackupWork,
    DeletionWork,
    RestoreWork,
    SweepWork,
    UndoWork,
    Work,
    next_instant,
    outstanding,
    ready,
)

log = structlog.get_logger()

RECHECK_SECONDS = 60.0
"""The wall clock may be set while we sleep: look again at least so often."""
UNCLEAR_SECONDS = 1.0
"""Nobody tells when a vault has been compared with the log."""
REST_SECONDS = (1.0, 60.0)
"""First and longest rest of work that ended without getting anywhere."""


W = TypeVar("W", bound=Work)
W_contra = TypeVar("W_contra", bound=Work, contravariant=True)


class Actor(Protocol[W_contra]):
    """Does one kind of work."""

    async def perform(self, work: W_contra, progress: Progress) -> None:
        """Do it and report it to the ledger; may be cancelled or killed anywhere.

        Returns also when the work turned out not to be wanted. A raised `ValkeepError` means
        "not now": the work stays outstanding and is tried again after a rest.
        """
        ...

    async def crashed(self, work: W_contra, failure: Failure) -> None:
        """Record that our own program failed in this work."""
        ...


class Actors(Struct, frozen=True):
    """Who does what."""

    backup: Actor[BackupWork]
    removal: Actor[SweepWork | DeletionWork]
    restore: Actor[RestoreWork]
    undo: Actor[UndoWork]


class Limits(Struct, frozen=True):
    """How much may run at once; snapshots are also limited to one per host.

    `cleared` tells whether a vault was compared with the log: nothing is deleted there before.
    """

    backups: int
    cleared: Callable[[VaultName], bool] = lambda _: True


class _Rest(Struct):
    tries: int
    until: float


class Worker:
    """Runs actors for the work that the ledger's state holds outstanding."""

    def __init__(
        self, ledger: Ledger, actors: Actors, limits: Limits, clock: Clock, ids: Ids
    ) -> None:
        self._ledger = ledger
        self._actors = actors
        self._limits = limits
        self._clock = clock
        self._ids = ids
        self._board = Board(clock)
        self._running: dict[Work, anyio.CancelScope] = {}
        self._rests: dict[Work, _Rest] = {}
        self._wake = anyio.Event()

    @property
    def board(self) -> Board:
        """Where the work's progress can be read."""
        return self._board

    async def run(self) -> None:
        """Work for ever."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch)
            while True:
                self._wake = anyio.Event()
                state = self._ledger.state
                wanted = list(outstanding(state))
                self._stop_unwanted(wanted)
                # Reckoned first: an instant that comes while we start work is not slept over.
                patience = self._patience(state, wanted)
                self._start_ready(tasks, state, wanted)
                with anyio.move_on_after(patience):
                    await self._wake.wait()

    async def _watch(self) -> None:
        state = self._ledger.state
        while True:
            state = await self._ledger.changed(state)
            self._wake.set()

    def _stop_unwanted(self, wanted: list[Work]) -> None:
        """What the log no longer asks for ends now: its cache was removed, say."""
        keep = set(wanted)
        for work, scope in self._running.items():
            if work not in keep:
                scope.cancel()
        self._rests = {work: rest for work, rest in self._rests.items() if work in keep}

    def _start_ready(self, tasks: TaskGroup, state: State, wanted: list[Work]) -> None:
        now = self._clock.now()
        for work in wanted:
            if self._busy(work) or self._resting(work) or not ready(state, work, now):
                continue
            if not self._admitted(state, work):
                continue
            scope = anyio.CancelScope()
            self._running[work] = scope
            tasks.start_soon(self._run, work, scope)

    def _busy(self, work: Work) -> bool:
        """Whether this, or other work on the same backup or restore, has not ended yet.

        A stopped attempt may take a while to end, and what it still writes must not land
        behind the sweep.
        """
        return _id(work) in map(_id, self._running)

    def _resting(self, work: Work) -> bool:
        rest = self._rests.get(work)
        return rest is not None and rest.until > anyio.current_time()

    def _admitted(self, state: State, work: Work) -> bool:
        """Room for one more snapshot: in all, and on its host.

        A safety backup is always let in: its target refuses writes until it is made.
        """
        if isinstance(work, SweepWork | DeletionWork):
            return self._limits.cleared(state.catalog[work.cache][work.backup_id].vault)
        if not isinstance(work, BackupWork) or work.safety:
            return True
        running = [w for w in self._running if isinstance(w, BackupWork)]
        hosts = {_host(state, w.cache) for w in running}
        return len(running) < self._limits.backups and _host(state, work.cache) not in hosts

    def _patience(self, state: State, wanted: list[Work]) -> float:
        """Seconds until something may become possible that no event announces."""
        now, elapsed = self._clock.now(), anyio.current_time()
        waits = [RECHECK_SECONDS]
        if not all(self._admitted(state, w) for w in wanted if not isinstance(w, BackupWork)):
            waits.append(UNCLEAR_SECONDS)
        instant = next_instant(state, now)
        if instant is not None:
            waits.append((instant - now).total_seconds())
        waits += [
            self._rests[work].until - elapsed
            for work in wanted
            if work in self._rests and work not in self._running
        ]
        return max(0.0, min(wait for wait in waits if wait > 0))

    async def _run(self, work: Work, scope: anyio.CancelScope) -> None:
        try:
            with scope, self._board.line(_id(work)) as progress:
                await self._perform(work, progress)
        finally:
            del self._running[work]
            self._rest(work)
            self._wake.set()

    async def _perform(self, work: Work, progress: Progress) -> None:
        match work:
            case BackupWork():
                await self._guarded(self._actors.backup, work, progress)
            case SweepWork() | DeletionWork():
                await self._guarded(self._actors.removal, work, progress)
            case RestoreWork():
                await self._guarded(self._actors.restore, work, progress)
            case UndoWork():
                await self._guarded(self._actors.undo, work, progress)
            case _:
                assert_never(work)

    async def _guarded(self, actor: Actor[W], work: W, progress: Progress) -> None:
        try:
            bug = await contained(partial(actor.perform, work, progress), work=_id(work))
        except ValkeepError as error:
            log.warning("work put off", work=_id(work), error=error.message, hint=error.hint)
            return
        if bug is not None:
            await actor.crashed(work, _bug(bug))

    def _rest(self, work: Work) -> None:
        """Work that is still wanted after it ended is left alone for a growing while."""
        tries = self._rests[work].tries if work in self._rests else 0
        first, longest = REST_SECONDS
        seconds = min(longest, first * 2**tries) * (1 + self._ids.jitter() / 4)
        self._rests[work] = _Rest(min(tries + 1, 16), anyio.current_time() + seconds)


def _bug(error: Exception) -> Failure:
    return Failed(
        "bug",
        f"Valkeep itself failed: {type(error).__name__}.",
        "Please report this with the daemon's log, which has the traceback.",
    ).as_failure()


def _id(work: Work) -> str:
    match work:
        case RestoreWork() | UndoWork():
            return work.restore_id
        case _:
            return work.backup_id


def _host(state: State, cache: CacheName) -> str:
    known = state.caches.get(cache)
    if known is None:
        return cache
    parts = urlsplit(known.settings.url)
    return parts.hostname or "this host"
