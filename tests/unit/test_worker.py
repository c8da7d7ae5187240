"""The worker: admission, rests, crashes, wake-ups; on virtual time, with actors that do as told."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from msgspec import Struct, structs
from structlog.testing import capture_logs

from daemon.actors.worker import Actors, Limits, Worker
from daemon.commands import (
    RemoveCache,
    ReportDeleted,
    ReportStored,
    ReportSwept,
    RequestBackup,
    StartAttempt,
)
from daemon.errors import Rejected, Transient
from daemon.ledger import Ledger
from daemon.ports import Clock, Progress
from events import codec
from events.envelope import Commit, Entry
from events.facts import START as START_OF_LOG
from events.facts import (
    BackupId,
    CacheName,
    CacheSettings,
    CommitId,
    Failure,
    NodeFacts,
    Position,
    Stream,
)
from events.log import EventLog
from events.memory import InMemoryLog
from events.types import (
    BackupFailed,
    CacheRegistered,
    DeletionRequested,
    Event,
    LeftoversSwept,
    RetryScheduled,
    stream_of,
)
from projections.work import BackupWork, DeletionWork, RestoreWork, SweepWork, UndoWork, Work
from tests.simulation.virtual import START, CountedIds, VirtualClock, pass_time, virtually
from tests.support.given import ANNA, DAEMON
from tests.support.samples import (
    B1,
    B2,
    B3,
    MAIN,
    ORDERS,
    OUTSIDE,
    PROBE,
    R1,
    STORED,
    USERS,
    add_cache,
    complete,
    registered,
    requested,
    running,
    swept,
    under_way,
)

Deed = Callable[[Work, Progress], Awaitable[None]]


class Hand:
    """An `Actor` for every kind of work, which does what it is told and remembers when."""

    def __init__(self, deed: Deed) -> None:
        self._deed = deed
        self.begun: list[tuple[float, Work]] = []
        self.ended: list[tuple[float, Work]] = []
        self.crashes: list[tuple[Work, Failure]] = []

    async def perform(self, work: Work, progress: Progress) -> None:
        """See `Actor.perform`."""
        self.begun.append((anyio.current_time(), work))
        try:
            await self._deed(work, progress)
        finally:
            self.ended.append((anyio.current_time(), work))

    async def crashed(self, work: Work, failure: Failure) -> None:
        """See `Actor.crashed`."""
        self.crashes.append((work, failure))

    def order(self) -> list[Work]:
        """What was begun, in order."""
        return [work for _, work in self.begun]

    def times(self) -> list[float]:
        """When something was begun."""
        return [at for at, _ in self.begun]


class Bench(Struct):
    """A worker at work, with all that a test may want to touch."""

    ledger: Ledger
    worker: Worker
    hand: Hand
    tasks: TaskGroup


async def written(log: EventLog, *events: Event) -> None:
    """Put events into a log as if a daemon of old had done so."""
    heads: dict[Stream, Position] = {}
    for number, event in enumerate(events, 1):
        stream = stream_of(event)
        commit = Commit(
            commit_id=CommitId(f"old-{number}"),
            at=START - timedelta(days=1),
            who=DAEMON,
            relied={stream: heads.get(stream, START_OF_LOG)},
            entries=(Entry(stream, codec.encode(event)),),
        )
        await log.append([commit])
        heads[stream] = Position(number)


@asynccontextmanager
async def bench(
    deed: Callable[[Ledger], Deed], *events: Event, backups: int = 2, clock: Clock | None = None
) -> AsyncGenerator[Bench, None]:
    """A worker whose log holds these events and whose actors do this."""
    clock = clock or VirtualClock()
    log = InMemoryLog()
    await written(log, *events)
    ledger = Ledger(log, clock, CountedIds())
    await ledger.load()
    hand = Hand(deed(ledger))
    names = ("backup", "removal", "copy", "restore", "undo", "verify", "export", "compare")
    actors = Actors(**dict.fromkeys(names, hand))
    worker = Worker(ledger, actors, Limits(backups=backups), clock, CountedIds(1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ledger.run)
        tasks.start_soon(worker.run)
        yield Bench(ledger, worker, hand, tasks)
        tasks.cancel_scope.cancel()


def at_host(host: str, cache: CacheName) -> CacheRegistered:
    """A cache on a host."""
    return CacheRegistered(
        cache=cache, settings=CacheSettings(url=f"valkey://{host}:6379", vault=MAIN)
    )


def making(seconds: float) -> Callable[[Ledger], Deed]:
    """Actors that make every backup in so many seconds, and remove things at once."""

    def of(ledger: Ledger) -> Deed:
        async def deed(work: Work, progress: Progress) -> None:
            progress.phase("working")
            match work:
                case BackupWork():
                    try:
                        await ledger.execute(StartAttempt(work.backup_id), DAEMON)
                    except Rejected:
                        return
                    await pass_time(seconds)
                    await ledger.execute(ReportStored(work.backup_id, STORED), DAEMON)
                case SweepWork():
                    await ledger.execute(ReportSwept(work.backup_id), DAEMON)
                case DeletionWork():
                    await ledger.execute(ReportDeleted(work.backup_id), DAEMON)
                case RestoreWork() | UndoWork():
                    await anyio.sleep_forever()

        return deed

    return of


def doing_nothing(_: Ledger) -> Deed:
    """Actors that get nowhere."""

    async def deed(work: Work, progress: Progress) -> None:
        await anyio.lowlevel.checkpoint()

    return deed


C1, C2, C3 = (CacheName(f"cache-{number}") for number in (1, 2, 3))


def test_so_many_backups_at_a_time() -> None:
    """No more backups run at a time than configured; the oldest request comes first."""

    async def main() -> None:
        caches = [at_host(f"host-{cache}", cache) for cache in (C1, C2, C3)]
        asked = [requested(b, cache=c) for b, c in ((B1, C1), (B2, C2), (B3, C3))]
        async with bench(making(10), *caches, *asked, backups=2) as b:
            await pass_time(9)
            assert [BackupWork(B1, C1), BackupWork(B2, C2)] == b.hand.order()
            await pass_time(2)
            assert BackupWork(B3, C3) == b.hand.order()[2]
            assert [0.0, 0.0, 10.0] == b.hand.times()

    virtually(main)


def test_one_snapshot_per_host() -> None:
    """Of two caches on one host one is backed up at a time, whatever their ports."""

    async def main() -> None:
        caches = [at_host("one", C1), at_host("one", C2), at_host("other", C3)]
        asked = [requested(b, cache=c) for b, c in ((B1, C1), (B2, C2), (B3, C3))]
        async with bench(making(10), *caches, *asked, backups=3) as b:
            await pass_time(25)
            assert [(0.0, B1), (0.0, B3), (10.0, B2)] == [
                (at, work.backup_id) for at, work in b.hand.begun if isinstance(work, BackupWork)
            ]

    virtually(main)


def test_host_of_the_chosen_node_counts() -> None:
    """Two caches whose URLs name one host, and whose replicas are on two, do not wait."""

    async def main() -> None:
        caches = [
            structs.replace(
                at_host("one", cache),
                probe=structs.replace(PROBE, node=NodeFacts(f"{host}:6379", "replica", "fits")),
            )
            for cache, host in ((C1, "a"), (C2, "b"), (C3, "b"))
        ]
        asked = [requested(b, cache=c) for b, c in ((B1, C1), (B2, C2), (B3, C3))]
        async with bench(making(10), *caches, *asked, backups=3) as b:
            await pass_time(25)
            assert [(0.0, B1), (0.0, B2), (10.0, B3)] == [
                (at, work.backup_id) for at, work in b.hand.begun if isinstance(work, BackupWork)
            ]

    virtually(main)


def test_safety_backup_is_always_admitted() -> None:
    """A safety backup does not wait for room: its target refuses writes until it is made (R4)."""

    async def main() -> None:
        story = [
            at_host("one", ORDERS),
            at_host("one", USERS),
            *complete(B1),
            requested(B2),
            *under_way(B1, to=USERS),
            requested(B3, cache=USERS, kind="safety"),
        ]
        async with bench(making(10), *story, backups=1) as b:
            await pass_time(1)
            assert BackupWork(B2, ORDERS) in b.hand.order()
            assert BackupWork(B3, USERS, safety=True) in b.hand.order()

    virtually(main)


def test_removals_are_not_limited() -> None:
    """Sweeps and deletions do not wait for room for snapshots."""

    async def main() -> None:
        dying = DeletionRequested(cache=USERS, backup_id=B2, reason="command")
        story = [registered(), registered(USERS), requested(B1), *complete(B2, cache=USERS), dying]
        async with bench(making(10), *story, backups=1) as b:
            await pass_time(1)
            assert {BackupWork(B1, ORDERS), DeletionWork(B2, USERS)} == set(b.hand.order())

    virtually(main)


def test_work_that_gets_nowhere_rests() -> None:
    """Work that ended and is still wanted is left alone for a growing while, at most 75 s."""

    async def main() -> None:
        async with bench(doing_nothing, registered(), requested()) as b:
            await pass_time(1000)
            times = b.hand.times()
        rests = [later - earlier for earlier, later in pairwise(times)]
        for rest, least in zip(rests, [1, 2, 4, 8, 16, 32, *[60] * 20], strict=False):
            assert least <= rest <= least * 1.25
        assert len(times) > 15

    virtually(main)


def test_rest_ends_with_the_work() -> None:
    """Work that comes back after it was done starts without the rest of its predecessor."""

    async def main() -> None:
        story = (registered(), *running(), _failed_by_us(), _retry(0.0))
        async with bench(making(1), *story) as b:
            await pass_time(10)
            assert [SweepWork(B1, ORDERS), BackupWork(B1, ORDERS)] == b.hand.order()
            assert [0.0, 0.0] == b.hand.times()

    virtually(main)


def test_failure_of_one_leaves_others_alone() -> None:
    """Work that raises is put off, and the rest goes on."""

    def failing(ledger: Ledger) -> Deed:
        make = making(1)(ledger)

        async def deed(work: Work, progress: Progress) -> None:
            if work == BackupWork(B1, C1):
                raise Transient("vault-away", "The vault is away.", "Wait.")
            await make(work, progress)

        return deed

    async def main() -> None:
        story: list[Event] = [at_host("a", C1), at_host("b", C2), requested(B1, cache=C1)]
        with capture_logs() as logs:
            async with bench(failing, *story, requested(B2, cache=C2)) as b:
                await pass_time(5)
                assert "complete" == b.ledger.state.catalog[C2][B2].phase
                assert [] == b.hand.crashes
                assert b.hand.order().count(BackupWork(B1, C1)) >= 2
        assert {"work put off"} == {line["event"] for line in logs}

    virtually(main)


def test_crash_is_recorded_and_others_go_on() -> None:
    """A bug in one piece of work is recorded as its failure, with no detail that may be secret."""

    def crashing(ledger: Ledger) -> Deed:
        make = making(1)(ledger)

        async def deed(work: Work, progress: Progress) -> None:
            if work == BackupWork(B1, C1):
                raise KeyError("a secret")
            await make(work, progress)

        return deed

    async def main() -> None:
        story: list[Event] = [at_host("a", C1), at_host("b", C2), requested(B1, cache=C1)]
        with capture_logs() as logs:
            async with bench(crashing, *story, requested(B2, cache=C2)) as b:
                await pass_time(0.9)
                ((work, failure),) = b.hand.crashes
                assert BackupWork(B1, C1) == work
                assert "bug" == failure.code
                assert "KeyError" in failure.message
                assert "secret" not in failure.message
                await pass_time(1)
                assert "complete" == b.ledger.state.catalog[C2][B2].phase
        assert "work crashed" in {line["event"] for line in logs}

    virtually(main)


def test_unwanted_work_is_stopped() -> None:
    """When a cache is removed while its backup runs, the running actor is stopped (fault 71)."""

    async def main() -> None:
        async with bench(making(1000), registered(), requested()) as b:
            await pass_time(5)
            await b.ledger.execute(RemoveCache("orders"), ANNA)
            await pass_time(0.01)
            assert (5.0, BackupWork(B1, ORDERS)) == b.hand.ended[0]
            assert SweepWork(B1, ORDERS) in b.hand.order()
            assert b.worker.board.standing(B1) is None
            assert {} == dict(b.ledger.state.open_backups)

    virtually(main)


def test_sweep_waits_for_the_stopped_attempt() -> None:
    """What a stopped attempt left is swept only when the attempt has really ended (S1).

    A write in a thread cannot be stopped: swept too early, it would land behind the sweep.
    """

    def slow_to_stop(ledger: Ledger) -> Deed:
        make = making(1000)(ledger)

        async def deed(work: Work, progress: Progress) -> None:
            try:
                await make(work, progress)
            finally:
                if isinstance(work, BackupWork):
                    with anyio.CancelScope(shield=True):
                        await pass_time(7)

        return deed

    async def main() -> None:
        async with bench(slow_to_stop, registered(), requested()) as b:
            await pass_time(5)
            await b.ledger.execute(RemoveCache("orders"), ANNA)
            await pass_time(10)
            assert [(0.0, BackupWork(B1, ORDERS)), (12.0, SweepWork(B1, ORDERS))] == b.hand.begun

    virtually(main)


def test_new_work_starts_at_once() -> None:
    """Work that an event brings starts at that instant, not at the next look."""

    async def main() -> None:
        async with bench(making(1), registered()) as b:
            await pass_time(33.25)
            await b.ledger.execute(RequestBackup("orders", "one"), ANNA)
            await pass_time(0.01)
            assert [33.25] == b.hand.times()

    virtually(main)


def test_waiting_work_starts_when_the_way_is_free() -> None:
    """A backup that waited for another one of its cache starts when that one has ended (R8)."""

    async def main() -> None:
        async with bench(making(10), registered(), requested(B1), requested(B2)) as b:
            await pass_time(15)
            assert [0.0, 10.0] == b.hand.times()

    virtually(main)


def _failed_by_us(cache: CacheName = ORDERS, backup_id: BackupId = B1) -> BackupFailed:
    return BackupFailed(
        cache=cache, backup_id=backup_id, attempt=1, failure=OUTSIDE, cause="daemon"
    )


def _retry(seconds: float, cache: CacheName = ORDERS, backup_id: BackupId = B1) -> RetryScheduled:
    return RetryScheduled(
        cache=cache, backup_id=backup_id, retry_at=START + timedelta(seconds=seconds)
    )


def test_retry_starts_at_its_instant() -> None:
    """A retry starts at its instant, though no event announces it."""

    async def main() -> None:
        story = (registered(), *running(), _failed_by_us(), _retry(12.5), swept())
        async with bench(making(1), *story) as b:
            await pass_time(20)
            assert [12.5] == b.hand.times()

    virtually(main)


def test_past_instants_do_not_hide_the_next() -> None:
    """A retry that is due and cannot start yet does not delay another one's instant."""

    async def main() -> None:
        story: list[Event] = [at_host("a", C1), at_host("b", C2), requested(B3, cache=C1)]
        for cache, backup_id, due in ((C1, B1, -5.0), (C2, B2, 12.5)):
            story += [
                *running(backup_id, cache=cache),
                _failed_by_us(cache, backup_id),
                _retry(due, cache, backup_id),
                LeftoversSwept(cache=cache, backup_id=backup_id),
            ]
        busy = running(B3, cache=C1)[1:]
        async with bench(doing_nothing, *story, *busy) as b:
            await pass_time(14)
            first = next(at for at, work in b.hand.begun if work == BackupWork(B2, C2))
            assert 12.5 <= first < 12.6
            assert BackupWork(B1, C1) not in b.hand.order()

    virtually(main)


