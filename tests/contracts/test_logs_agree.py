"""Both logs, and a third opinion, on random batches: whoever differs is wrong (L2)."""

import os
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from events.envelope import Commit
from events.log import Appended, Conflict
from events.memory import InMemoryLog
from events.sqlite import open_log
from tests.support.commits import all_of, commit

pytestmark = pytest.mark.anyio

STREAMS = ("a", "b", "c")
Outcome = tuple[str, int, int] | tuple[bool, tuple[int, ...]]


class Wish(Struct, frozen=True):
    """A commit as drawn: where it writes, what else it reads, how wrong it is about each."""

    commit_id: int
    writes: frozenset[str]
    reads: frozenset[str]
    size: int
    errors: dict[str, int]


class Opinion:
    """What the contract says, in the plainest words: one commit after the other."""

    def __init__(self) -> None:
        self.last = 0
        self.streams: dict[str, int] = {}
        self.stored: dict[str, tuple[int, ...]] = {}
        self.failed: set[str] = set()

    def decide(self, wish: Wish) -> tuple[Commit, Outcome]:
        """The commit that a wish becomes here and now, and what must become of it."""
        relied = {
            stream: max(0, self.streams.get(stream, 0) + wish.errors.get(stream, 0))
            for stream in sorted(wish.writes | wish.reads)
        }
        made = commit(f"c{wish.commit_id}", relied, to=sorted(wish.writes), size=wish.size)
        return made, self._outcome(made, relied)

    def _outcome(self, made: Commit, relied: dict[str, int]) -> Outcome:
        if made.commit_id in self.stored:
            return True, self.stored[made.commit_id]
        for stream, expected in relied.items():
            actual = self.streams.get(stream, 0)
            if expected != actual or stream in self.failed:
                self.failed.update(entry.stream for entry in made.entries)
                return stream, expected, actual
        first = self.last + 1
        for entry in made.entries:
            self.last += 1
            self.streams[entry.stream] = self.last
        self.stored[made.commit_id] = tuple(range(first, self.last + 1))
        return False, self.stored[made.commit_id]


wishes = st.builds(
    Wish,
    commit_id=st.integers(0, 12),
    writes=st.frozensets(st.sampled_from(STREAMS), min_size=1),
    reads=st.frozensets(st.sampled_from(STREAMS)),
    size=st.integers(1, 3),
    errors=st.dictionaries(st.sampled_from(STREAMS), st.sampled_from([0, 0, 0, -1, 1])),
)


def outcomes(answers: Sequence[Appended | Conflict]) -> list[Outcome]:
    """Answers in the form of an opinion."""
    found: list[Outcome] = []
    for answer in answers:
        if isinstance(answer, Conflict):
            found.append((answer.stream, answer.expected, answer.actual))
        else:
            positions = tuple(int(record.position) for record in answer.records)
            found.append((answer.repeated, positions))
    return found


@settings(max_examples=40)
@given(batches=st.lists(st.lists(wishes, min_size=1, max_size=6), min_size=1, max_size=6))
async def test_logs_agree_on_random_batches(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Wish]]
) -> None:
    """Whatever is appended, each log answers and holds what the contract says."""
    opinion, memory = Opinion(), InMemoryLog()
    path = tmp_path_factory.mktemp("agree") / "events.sqlite"
    async with open_log(path, pid=os.getpid()) as disk:
        for batch in batches:
            opinion.failed = set()
            commits, expected = zip(*map(opinion.decide, batch), strict=True)
            assert list(expected) == outcomes(await memory.append(commits))
            assert list(expected) == outcomes(await disk.append(commits))
        held = await all_of(disk)

    assert held == await all_of(memory)
    assert opinion.last == len(held)
    async with open_log(path, pid=os.getpid()) as again:
        assert held == await all_of(again)
