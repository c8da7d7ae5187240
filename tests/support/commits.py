"""Commits with nothing in them but what a test of the log wants to say."""

from collections.abc import Iterable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime

from events.envelope import Commit, Entry, Record, Who
from events.facts import START, CommitId, Position, Stream
from events.log import Appended, Conflict, ReadableLog

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
WHO = Who(kind="user", uid=1000, user="anna", pid=42)


def commit(
    commit_id: str, relied: Mapping[str, int], *, to: Iterable[str] | None = None, size: int = 1
) -> Commit:
    """A commit with `size` entries on each stream of `to`, which is all that it relies on."""
    streams = relied if to is None else to
    entries = tuple(
        Entry(Stream(stream), f'{{"type":"{commit_id}/1","number":{number}}}'.encode())
        for number in range(size)
        for stream in streams
    )
    places = {Stream(stream): Position(position) for stream, position in relied.items()}
    return Commit(CommitId(commit_id), AT, WHO, places, entries)


def chain_of(count: int, *, after: int = 0) -> list[Commit]:
    """Commits of one entry on stream `a`, each on the one before, in a log of nothing else."""
    return [commit(f"a-{number + 1}", {"a": number}) for number in range(after, after + count)]


async def all_of(log: ReadableLog, after: int = START) -> list[Record]:
    """Everything that a log holds."""
    async with aclosing(log.read(Position(after))) as records:
        return [record async for record in records]


def places(answer: Appended | Conflict) -> list[int]:
    """The positions that a commit got; fails the test if it was not stored."""
    assert isinstance(answer, Appended), answer
    return [record.position for record in answer.records]
