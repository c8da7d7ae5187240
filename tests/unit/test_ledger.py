"""The ledger: batches, durability, errors, keys; all on virtual time."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import TypeVar

import anyio
import anyio.lowlevel
import pytest

from daemon.commands import (
    AddCache,
    DeleteBackup,
    RecordCache,
    RemoveCache,
    RequestBackup,
    StartDaemon,
    StopDaemon,
)
from daemon.errors import Rejected, Unavailable, ValkeepError
from daemon.ledger import PROBE_SECONDS, KeyedBy, Ledger, Outcome
from daemon.storage.one_error import one_error
from events import codec
from events.envelope import Commit, Entry, Who
from events.facts import CacheName, CommitId, Position
from events.log import EventLog, LogFailed
from events.memory import InMemoryLog
from events.types import BackupRequested, CacheRegistered, stream_of
from projections.state import State, fold
from tests.simulation.virtual import START, CountedIds, VirtualClock, pass_time, virtually
from tests.support.given import ANNA, DAEMON
from tests.support.logs import SlowLog, full_disk
from tests.support.samples import HERE, ORDERS, SETTINGS, USERS, add_cache, registered

T = TypeVar("T")
BACKUP = RequestBackup("orders", "one")
KEY = KeyedBy(1000, "key-1", b"body")


@asynccontextmanager
async def running(log: EventLog, run: int = 0) -> AsyncGenerator[Ledger, None]:
    """A ledger at work on a log."""
    ledger = Ledger(log, VirtualClock(), CountedIds(run))
    await ledger.load()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ledger.run)
        yield ledger
        tasks.cancel_scope.cancel()


async def together(*calls: Callable[[], Awaitable[T]]) -> list[T | ValkeepError]:
    """What calls made at the same time return or raise, in their order."""
    answers: dict[int, T | ValkeepError] = {}

    async def one(number: int, call: Callable[[], Awaitable[T]]) -> None:
        try:
            answers[number] = await call()
        except ValkeepError as error:
            answers[number] = error

    async with anyio.create_task_group() as tasks:
        for number, call in enumerate(calls):
            tasks.start_soon(one, number, call)
    return [answers[number] for number in range(len(calls))]


async def folded(log: EventLog) -> State:
    """The state that the log alone gives."""
    async with aclosing(log.read()) as records:
        return fold([(record.envelope, codec.decode(record.data)) async for record in records])


def test_answered_commands_are_in_the_log() -> None:
    """A command is answered with the positions and events that the log then has."""

    async def main() -> None:
        log = InMemoryLog()
        async with running(log) as ledger:
            outcome = await ledger.execute(add_cache("orders"), ANNA)
            assert outcome == Outcome((Position(1),), (registered(),))
            async with aclosing(ledger.records(Position(0))) as records:
                (record,) = [record async for record in records]
            assert (Position(1), ANNA) == (record.position, record.envelope.who)
            assert record.envelope.at == START
            assert codec.decode(record.data) == registered()
            assert (await ledger.head()).hash == record.hash

    virtually(main)


def test_command_without_events_is_answered_at_once() -> None:
    """A command that leads to nothing costs no append."""

    async def main() -> None:
        log = SlowLog(InMemoryLog())
        async with running(log) as ledger:
            assert Outcome((), ()) == await ledger.execute(StopDaemon("SIGTERM"), DAEMON)
        assert [] == log.batches

    virtually(main)


def test_state_is_what_is_durable() -> None:
    """What is being stored is not in the state yet: nobody acts on what may be lost."""

    async def main() -> None:
        async with running(SlowLog(InMemoryLog())) as ledger, anyio.create_task_group() as tasks:
            tasks.start_soon(ledger.execute, add_cache("orders"), ANNA)
            await pass_time(0.9)
            assert {} == dict(ledger.state.caches)
            await pass_time(0.2)
            assert [ORDERS] == list(ledger.state.caches)

    virtually(main)


def test_concurrent_commands_share_appends() -> None:
    """Of 64 commands at once the first is stored alone, and the others together (L1)."""

    async def main() -> None:
        log = SlowLog(InMemoryLog())
        async with running(log) as ledger:
            begun = anyio.current_time()

            async def one(number: int) -> tuple[int, float]:
                await ledger.execute(add_cache(f"cache-{number}"), ANNA)
                return ledger.state.position, anyio.current_time() - begun

            await anyio.lowlevel.checkpoint()
            answers = await together(*(lambda n=n: one(n) for n in range(64)))

        assert 64 == sum(log.batches)
        assert len(log.batches) <= 3
        for number, answer in enumerate(answers):
            assert not isinstance(answer, ValkeepError)
            position, seconds = answer
            assert position > number, "it was answered before it was durable"
            assert seconds >= 1.0, "it was answered before its batch was stored"

    virtually(main)


def test_commands_see_earlier_ones_of_their_batch() -> None:
    """Of two backups asked for at once under one name, one is made and one refused (M1)."""

    async def main() -> None:
        log = SlowLog(InMemoryLog())
        async with running(log) as ledger:
            await ledger.execute(add_cache("orders"), ANNA)
            answers = await together(*(lambda: ledger.execute(BACKUP, ANNA) for _ in range(2)))

        first, second = answers
        assert isinstance(first, Outcome)
        assert isinstance(second, Rejected)
        assert second.code == "backup-exists"
        assert [1, 1] == log.batches

    virtually(main)


def test_dependent_commands_share_an_append() -> None:
    """A command may stand on another one that is not durable yet, in the same transaction."""

    async def main() -> None:
        log = SlowLog(InMemoryLog())
        async with running(log) as ledger:
            answers = await together(
                lambda: ledger.execute(add_cache("orders"), ANNA),
                lambda: ledger.execute(BACKUP, ANNA),
            )
            assert all(isinstance(answer, Outcome) for answer in answers)
            assert ledger.state == await folded(log)
        assert [2] == log.batches

    virtually(main)


def test_failed_append_fails_every_caller() -> None:
    """When a batch cannot be stored all its callers get the error, and those on top of it.

    Nothing of it is in the state then, and the next command is decided without it (L2).
    """

    async def main() -> None:
        log = SlowLog(InMemoryLog())
        async with running(log) as ledger:
            await ledger.execute(add_cache("users"), ANNA)
            log.failures.append(full_disk())

            async def late() -> Outcome:
                await pass_time(0.2)
                return await ledger.execute(BACKUP, ANNA)

            answers = await together(
                lambda: ledger.execute(add_cache("orders"), ANNA),
                lambda: ledger.execute(add_cache("more"), ANNA),
                late,
            )
            assert all(isinstance(answer, Unavailable) for answer in answers)
            trouble = ledger.trouble
            assert trouble is not None
            assert trouble.hint == "make room"
            assert ledger.state == await folded(log)

            with pytest.raises(ValkeepError, match="no cache 'orders'"):
                await ledger.execute(BACKUP, ANNA)
            outcome = await ledger.execute(add_cache("orders"), ANNA)
            assert (Position(2),) == outcome.positions
            assert ledger.trouble is None
            assert ledger.state == await folded(log)

    virtually(main)


def test_failed_append_leaves_others_alone() -> None:
    """A command that comes after the failure, and those before it, are stored as ever."""

    async def main() -> None:
        log = SlowLog(InMemoryLog())
        log.failures.append(full_disk())
        async with running(log) as ledger:
            with pytest.raises(Unavailable):
                await ledger.execute(add_cache("orders"), ANNA)
            answers = await together(
                lambda: ledger.execute(add_cache("orders"), ANNA),
                lambda: ledger.execute(add_cache("users"), ANNA),
            )
            assert all(isinstance(answer, Outcome) for answer in answers)
            assert ledger.state == await folded(log)

    virtually(main)


def test_trouble_ends_with_its_cause() -> None:
    """A log that was full is tried again while nobody writes: its trouble is over when that is."""

    async def main() -> None:
        log = SlowLog(InMemoryLog())
        log.failures += [full_disk(), full_disk()]
        async with running(log) as ledger:
            with pytest.raises(Unavailable):
                await ledger.execute(add_cache("orders"), ANNA)
            await pass_time(2.5 * PROBE_SECONDS)
            assert (2, True) == (log.probes, ledger.trouble is not None)
            log.failures.clear()
            await pass_time(PROBE_SECONDS)
            assert (3, None) == (log.probes, ledger.trouble)
            await pass_time(10 * PROBE_SECONDS)
            assert 3 == log.probes
            await ledger.execute(add_cache("orders"), ANNA)
            assert ledger.state == await folded(log)

    virtually(main)


def test_failed_log_ends_the_ledger() -> None:
    """When nobody can tell whether a batch was stored its callers are told, and no more is written.

    The next run finds in the log what was stored after all (fault 12).
    """

    async def main() -> None:
        log = SlowLog(InMemoryLog())
        log.failures.append(LogFailed("the disk failed", "start again"))
        async with running(log) as ledger:
            with pytest.raises(Unavailable):
                await ledger.execute(add_cache("orders"), ANNA)
            await anyio.sleep_forever()

    with pytest.raises(LogFailed), one_error():
        virtually(main)


def test_check_decides_and_changes_nothing() -> None:
    """A command can be checked beforehand; it is refused alike, and nothing happens."""

    async def main() -> None:
        async with running(InMemoryLog()) as ledger:
            ledger.check(add_cache("orders"))
            with pytest.raises(ValkeepError, match="no cache 'orders'"):
                ledger.check(BACKUP)
            assert 0 == ledger.state.position
            await ledger.execute(add_cache("orders"), ANNA)
            ledger.check(BACKUP)

    virtually(main)


def test_caller_that_leaves_changes_nothing() -> None:
    """A command whose caller goes away while it waits happens all the same (fault 65)."""

    async def main() -> None:
        log = SlowLog(InMemoryLog())
        async with running(log) as ledger:
            with anyio.move_on_after(0.1) as scope:
                await ledger.execute(add_cache("orders"), ANNA)
            assert scope.cancelled_caught
            assert [ORDERS] == list((await ledger.changed(ledger.state)).caches)

    virtually(main)


@pytest.mark.parametrize("seconds", [0.4, 0.5, 0.6, 0.999, 1.0, 1.001])
def test_append_and_fold_are_one_step(seconds: float) -> None:
    """A ledger that is cancelled while it stores has folded what the log has (fault 20)."""

    async def main() -> None:
        log = SlowLog(InMemoryLog())
        ledger = Ledger(log, VirtualClock(), CountedIds())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ledger.run)
            tasks.start_soon(ledger.execute, add_cache("orders"), ANNA)
            await pass_time(seconds)
            tasks.cancel_scope.cancel()
        assert ledger.state == await folded(log)
        assert 1 == ledger.state.position == log.stored

    virtually(main)


def test_repeated_key_gives_the_first_answer() -> None:
    """A key that comes again with the same body gets the first answer, and no effect (L4)."""

    async def main() -> None:
        log = InMemoryLog()
        async with running(log) as ledger:
            await ledger.execute(add_cache("orders"), ANNA)
            first = await ledger.execute(BACKUP, ANNA, KEY)
            await ledger.execute(add_cache("users"), ANNA)
            assert first == await ledger.execute(BACKUP, ANNA, KEY)
            assert 3 == ledger.state.position

    virtually(main)


def test_key_with_another_body_is_refused() -> None:
    """A key that comes again with another body is refused (L4)."""

    async def main() -> None:
        async with running(InMemoryLog()) as ledger:
            await ledger.execute(add_cache("orders"), ANNA, KEY)
            with pytest.raises(Rejected) as caught:
                await ledger.execute(add_cache("users"), ANNA, KeyedBy(1000, "key-1", b"other"))
            assert caught.value.code == "key-reused"
            assert 1 == ledger.state.position

    virtually(main)


def test_keys_belong_to_users() -> None:
    """Two users may choose the same key (L4)."""

    async def main() -> None:
        async with running(InMemoryLog()) as ledger:
            await ledger.execute(add_cache("orders"), ANNA, KEY)
            await ledger.execute(add_cache("users"), ANNA, KeyedBy(1001, "key-1", b"other"))
            assert 2 == ledger.state.position

    virtually(main)


def test_same_key_at_once_has_one_effect() -> None:
    """A key that comes three times at once has one effect and three equal answers (fault 68)."""

    async def main() -> None:
        log = SlowLog(InMemoryLog())
        async with running(log) as ledger:
            await ledger.execute(add_cache("orders"), ANNA)
            answers = await together(*(lambda: ledger.execute(BACKUP, ANNA, KEY) for _ in range(3)))
            assert 2 == ledger.state.position
        assert isinstance(answers[0], Outcome)
        assert all(answer == answers[0] for answer in answers)

    virtually(main)


def test_same_key_at_once_survives_a_failed_append() -> None:
    """When the append of a key's first call fails, the call that waited for it is carried out."""

    async def main() -> None:
        log = SlowLog(InMemoryLog())
        async with running(log) as ledger:
            await ledger.execute(add_cache("orders"), ANNA)
            log.failures.append(full_disk())
            answers = await together(*(lambda: ledger.execute(BACKUP, ANNA, KEY) for _ in range(3)))
            assert 2 == ledger.state.position
        assert isinstance(answers[0], Unavailable)
        assert isinstance(answers[1], Outcome)
        assert answers[1] == answers[2]

    virtually(main)