def test_clock_that_is_set_is_noticed() -> None:
    """When the wall clock is set past an instant, its work starts within a minute (fault 21)."""

    async def main() -> None:
        clock = VirtualClock()
        story = (registered(), *running(), _failed_by_us(), _retry(3600), swept())
        async with bench(making(1), *story, clock=clock) as b:
            await pass_time(10)
            clock.set_by(timedelta(hours=2))
            await pass_time(60)
            (begun,) = b.hand.times()
            assert begun <= 70

    virtually(main)


class TickingClock(VirtualClock):
    """A clock that goes on a millisecond whenever somebody looks at it."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        self.set_by(timedelta(milliseconds=1))
        return super().now()


def test_no_instant_falls_between_two_looks() -> None:
    """An instant that comes while the worker looks around is not overlooked for a minute."""

    async def main(due: float) -> list[float]:
        story = (registered(), *running(), _failed_by_us(), _retry(due), swept())
        async with bench(making(1), *story, clock=TickingClock()) as b:
            await pass_time(10)
            await b.ledger.execute(add_cache("another"), ANNA)
            await pass_time(2)
            return b.hand.times()

    for quarter in range(60):
        assert 1 == len(virtually(partial(main, 10 + quarter / 4000)))


def test_idle_worker_looks_once_a_minute() -> None:
    """A worker with nothing to do looks around once a minute, no more."""

    async def main() -> None:
        looks = 0

        class Counting(VirtualClock):
            def now(self) -> datetime:
                nonlocal looks
                looks += 1
                return super().now()

        async with bench(making(1), registered(), clock=Counting()):
            await pass_time(3600)
        assert looks <= 3 * 61

    virtually(main)


def test_worker_stops_with_its_actors() -> None:
    """A worker that is told to stop stops its actors, and leaves nothing behind."""

    async def main() -> None:
        async with bench(making(1000), registered(), requested()) as b:
            await pass_time(5)
            b.tasks.cancel_scope.cancel()
        assert [(5.0, BackupWork(B1, ORDERS))] == b.hand.ended

    virtually(main)


def test_progress_is_on_the_board() -> None:
    """While work runs its progress can be read by the id of its backup or restore."""

    async def main() -> None:
        story = (registered(), registered(USERS), *complete(B1), *under_way(B1, to=USERS))
        async with bench(making(10), *story, requested(B2)) as b:
            await pass_time(5)
            for work_id in (B2, R1):
                standing = b.worker.board.standing(work_id)
                assert standing is not None
                assert "working" == standing.phase

    virtually(main)
