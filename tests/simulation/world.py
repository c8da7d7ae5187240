"""A world: the far side, one incarnation of the daemon after the other, and the checker.

Knows how a life begins (the log is read) and how it ends: all is done, a graceful stop,
`kill -9` or a failed disk. The next life starts on a copy that the dead cannot touch. What the
daemon does in a life is the daemon's own code.
"""

import asyncio
import gc
import sys
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Literal

import anyio
from msgspec import Struct
from structlog.testing import capture_logs

from daemon.actors import compare
from daemon.actors.backup import BackupActor, Surroundings
from daemon.actors.compare import CompareActor, NameShelf
from daemon.actors.copy import Between, CopyActor
from daemon.actors.export import ExportActor, Exporting, Sources
from daemon.actors.hooks import AfterHooks, BeforeHooks
from daemon.actors.packing import PipelinePacker
from daemon.actors.removal import RemovalActor
from daemon.actors.restore import Outside, Relief, RestoreActor, glance
from daemon.actors.stocktaker import StockTaker
from daemon.actors.verify import EngineProver, Proving, VerifyActor
from daemon.actors.worker import Actors, Limits
from daemon.commands import ReconcileCaches, ReconcileHooks, StartDaemon
from daemon.core import Core, Parts
from daemon.frozen import Freezer, Often
from daemon.ledger import Ledger
from daemon.storage.one_error import one_error
from daemon.storage.sealing import NoKeys
from daemon.storage.shelf import Shelf
from daemon.valkey.connection import Timeouts
from events.log import LogFailed
from projections.work import outstanding
from tests.simulation.checker import Checker
from tests.simulation.far import Far
from tests.simulation.foreign import FarImports
from tests.simulation.freezing import freezer_for
from tests.simulation.hooking import FarHooks
from tests.simulation.line import CLEAR, Line, Sky
from tests.simulation.loop import Deadlock, Livelock, ProcessKilled, VirtualLoop, unheard
from tests.simulation.outlets import FarOutlets
from tests.simulation.ports import FarCaches, FarClock, FarLog, FarVault, inline
from tests.simulation.posting import FarPost
from tests.simulation.targets import FarPlanning, FarUndo, no_password
from tests.simulation.view import View
from tests.simulation.virtual import CountedIds, orderly_scopes, pass_time
from tests.support.samples import HERE, MAIN, SECOND

DOWN_SECONDS = 3.0
"""How long the daemon is away after its end."""
HARD_END_SECONDS = 25.0
"""After SIGTERM the daemon's own alarm ends it, if it has not ended by itself."""
PATIENCE_SECONDS = 3600.0
"""How long a life may take to finish everything."""

End = Literal["done", "stopped", "killed"]


class Life(Struct):
    """One incarnation of the daemon, and whoever talks to it.

    `stop` is SIGTERM. `loop` is where a script finds virtual time, and what it may do to it.
    """

    number: int
    line: Line
    log: FarLog
    core: Core
    view: View
    loop: VirtualLoop
    stop: Callable[[], None]
    freezer: Freezer | None = None

    @property
    def ledger(self) -> Ledger:
        """The incarnation's ledger."""
        return self.core.ledger

    async def settled(self) -> None:
        """Wait until nothing is outstanding."""
        while list(outstanding(self.ledger.state)) or self.ledger.state.hooks.due:
            await self.ledger.changed(self.ledger.state)

    def disturbed(self) -> None:
        """Something has kept the daemon from acting, until now."""
        self.view.calm_since = self.line.far.wall(self.loop.now)

    def set_clock(self, by: timedelta) -> None:
        """Somebody, or NTP, sets the wall clock."""
        self.line.far.born_at += by
        self.view.clock_set = True
        self.disturbed()


Script = Callable[[Life], Awaitable[None]]