def test_key_is_known_after_a_restart() -> None:
    """A key keeps its answer across a restart: it is in the log (L4)."""

    async def main() -> None:
        log = InMemoryLog()
        async with running(log) as ledger:
            await ledger.execute(add_cache("orders"), ANNA)
            first = await ledger.execute(BACKUP, ANNA, KEY)
        async with running(log, run=1) as again:
            assert first == await again.execute(BACKUP, ANNA, KEY)
            assert 2 == again.state.position

    virtually(main)


def test_refusals_are_not_stored() -> None:
    """A refused command leaves its key free, and is decided anew when it comes again (L4)."""

    async def main() -> None:
        async with running(InMemoryLog()) as ledger:
            with pytest.raises(ValkeepError):
                await ledger.execute(BACKUP, ANNA, KEY)
            await ledger.execute(add_cache("orders"), ANNA)
            outcome = await ledger.execute(BACKUP, ANNA, KEY)
            assert [BackupRequested] == [type(event) for event in outcome.events]

    virtually(main)


def test_answer_of_several_events_is_rebuilt_whole() -> None:
    """A repeated key gives back all events of its command, in order (L4)."""

    async def main() -> None:
        async with running(InMemoryLog()) as ledger:
            start = StartDaemon(HERE, "0.1.0")
            await ledger.execute(add_cache("orders"), ANNA)
            await ledger.execute(BACKUP, ANNA)
            first = await ledger.execute(RemoveCache("orders"), ANNA, KEY)
            await ledger.execute(start, DAEMON)
            assert 2 == len(first.events)
            assert first == await ledger.execute(RemoveCache("orders"), ANNA, KEY)

    virtually(main)


