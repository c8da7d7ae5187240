"""What every log promises: in memory and on disk the same (L2, L3, L4)."""

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint
from msgspec import structs

from events.audit import Verdict, verify
from events.chain import EMPTY, GENESIS, follow
from events.envelope import Commit, IdempotencyKey, Record
from events.facts import CommitId, Position, Stream
from events.log import Appended, Conflict, EventLog
from events.memory import InMemoryLog
from events.sqlite import open_log
from tests.support.commits import AT, WHO, all_of, chain_of, commit, places

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["memory", "sqlite"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[EventLog, None]:
    """Each kind of log, empty."""
    if request.param == "memory":
        yield InMemoryLog()
    else:
        async with open_log(tmp_path / "events.sqlite", pid=os.getpid()) as kept:
            yield kept


async def test_empty_log_stands_at_genesis(log: EventLog) -> None:
    """A new log has no records, and its chain begins with 32 zero bytes."""
    assert await log.head() == EMPTY
    assert bytes(32) == EMPTY.hash == GENESIS
    assert [] == await all_of(log)


async def test_empty_batch_changes_nothing(log: EventLog) -> None:
    """An empty batch has no answers and stores nothing."""
    assert () == await log.append([])
    assert await log.head() == EMPTY


async def test_a_probe_leaves_no_record(log: EventLog) -> None:
    """A log that can be written says so, and stands where it stood."""
    await log.append([commit("x", {"a": 0})])
    before = await log.head()
    await log.probe()

    assert before == await log.head()
    assert 1 == len(await all_of(log))
    (answer,) = await log.append([commit("y", {"a": 1})])
    assert [2] == places(answer)


async def test_positions_are_total_and_dense(log: EventLog) -> None:
    """Records are numbered from 1 without a gap, over all streams, in the order of entries."""
    first, second = await log.append([commit("x", {"a": 0, "b": 0}, size=2), commit("y", {"c": 0})])

    assert [1, 2, 3, 4] == places(first)
    assert [5] == places(second)
    found = await all_of(log)
    assert [1, 2, 3, 4, 5] == [record.position for record in found]
    assert ["a", "b", "a", "b", "c"] == [record.envelope.stream for record in found]


async def test_what_was_answered_is_what_is_read(log: EventLog) -> None:
    """The records of an answer are those that are read later, to the byte."""
    answers = await log.append(chain_of(3))
    stored = [record for answer in answers for record in _records(answer)]

    assert stored == await all_of(log)


async def test_envelope_keeps_all_of_the_commit(log: EventLog) -> None:
    """Who, when, the caller's key and the cause are stored with each event."""
    key = IdempotencyKey(uid=1000, key="k-1", body_sha256="ab" * 32)
    at = AT + timedelta(microseconds=1)
    await log.append([structs.replace(commit("x", {"a": 0}), key=key, cause=Position(7), at=at)])

    (record,) = await all_of(log)
    envelope = record.envelope
    assert (at, WHO, key, 7) == (envelope.at, envelope.who, envelope.key, envelope.cause)
    assert envelope.commit_id == "x"
    assert record.data == b'{"type":"x/1","number":0}'


async def test_chain_holds_over_the_whole_log(log: EventLog) -> None:
    """Each record follows from the one before it, up to the head."""
    await log.append(chain_of(5))
    await log.append(chain_of(5, after=5))

    tip = EMPTY
    for record in await all_of(log):
        tip = follow(tip, record)
    assert tip == await log.head()
    async with aclosing(log.read()) as records:
        assert Verdict(10, Position(10), tip.hash) == await verify(records)


async def test_stream_that_moved_on_is_a_conflict(log: EventLog) -> None:
    """A commit that relied on an older state of a stream is not stored, and is told why."""
    await log.append(chain_of(2))
    (answer,) = await log.append([commit("late", {"b": 0, "a": 1})])

    assert answer == Conflict(CommitId("late"), Stream("a"), Position(1), Position(2))
    assert (await log.head()).position == 2


async def test_stream_that_was_only_read_counts(log: EventLog) -> None:
    """A commit may rely on streams that it does not write to, and conflicts on them as well."""
    await log.append([commit("x", {"a": 0}), commit("y", {"b": 0})])
    fits, late = await log.append(
        [commit("fits", {"a": 1, "b": 2}, to=["a"]), commit("late", {"b": 2, "a": 1}, to=["b"])]
    )

    assert [3] == places(fits)
    assert late == Conflict(CommitId("late"), Stream("a"), Position(1), Position(3))


async def test_position_that_is_ahead_is_a_conflict(log: EventLog) -> None:
    """A commit that relied on events which the log does not have is not stored."""
    (answer,) = await log.append([commit("x", {"a": 4})])

    assert answer == Conflict(CommitId("x"), Stream("a"), Position(4), Position(0))


async def test_commits_of_a_batch_stand_on_each_other(log: EventLog) -> None:
    """A commit may rely on what an earlier one of the same batch stores."""
    answers = await log.append(
        [commit("x", {"a": 0}), commit("y", {"b": 0}), commit("z", {"a": 1, "b": 2})]
    )

    assert [[1], [2], [3, 4]] == [places(answer) for answer in answers]


async def test_conflict_takes_along_what_stood_on_it(log: EventLog) -> None:
    """A conflict fails the later commits that relied on it, and no others."""
    await log.append([commit("before", {"a": 0}, size=3)])
    answers = await log.append(
        [
            commit("stale", {"a": 0}),
            commit("on-stale", {"a": 4, "b": 0}),
            commit("on-that", {"b": 5}),
            commit("other", {"c": 0}),
        ]
    )

    assert [Conflict, Conflict, Conflict, Appended] == [type(answer) for answer in answers]
    assert [4] == places(answers[3])


async def test_agreement_by_chance_is_still_a_conflict(log: EventLog) -> None:
    """A foreign event at the very position that a failed commit counted on deceives nobody."""
    await log.append([commit("foreign", {"a": 0})])
    answers = await log.append([commit("mine", {"a": 0}), commit("on-mine", {"a": 1})])

    assert [Conflict, Conflict] == [type(answer) for answer in answers]
    assert (await log.head()).position == 1


async def test_repeated_commit_is_found_not_doubled(log: EventLog) -> None:
    """A commit whose answer was lost gets the same answer again, marked as repeated."""
    (first,) = await log.append([commit("x", {"a": 0, "b": 0}, size=2)])
    await log.append([commit("later", {"a": 3})])
    (again,) = await log.append([commit("x", {"a": 0, "b": 0}, size=2)])

    assert again == Appended(_records(first), repeated=True)
    assert (await log.head()).position == 5


async def test_repeated_commit_is_found_when_decided_anew(log: EventLog) -> None:
    """A stored id is found even where the repeated commit would fit the log as it is now."""
    first, _ = await log.append([commit("x", {"a": 0}), commit("y", {"b": 0})])
    again, other = await log.append([commit("x", {"a": 1}), commit("z", {"b": 2})])

    assert again == Appended(_records(first), repeated=True)
    assert [3] == places(other)
    assert (await log.head()).position == 3


async def test_commit_twice_in_a_batch_is_stored_once(log: EventLog) -> None:
    """The same id twice in one batch is one commit with two equal answers."""
    first, other, again = await log.append(
        [commit("x", {"a": 0}), commit("y", {"b": 0}), commit("x", {"a": 0})]
    )

    assert again == Appended(_records(first), repeated=True)
    assert [[1], [2]] == [places(first), places(other)]
    assert (await log.head()).position == 2


async def test_conflict_leaves_its_id_free(log: EventLog) -> None:
    """A commit that conflicted can be decided anew and stored under its id."""
    await log.append(chain_of(1))
    await log.append([commit("x", {"a": 0})])
    (answer,) = await log.append([commit("x", {"a": 1})])

    assert [2] == places(answer)
    assert isinstance(answer, Appended)
    assert not answer.repeated


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (commit("x", {}), "no entries"),
        (commit("x", {"a": 0}, to=["b"]), "without relying"),
        (structs.replace(commit("x", {"a": 0}), at=datetime(2026, 3, 1)), "not UTC"),  # noqa: DTZ001 - the mistake that is meant
        (
            structs.replace(commit("x", {"a": 0}), at=AT.astimezone(timezone(timedelta(hours=1)))),
            "not UTC",
        ),
    ],
)
async def test_batch_that_only_a_bug_can_make_is_refused(
    log: EventLog, wrong: Commit, reason: str
) -> None:
    """A malformed commit refuses its whole batch before anything is stored."""
    with pytest.raises(ValueError, match=reason):
        await log.append([commit("good", {"a": 0}), wrong])
    assert await log.head() == EMPTY


