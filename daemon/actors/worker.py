"""The worker: one loop that starts what is outstanding, and stops what is no longer wanted.

Knows admission (how much runs at once), rest (how long to leave alone what just failed), and
that work which gets nowhere is ended, and given up if it does not even end (fault 30).
Which work there is comes from the state, how it is done from the actors.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar, assert_never

import anyio
import structlog
from anyio.abc import TaskGroup
from msgspec import Struct

from daemon.actors.bulkhead import contained
from daemon.actors.job import Job, stalled, stuck
from daemon.board import Board
from daemon.errors import Failed, ValkeepError
from daemon.ledger import Ledger
from daemon.ports import Clock, Ids, Progress
from events.facts import Failure, VaultName
from projections.hosts import expected_host
from projections.state import State
from projections.work import (
    BackupWork,
    ComparisonWork,
    CopyProofWork,
    CopyWork,
    DeletionWork,
    ExportWork,
    RestoreWork,
    SweepWork,
    UncopyWork,
    UndoWork,
    VerificationWork,
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
TIDYING_SECONDS = 300.0
"""The longest of what only tidies up: a locked object may refuse to go for weeks."""
RESTORE_STALL_SECONDS = 360.0
"""Restores keep clients waiting: their limit is shorter, and yet above each of their own waits."""

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
        """Record that this work ended without a report of its own.

        Our own program failed in it (code ``bug``), or it got nowhere: it was ended (``stalled``),
        or has not ended yet (``stuck``), and whatever it still does must do no harm.
        """
        ...


class Actors(Struct, frozen=True):
    """Who does what."""

    backup: Actor[BackupWork]
    removal: Actor[SweepWork | DeletionWork]
    copy: Actor[CopyWork | UncopyWork]
    restore: Actor[RestoreWork]
    undo: Actor[UndoWork]
    verify: Actor[VerificationWork | CopyProofWork]
    export: Actor[ExportWork]
    compare: Actor[ComparisonWork]


class Limits(Struct, frozen=True):
    """How much may run at once; snapshots are also limited to one per host.

    Work that gives no sign of life for `stall_seconds` is ended; a restore sooner than that.
    `cleared` tells whether a vault was compared with the log: nothing is deleted there before.
    """

    backups: int
    stall_seconds: float = 900.0
    verifications: int = 1
    cleared: Callable[[VaultName], bool] = lambda _: True

    def silence(self, work: Work) -> float:
        """How long this work may be silent."""
        frozen = isinstance(work, RestoreWork) or (isinstance(work, BackupWork) and work.safety)
        return min(self.stall_seconds, RESTORE_STALL_SECONDS) if frozen else self.stall_seconds


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
        self._running: dict[Work, Job] = {}
        self._hosts: dict[Work, str] = {}
        self._stuck: list[Job] = []
        self._looked_at: float | None = None
        self._rests: dict[Work, _Rest] = {}
        self._wake = anyio.Event()

    @property
    def board(self) -> Board:
        """Where the work's progress can be read."""
        return self._board

    @property
    def looked_at(self) -> float | None:
        """When it last looked for work, by the loop's clock; None before the first time."""
        return self._looked_at

    async def run(self) -> None:
        """Work for ever."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch)
            while True:
                self._wake = anyio.Event()
                state = self._ledger.state
                wanted = list(outstanding(state))
                self._stop_unwanted(wanted)
                self._end_stalled(tasks)
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
        for work, job in self._running.items():
            if work not in keep:
                job.end(anyio.current_time())
        self._rests = {work: rest for work, rest in self._rests.items() if work in keep}

    def _end_stalled(self, tasks: TaskGroup) -> None:
        """End what gets nowhere, and give up what does not end."""
        now = anyio.current_time()
        last = now if self._looked_at is None else self._looked_at
        if now - last > 2 * RECHECK_SECONDS or self._ledger.trouble is not None:
            # It was we who stood still (a paused machine), or all wait for the log to be
            # writable again: they get their time anew.
            for job in self._running.values():
                job.seen_at = now
        self._looked_at = now
        for job in self._running.values():
            limit = self._limits.silence(job.work)
            match job.due(now, stall_seconds=limit):
                case "stalled":
                    failure = stalled(job, limit)
                    log.warning("work stalled", work=_id(job.work), failure=failure.message)
                    job.end(now, failure)
                case "stuck":
                    job.left = True
                    log.error("work stuck", work=_id(job.work), doing=job.doing)
                    tasks.start_soon(self._leave, job)

    async def _leave(self, job: Job) -> None:
        """Nobody waits for this job any more: its place is free, and its end is reported."""
        await self._end_of(job.work, stuck(job))
        if self._running.get(job.work) is job:
            self._forget(job.work)
            self._stuck.append(job)
        if job.entry is not None:
            self._board.strike(job.entry)
        self._wake.set()

    def _start_ready(self, tasks: TaskGroup, state: State, wanted: list[Work]) -> None:
        now = self._clock.now()
        for work in wanted:
            if self._busy(work) or self._resting(work) or not ready(state, work, now):
                continue
            if not self._admitted(state, work):
                continue
            job = self._running[work] = Job(work, anyio.current_time())
            if isinstance(work, BackupWork):
                self._hosts[work] = expected_host(state, work.cache)
            tasks.start_soon(self._run, job)

    def _busy(self, work: Work) -> bool:
        """Whether this, or other work on the same backup or restore, has not ended yet.

        A stopped attempt may take a while to end, and what it still writes must not land
        behind the sweep. What is stuck holds up nothing but the sweep.
        """
        sweeps = isinstance(work, SweepWork | DeletionWork)
        left = [_id(job.work) for job in self._stuck] if sweeps else []
        return _id(work) in map(_id, self._running) or _id(work) in left

    def _resting(self, work: Work) -> bool:
        rest = self._rests.get(work)
        return rest is not None and rest.until > anyio.current_time()

    def _admitted(self, state: State, work: Work) -> bool:
        """Room for one more snapshot: in all, and on its host; copies, and exports, one at a time.

        So are comparisons: each has two data sets in this host's memory. A safety backup is always
        let in: its target refuses writes until it is made.
        """
        if isinstance(work, CopyWork | ExportWork | ComparisonWork):
            return not any(isinstance(running, type(work)) for running in self._running)
        if isinstance(work, VerificationWork | CopyProofWork):
            return self._has_room_to_prove(work)
        if isinstance(work, UncopyWork):
            return self._limits.cleared(work.vault)
        if isinstance(work, SweepWork | DeletionWork):
            return self._limits.cleared(state.catalog[work.cache][work.backup_id].vault)
        if not isinstance(work, BackupWork) or work.safety:
            return True
        if len(self._hosts) >= self._limits.backups:
            return False
        # A guess, so that what would wait for its host takes no place from others; a snapshot
        # that chooses another host than was guessed waits for that one where it is taken.
        return expected_host(state, work.cache) not in self._hosts.values()

    def _has_room_to_prove(self, work: VerificationWork | CopyProofWork) -> bool:
        """A lane of its own, so that no backup waits for it; the policy's wait while all is busy.

        Proving takes processor time and memory of this host, and may as well be done later. What
        only reads a copy back has another lane: a slow bucket keeps no backup from its proof.
        """
        proving = [w for w in self._running if isinstance(w, VerificationWork | CopyProofWork)]
        others = sum(_reads_only(w) == _reads_only(work) for w in proving)
        calm = not work.by_policy or len(self._hosts) < self._limits.backups
        return others < self._limits.verifications and calm

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
        waits += [
            at - elapsed
            for work, job in self._running.items()
            for at in job.instants(self._limits.silence(work))
        ]
        return max(0.0, min(wait for wait in waits if wait > 0))

    async def _run(self, job: Job) -> None:
        work = job.work
        try:
            with job.scope, self._board.line(_line(work)) as job.entry:
                await self._perform(work, job.entry)
            if job.failure is not None and not job.left:
                await self._end_of(work, job.failure)
        finally:
            if self._running.get(work) is job:
                self._forget(work)
                self._rest(work)
            elif job in self._stuck:
                log.info("stuck work has ended", work=_id(work))
                self._stuck.remove(job)
            self._wake.set()

    def _forget(self, work: Work) -> None:
        del self._running[work]
        self._hosts.pop(work, None)

    async def _end_of(self, work: Work, failure: Failure) -> None:
        """Work that was ended from outside has not reported: its actor says what that means."""
        match work:
            case BackupWork():
                await self._actors.backup.crashed(work, failure)
            case SweepWork() | DeletionWork():
                await self._actors.removal.crashed(work, failure)
            case CopyWork() | UncopyWork():
                await self._actors.copy.crashed(work, failure)
            case VerificationWork() | CopyProofWork():
                await self._actors.verify.crashed(work, failure)
            case ExportWork():
                await self._actors.export.crashed(work, failure)
            case ComparisonWork():
                await self._actors.compare.crashed(work, failure)
            case RestoreWork():
                await self._actors.restore.crashed(work, failure)
            case UndoWork():
                await self._actors.undo.crashed(work, failure)
            case _:
                assert_never(work)

    async def _perform(self, work: Work, progress: Progress) -> None:
        match work:
            case BackupWork():
                await self._guarded(self._actors.backup, work, progress)
            case SweepWork() | DeletionWork():
                await self._guarded(self._actors.removal, work, progress)
            case CopyWork() | UncopyWork():
                await self._guarded(self._actors.copy, work, progress)
            case RestoreWork():
                await self._guarded(self._actors.restore, work, progress)
            case UndoWork():
                await self._guarded(self._actors.undo, work, progress)
            case VerificationWork() | CopyProofWork():
                await self._guarded(self._actors.verify, work, progress)
            case ExportWork():
                await self._guarded(self._actors.export, work, progress)
            case ComparisonWork():
                await self._guarded(self._actors.compare, work, progress)
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
        if isinstance(work, SweepWork | DeletionWork | UncopyWork):
            longest = TIDYING_SECONDS
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
        case ExportWork():
            return work.export_id
        case ComparisonWork():
            return work.comparison_id
        case _:
            return work.backup_id


def _line(work: Work) -> str:
    """Under which name its progress is shown: a copy's is not its backup's."""
    if isinstance(work, CopyWork | UncopyWork | CopyProofWork):
        return f"{work.backup_id} in {work.vault}"
    return _id(work)


def _reads_only(work: VerificationWork | CopyProofWork) -> bool:
    """Whether it needs no engine: so the policy wants its copies verified."""
    return isinstance(work, CopyProofWork) and work.by_policy