def test_report_waits_for_the_log() -> None:
    """What has happened is reported until the log takes it, with growing pauses (fault 9)."""

    async def main() -> None:
        log = SlowLog(InMemoryLog(), seconds=0.0)
        log.failures += [full_disk() for _ in range(8)]
        async with running(log) as ledger:
            outcome = await ledger.report(StartDaemon(HERE, "0.1.0"))
        assert (Position(1),) == outcome.positions
        assert 9 == len(log.batches)
        assert 1 + 2 + 4 + 8 + 16 + 30 + 30 + 30 == anyio.current_time()

    virtually(main)


def test_report_that_is_refused_is_not_repeated() -> None:
    """A report on what is no longer wanted is refused at once, not waited for."""

    async def main() -> None:
        async with running(InMemoryLog()) as ledger:
            with pytest.raises(ValkeepError):
                await ledger.report(DeleteBackup("nothing"))
            assert 0.0 == anyio.current_time()

    virtually(main)


def test_change_wakes_whoever_waits() -> None:
    """Who waits for a change gets the first state that is another one."""

    async def main() -> None:
        async with running(InMemoryLog()) as ledger, anyio.create_task_group() as tasks:
            before = ledger.state
            tasks.start_soon(ledger.execute, add_cache("orders"), ANNA)
            with anyio.fail_after(1):
                after = await ledger.changed(before)
            assert after is ledger.state
            assert after.position == 1
            assert after is await ledger.changed(before)

    virtually(main)