class Plan(Struct, frozen=True):
    """How a life goes: the weather, and the steps before which something happens.

    The daemon is killed or told to stop, or the client goes away in the middle of a command.
    Steps are counted from the moment when the log has been opened. After its end the daemon is
    away for `down_seconds`. It keeps its state so `often`, or never.
    """

    kill_at: int | None = None
    stop_at: int | None = None
    leave_at: int | None = None
    weather: Sky = CLEAR
    limits: Limits = Limits(backups=2)
    declared: ReconcileCaches | None = None
    hooks: ReconcileHooks | None = None
    down_seconds: float = DOWN_SECONDS
    post: FarPost | None = None
    often: Often | None = None


QUIET = Plan()


class World:
    """Lives of a daemon, one after the other; `steps` and `lives` tell how much was tried."""

    def __init__(self, far: Far | None = None) -> None:
        self.far = far or Far()
        self.view = View(self.far)
        self.lives = 0
        self.steps = 0
        self.calls: list[str] = []
        self.hit: list[str] = []
        self.under_way: Counter[str] = Counter()
        self.trace = sha256()
        self._witness: Callable[[World], None] | None = None
        self._wanted = range(0)

    def backups(self) -> dict[str, str]:
        """The phase of every backup that the log knows, by name."""
        catalog = self.view.state.catalog
        return {b.name: b.phase for of_cache in catalog.values() for b in of_cache.values()}

    def fingerprint(self) -> str:
        """Worlds that look alike go on alike, but for the time of day."""
        far = self.far
        seen = (far.records[-1].hash if far.records else b"", sorted(far.objects.items()))
        under_way = [(number, upload.name, upload.data) for number, upload in far.uploads.items()]
        return sha256(repr((seen, under_way, len(far.snapshots))).encode()).hexdigest()

    def fork(self) -> "World":
        """Another world with the same past."""
        other = World(self.far.copy())
        other.view = self.view.copy(other.far)
        other.lives = self.lives
        return other

    def deaths(
        self, script: Script, plan: Plan = QUIET, *, first: int = 1, every: int = 1
    ) -> "Iterator[World]":
        """What a kill would leave before each step of a life, or from the first each so many-th.

        The life itself goes on to its end. `kill_at` says the same of one step, but lives all
        that comes before it once more; `test_determinism` holds the two against each other.
        """
        left = deque[World]()
        self._witness, self._wanted = left.append, range(first, sys.maxsize, every)
        try:
            self.live(script, plan)
        finally:
            self._witness = None
        assert left, f"the life ended before step {first}"
        while left:
            yield left.popleft()

    def live(self, script: Script, plan: Plan = QUIET) -> End:
        """One life; raises the first `Violation` that was seen in it.

        Rubbish is collected when it is over: collecting has its own time, which is no part of
        the world, and what the dead say when they are collected is not heard. What was there
        before is set aside meanwhile: looking through all of it takes longer than a life.
        """
        gc.disable()
        gc.freeze()
        try:
            return self._live(script, plan)
        finally:
            with unheard():
                gc.collect()
            gc.unfreeze()
            gc.enable()

    def _live(self, script: Script, plan: Plan) -> End:
        self.lives += 1
        checker = Checker(self.view)
        loop = VirtualLoop(self.far.now)
        with orderly_scopes(), capture_logs() as logs:
            try:
                end = self._run(loop, _Run(self.far, plan, checker, script, self.lives))
            finally:
                crashes = [line for line in logs if line["event"] == "work crashed"]
                loop.abandon()
                del loop  # or the traceback of a verdict would keep the dead
        if crashes:
            checker.complain("nothing_crashes", detail=str(crashes))
        checker.verdict()
        return end

    def _run(self, loop: VirtualLoop, run: "_Run") -> End:
        loop.witness = None if self._witness is None else partial(self._look, run, loop)
        try:
            with one_error():
                loop.run_until_complete(run.main(loop))
            end: End = "stopped" if run.stopped else "done"
            run.look_behind(loop)
        except (ProcessKilled, LogFailed):
            end = "killed"
        except (Deadlock, Livelock, TimeoutError) as error:
            run.checker.complain("progress_is_made", detail=repr(error))
            end = "killed"
        finally:
            # At this very instant: whatever the dead do when they are abandoned touches their own.
            self._left(run, loop, end)
        return end

    def _look(self, run: "_Run", loop: VirtualLoop) -> None:
        """If this is one of the steps that are asked for, hand over the world as it is now."""
        if self._witness is None or not run.opened or run.steps_lived(loop) not in self._wanted:
            return
        other = World(run.far)
        other.view, other.lives = self.view.copy(run.far), self.lives
        other.trace = self.trace.copy()
        other._left(run, loop, "killed")
        self._witness(other)

    def _left(self, run: "_Run", loop: VirtualLoop, end: End) -> None:
        """What a life has left behind that ends at this very instant."""
        self.far = self.view.far = run.far.copy()
        self.far.now = loop.now + run.plan.down_seconds
        self.view.late_effects |= run.line.late_effects
        self.under_way = +run.line.under_way
        self.steps = run.steps_lived(loop)
        self.calls, self.hit = list(run.line.calls), list(run.line.hit)
        head = run.far.records[-1].hash if run.far.records else b""
        self.trace.update(f"{end} {loop.steps} {loop.now} {self.calls}".encode() + head)