async def test_read_begins_after_a_position(log: EventLog) -> None:
    """A read gives what lies after its position, and nothing when that is the end or beyond."""
    await log.append(chain_of(5))

    assert [4, 5] == [record.position for record in await all_of(log, 3)]
    assert [] == await all_of(log, 5)
    assert [] == await all_of(log, 9)


async def test_read_ends_where_the_log_ended_at_the_call(log: EventLog) -> None:
    """What is stored after a read was asked for is not part of it."""
    await log.append(chain_of(3))
    async with aclosing(log.read()) as records:
        await log.append(chain_of(3, after=3))
        assert [1, 2, 3] == [record.position async for record in records]


async def test_subscription_goes_on_after_the_head(log: EventLog) -> None:
    """A subscriber gets what is stored, and then each batch as it is stored, without a gap."""
    await log.append(chain_of(2))
    seen: list[list[int]] = [[], []]

    async def watch(*, index: int, after: int) -> None:
        async with aclosing(log.subscribe(Position(after))) as records:
            async for record in records:
                seen[index].append(record.position)
                if record.position == 40:
                    break

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(watch, index=0, after=0))
            tasks.start_soon(partial(watch, index=1, after=1))
            for number in range(2, 40):
                await log.append(chain_of(1, after=number))

    assert list(range(1, 41)) == seen[0]
    assert list(range(2, 41)) == seen[1]


async def test_cancelled_caller_does_not_cancel_its_append(log: EventLog) -> None:
    """An append that has begun is finished and whole, whatever becomes of its caller."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(log.append, [commit("x", {"a": 0}, size=50)])
        await checkpoint()
        tasks.cancel_scope.cancel()

    assert (await log.head()).position == 50
    (answer,) = await log.append([commit("y", {"a": 50})])
    assert [51] == places(answer)


async def test_appends_at_once_are_one_after_the_other(log: EventLog) -> None:
    """Concurrent appends get distinct positions and one unbroken chain."""
    answers: list[list[int]] = []

    async def add(number: int) -> None:
        (answer,) = await log.append([commit(f"c{number}", {f"s{number}": 0}, size=3)])
        answers.append(places(answer))

    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(add, number)

    assert [[3 * n + 1, 3 * n + 2, 3 * n + 3] for n in range(30)] == sorted(answers)
    async with aclosing(log.read()) as records:
        assert (await verify(records)).records == 90


def _records(answer: Appended | Conflict) -> tuple[Record, ...]:
    assert isinstance(answer, Appended)
    return answer.records