def test_another_writer_is_noticed() -> None:
    """Who decided on a log that another has moved on gets an error, and then its new state (L2)."""

    async def main() -> None:
        log = InMemoryLog()
        async with running(log) as ledger:
            before = ledger.state
            await log.append([_foreign()])
            with pytest.raises(Unavailable) as caught:
                await ledger.execute(add_cache("orders"), ANNA)
            assert caught.value.code == "log-overtaken"
            with anyio.fail_after(1):
                assert await ledger.changed(before) == await folded(log)
            with pytest.raises(Rejected):
                await ledger.execute(add_cache("orders"), ANNA)

    virtually(main)


def _foreign() -> Commit:
    event = CacheRegistered(cache=ORDERS, settings=SETTINGS)
    stream = stream_of(event)
    return Commit(
        commit_id=CommitId("foreign"),
        at=START + timedelta(seconds=1),
        who=Who(kind="daemon"),
        relied={stream: Position(0)},
        entries=(Entry(stream, codec.encode(event)),),
    )


def test_loaded_ledger_has_the_whole_log() -> None:
    """A ledger that comes up has folded all that the log holds."""

    async def main() -> None:
        log = InMemoryLog()
        async with running(log) as ledger:
            for number in range(20):
                await ledger.execute(
                    RecordCache(AddCache(name=f"c{number}", url=SETTINGS.url), SETTINGS), ANNA
                )
            last = ledger.state
        again = Ledger(log, VirtualClock(), CountedIds(1))
        await again.load()
        assert last == again.state
        assert 20 == len(again.state.caches)

    virtually(main)


