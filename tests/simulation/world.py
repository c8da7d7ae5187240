"""A world: the far side, one incarnation of the daemon after the other, and the checker.

Knows how a life begins (the log is read) and how it ends: all is done, a graceful stop,
`kill -9` or a failed disk. The next life starts on a copy that the dead cannot touch. What the
daemon does in a life is the daemon's own code.
"""

import gc
from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256
from typing import Literal

import anyio
from msgspec import Struct
from structlog.testing import capture_logs

from daemon.actors.backup import BackupActor, Surroundings
from daemon.actors.packing import PipelinePacker
from daemon.actors.removal import RemovalActor
from daemon.actors.worker import Actors, Limits
from daemon.commands import StartDaemon
from daemon.core import Core, Parts
from daemon.ledger import Ledger
from daemon.ports import Progress
from daemon.storage.one_error import one_error
from daemon.storage.shelf import Shelf
from events import codec
from events.facts import Failure
from events.log import LogFailed
from events.types import Event
from projections.state import State, evolve
from projections.work import RestoreWork, UndoWork, outstanding
from tests.simulation.far import CLEAR, Far, Line, Weather
from tests.simulation.invariants import AT_THE_END, Checker, View
from tests.simulation.loop import Deadlock, Livelock, ProcessKilled, VirtualLoop, unheard
from tests.simulation.ports import FarCaches, FarLog, FarVault, inline
from tests.simulation.virtual import CountedIds, VirtualClock, orderly_scopes
from tests.support.samples import HERE, MAIN

DOWN_SECONDS = 3.0
"""How long the daemon is away after its end."""
PATIENCE_SECONDS = 3600.0
"""How long a life may take to finish everything."""
STEPS_OF_A_LIFE = 20_000

End = Literal["done", "stopped", "killed"]


class Nobody:
    """An actor for work that does not come up here."""

    async def perform(self, work: RestoreWork | UndoWork, progress: Progress) -> None:
        """There are no restores in this world."""
        raise AssertionError(f"no story restores: {work}, {progress}")

    async def crashed(self, work: RestoreWork | UndoWork, failure: Failure) -> None:
        """Nor failures of them."""


class Life(Struct):
    """One incarnation of the daemon, and whoever talks to it."""

    number: int
    line: Line
    log: FarLog
    core: Core

    @property
    def ledger(self) -> Ledger:
        """The incarnation's ledger."""
        return self.core.ledger

    async def settled(self) -> None:
        """Wait until nothing is outstanding."""
        while list(outstanding(self.ledger.state)):
            await self.ledger.changed(self.ledger.state)


Script = Callable[[Life], Awaitable[None]]


class Plan(Struct, frozen=True):
    """How a life goes: the weather, and the steps before which something happens.

    The daemon is killed or told to stop, or the client goes away in the middle of a command.
    Steps are counted from the moment when the log has been opened.
    """

    kill_at: int | None = None
    stop_at: int | None = None
    leave_at: int | None = None
    weather: Weather = CLEAR


QUIET = Plan()


class World:
    """Lives of a daemon, one after the other; `steps` and `lives` tell how much was tried."""

    def __init__(self, far: Far | None = None) -> None:
        self.far = far or Far()
        self.lives = 0
        self.steps = 0
        self.calls: list[str] = []
        self.hit: list[str] = []
        self.trace = sha256()
        self._late = False

    def backups(self) -> dict[str, str]:
        """The phase of every backup that the log knows, by name."""
        state, _ = _told(self.far)
        return {b.name: b.phase for of_cache in state.catalog.values() for b in of_cache.values()}

    def fingerprint(self) -> str:
        """Worlds that look alike go on alike, but for the time of day."""
        far = self.far
        seen = (far.records[-1].hash if far.records else b"", sorted(far.objects.items()))
        under_way = [(number, upload.name, upload.data) for number, upload in far.uploads.items()]
        return sha256(repr((seen, under_way, len(far.snapshots))).encode()).hexdigest()

    def fork(self) -> "World":
        """Another world with the same past."""
        other = World(self.far.copy())
        other.lives, other._late = self.lives, self._late
        return other

    def live(self, script: Script, plan: Plan = QUIET) -> End:
        """One life; raises the first `Violation` that was seen in it.

        Rubbish is collected when it is over: collecting has its own time, which is no part of
        the world, and what the dead say when they are collected is not heard.
        """
        gc.disable()
        try:
            return self._live(script, plan)
        finally:
            with unheard():
                gc.collect(1)
            gc.enable()

    def _live(self, script: Script, plan: Plan) -> End:
        self.lives += 1
        self._late |= "late" in plan.weather.faults.values() or plan.weather.stubborn
        checker = Checker(View(self.far, late_effects=self._late))
        checker.view.state, checker.view.story = _told(self.far)
        loop = VirtualLoop(self.far.now)
        with orderly_scopes(), capture_logs() as logs:
            try:
                end = self._run(loop, _Run(self.far, plan, checker, script, self.lives))
            finally:
                crashes = [line for line in logs if line["event"] == "work crashed"]
                loop.abandon()
        if crashes:
            checker.complain("nothing_crashes", detail=str(crashes))
        checker.verdict()
        return end

    def _run(self, loop: VirtualLoop, run: "_Run") -> End:
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
            self.far = run.far.copy()
            self.far.now = loop.now + DOWN_SECONDS
        self.steps = run.steps_lived(loop)
        self.calls, self.hit = run.line.calls, list(run.line.hit)
        head = run.far.records[-1].hash if run.far.records else b""
        self.trace.update(f"{end} {loop.steps} {loop.now} {self.calls}".encode() + head)
        return end