class _Run:
    """What one life is made of."""

    def __init__(self, far: Far, plan: Plan, checker: Checker, script: Script, number: int) -> None:
        self.far = far
        self.checker = checker
        self.plan = plan
        self.stopped = False
        self.line = Line(far, plan.weather, self._effect)
        self._script = script
        self._number = number
        self.opened = 0
        self._working: anyio.CancelScope | None = None
        self._talk: anyio.CancelScope | None = None

    def _effect(self, what: str) -> None:
        self.checker.view.late_effects |= self.line.late_effects
        self.checker.effect(what)

    def steps_lived(self, loop: VirtualLoop) -> int:
        """Steps since the log was opened."""
        return loop.steps - self.opened

    async def main(self, loop: VirtualLoop) -> None:
        """The composition root of this world, in the order of the real one."""
        log = FarLog(self.line, self.checker.events)
        log.reopen()
        self.opened = loop.steps
        self._intervene(loop)
        for landing in list(self.far.late):
            self.line.expect(landing)
        ledger = Ledger(log, FarClock(self.far), CountedIds(self._number))
        freezer = freezer_for(self.plan.often, ledger, self.far)
        await (freezer.load() if freezer else ledger.load())
        self._compare(ledger)
        core = Core(ledger, self._parts(ledger))
        view = self.checker.view
        life = Life(self._number, self.line, log, core, view, loop, self._stop, freezer)
        life.disturbed()
        async with anyio.create_task_group() as writing:
            writing.start_soon(ledger.run)
            with anyio.CancelScope() as self._working:
                await self._work(life)
            await life.core.stop("told to end")
            if freezer:
                await freezer.flush()
            writing.cancel_scope.cancel()
        self._compare(ledger)

    def _compare(self, ledger: Ledger) -> None:
        """What is in memory is what a fold of the log gives, record by record as they came."""
        if ledger.state != self.checker.view.state:
            self.checker.complain("memory_is_the_log", detail=f"{ledger.state.position} in memory")

    def _intervene(self, loop: VirtualLoop) -> None:
        """Only from here on: opening the log is not what is tried."""
        if self.plan.kill_at is not None:
            loop.kill_at = loop.steps + self.plan.kill_at
        if self.plan.stop_at is not None:
            loop.before_step[loop.steps + self.plan.stop_at] = self._stop
        if self.plan.leave_at is not None:
            loop.before_step[loop.steps + self.plan.leave_at] = self._leave

    def _stop(self) -> None:
        if self._working is not None:
            self.stopped = True
            self._working.cancel()
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            loop.call_later(HARD_END_SECONDS, self._end_hard, loop)

    @staticmethod
    def _end_hard(loop: VirtualLoop) -> None:
        loop.kill_at = loop.steps + 1

    def _leave(self) -> None:
        if self._talk is not None:
            self._talk.cancel()

    async def _work(self, life: Life) -> None:
        async with anyio.create_task_group() as tasks:
            if life.freezer:
                tasks.start_soon(life.freezer.run)
                tasks.start_soon(life.freezer.look_behind)
            told = self.plan.post.notifications if self.plan.post else None
            start, plan = StartDaemon(HERE, "0.1.0"), self.plan
            tasks.start_soon(life.core.run, start, plan.declared, plan.hooks, told)
            with anyio.CancelScope() as self._talk:
                await self._script(life)
            if self._talk.cancelled_caught:
                await pass_time(1.0)  # the command may be on its way to the log
            with anyio.fail_after(PATIENCE_SECONDS):
                await life.settled()
            at = [landing.at for landing in self.far.late if landing.calls is None]
            if at:
                await anyio.sleep_until(max(at) + 1.0)
            tasks.cancel_scope.cancel()
        if not self.stopped:
            self.checker.view.wall = self.far.wall(life.loop.now)
            self.checker.end()

    def _parts(self, ledger: Ledger) -> Parts:
        clock, runner = FarClock(self.far), FarHooks(self.line)
        before = BeforeHooks(ledger, runner)
        second = partial(FarVault, self.line, SECOND)
        shelf = Shelf({MAIN: partial(FarVault, self.line), SECOND: second}, HERE)
        outside = Surroundings(
            caches=FarCaches(self.line),
            vaults=shelf,
            pack=PipelinePacker(inline, engine=None),
            clock=clock,
            installation=HERE,
            imports=FarImports(self.line),
            before=before,
        )
        looked_at = glance.Shelf(ledger, shelf, NoKeys(), inline)
        planning = FarPlanning(self.line, self._number, looked_at)
        undo = FarUndo(ledger, no_password, Timeouts())
        undo.line = self.line
        relief = Relief(ledger, undo.put_back)
        prover = EngineProver(inline, NoKeys(), (), Path("/nowhere"), lambda: 0)
        comparing = compare.Outside(
            shelf, outside.caches, NoKeys(), inline, (), Path("/nowhere"), lambda: 0
        )
        actors = Actors(
            backup=BackupActor(ledger, outside),
            removal=RemovalActor(ledger, shelf),
            copy=CopyActor(ledger, Between(shelf, inline)),
            restore=RestoreActor(ledger, Outside(planning, shelf, inline, relief, before=before)),
            undo=undo,
            verify=VerifyActor(ledger, Proving(shelf, prover)),
            export=ExportActor(ledger, Exporting(Sources(shelf, inline), FarOutlets(self.line))),
            compare=CompareActor(ledger, comparing, NameShelf(Path("/nowhere"), inline)),
        )
        hooked = self.plan.hooks is not None or ledger.state.hooks.configured
        after = AfterHooks(ledger, runner) if hooked else None
        alarms = self.plan.post.surroundings if self.plan.post else None
        reread = self.far.reread
        periods = (lambda _: reread) if reread else None
        stock = StockTaker(ledger, shelf, periods) if periods else None
        ids, relieve = CountedIds(self._number + 1000), relief.relieve_all
        return Parts(actors, self.plan.limits, clock, ids, after, alarms, periods, stock, relieve)

    def look_behind(self, loop: VirtualLoop) -> None:
        """I10: when a life has ended nothing of it is left, and no error went unheard."""
        if left := loop.left_over():
            self.checker.complain("nobody_stays_behind", detail=str(left))
        if loop.troubles:
            self.checker.complain("no_error_goes_unheard", detail=str(loop.troubles[0]))