def test_the_ledger_knows_which_caches_have_changed() -> None:
    """Whoever has seen a position is told of the caches that later records are about."""
    carts = CacheName("carts")

    async def main() -> None:
        async with running(InMemoryLog()) as ledger:
            for name in ("orders", "users", "carts"):
                await ledger.execute(add_cache(name), ANNA)
            await ledger.execute(StartDaemon(HERE, "1"), DAEMON)
            assert frozenset([ORDERS, USERS, carts]) == ledger.touched(Position(0))
            assert frozenset([carts]) == ledger.touched(Position(2))
            assert frozenset() == ledger.touched(Position(3))

    virtually(main)


def test_the_ledger_does_not_pretend_to_remember(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was loaded, or has been pushed out of memory, may be about any cache."""
    monkeypatch.setattr("daemon.ledger.TOUCHES", 2)
    carts = CacheName("carts")

    async def main() -> None:
        log = InMemoryLog()
        async with running(log) as ledger:
            for name in ("orders", "users", "carts"):
                await ledger.execute(add_cache(name), ANNA)
            assert ledger.touched(Position(0)) is None
            assert frozenset([USERS, carts]) == ledger.touched(Position(1))
        async with running(log, run=1) as ledger:
            assert ledger.touched(Position(2)) is None
            assert frozenset() == ledger.touched(Position(3))

    virtually(main)