class _Run:
    """What one life is made of."""

    def __init__(self, far: Far, plan: Plan, checker: Checker, script: Script, number: int) -> None:
        self.far = far
        self.checker = checker
        self.stopped = False
        self.line = Line(far, plan.weather, checker.effect)
        self._plan = plan
        self._script = script
        self._number = number
        self._opened = 0
        self._working: anyio.CancelScope | None = None
        self._talk: anyio.CancelScope | None = None

    def steps_lived(self, loop: VirtualLoop) -> int:
        """Steps since the log was opened."""
        return loop.steps - self._opened

    async def main(self, loop: VirtualLoop) -> None:
        """The composition root of this world, in the order of the real one."""
        log = FarLog(self.line, self.checker.events)
        await log.reopen()
        self._opened = loop.steps
        self._intervene(loop)
        for landing in list(self.far.late):
            self.line.expect(landing, "an effect of old")
        ledger = Ledger(log, VirtualClock(), CountedIds(self._number))
        await ledger.load()
        life = Life(self._number, self.line, log, Core(ledger, self._parts(ledger)))
        async with anyio.create_task_group() as writing:
            writing.start_soon(ledger.run)
            with anyio.CancelScope() as self._working:
                await self._work(life)
            await life.core.stop("told to end")
            writing.cancel_scope.cancel()
        if ledger.state != _told(self.far)[0]:
            self.checker.complain("memory_is_the_log", detail=f"{ledger.state.position} in memory")

    def _intervene(self, loop: VirtualLoop) -> None:
        """Only from here on: opening the log is not what is tried."""
        if self._plan.kill_at is not None:
            loop.kill_at = loop.steps + self._plan.kill_at
        if self._plan.stop_at is not None:
            loop.before_step[loop.steps + self._plan.stop_at] = self._stop
        if self._plan.leave_at is not None:
            loop.before_step[loop.steps + self._plan.leave_at] = self._leave

    def _stop(self) -> None:
        if self._working is not None:
            self.stopped = True
            self._working.cancel()

    def _leave(self) -> None:
        if self._talk is not None:
            self._talk.cancel()

    async def _work(self, life: Life) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(life.core.run, StartDaemon(HERE, "0.1.0"), None)
            with anyio.fail_after(PATIENCE_SECONDS):
                with anyio.CancelScope() as self._talk:
                    await self._script(life)
                if self._talk.cancelled_caught:
                    await anyio.sleep(1.0)  # the command may be on its way to the log
                await life.settled()
            if self.far.late:
                await anyio.sleep_until(max(landing.at for landing in self.far.late) + 1.0)
            tasks.cancel_scope.cancel()
        if not self.stopped:
            self.checker.check(AT_THE_END)

    def _parts(self, ledger: Ledger) -> Parts:
        clock = VirtualClock()
        shelf = Shelf({MAIN: partial(FarVault, self.line)}, HERE)
        outside = Surroundings(
            caches=FarCaches(self.line),
            vaults=shelf,
            pack=PipelinePacker(inline, engine=None),
            clock=clock,
            installation=HERE,
        )
        actors = Actors(
            backup=BackupActor(ledger, outside),
            removal=RemovalActor(ledger, shelf),
            restore=Nobody(),
            undo=Nobody(),
        )
        ids = CountedIds(self._number + 1000)
        return Parts(actors=actors, limits=Limits(backups=2), clock=clock, ids=ids)

    def look_behind(self, loop: VirtualLoop) -> None:
        """I10: when a life has ended nothing of it is left, and no error went unheard."""
        if left := loop.left_over():
            self.checker.complain("nobody_stays_behind", detail=str(left))
        if loop.troubles:
            self.checker.complain("no_error_goes_unheard", detail=str(loop.troubles[0]))


def _told(far: Far) -> tuple[State, list[Event]]:
    """What the log tells: the state, and every event."""
    state, story = State(), []
    for record in far.records:
        event = codec.decode(record.data)
        state = evolve(state, record.envelope, event)
        story.append(event)
    return state, story
