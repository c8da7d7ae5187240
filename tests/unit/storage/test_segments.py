"""Which copies of the log are missing, may be merged, may go: no position is ever uncovered."""

from hypothesis import given
from hypothesis import strategies as st

from daemon.storage import names
from daemon.storage.segments import (
    MERGED_BYTES,
    MERGED_RECORDS,
    Segment,
    Span,
    in_order,
    merges,
    missing,
    redundant,
)
from daemon.storage.vault import ObjectName
from events.facts import Position

SMALL = 1_000


def span(ends: tuple[int, int]) -> Span:
    """Positions from the first to the last."""
    return Span(Position(ends[0]), Position(ends[1]))


def segment(ends: tuple[int, int], size_bytes: int = SMALL) -> Segment:
    """A stored copy of these positions."""
    covered = span(ends)
    name = names.log_object(first=covered.first, last=covered.last)
    return Segment(name, covered, size_bytes)


def covered(segments: list[Segment]) -> set[int]:
    """Every position that is in one of them."""
    return {at for one in segments for at in range(one.span.first, one.span.last + 1)}


def test_names_sort_by_position_and_tell_their_span() -> None:
    """A copy's name is its span, padded so that names sort as positions do."""
    made = [names.log_object(first=Position(n), last=Position(n + 8)) for n in (2, 11, 100)]

    assert made == sorted(made)
    assert (2, 10, False) == names.log_span_of(made[0])
    assert "log/000000000002-000000000010.ndjson.zst" == made[0]
    sealed = names.log_object(first=Position(1), last=Position(1), encrypted=True)
    assert (1, 1, True) == names.log_span_of(sealed)


def test_other_objects_are_no_copies() -> None:
    """What was set aside, or is named in another way, is nobody's copy of the log."""
    name = names.log_object(first=Position(1), last=Position(5))
    for other in (
        names.log_object_aside(name, "20260301T120000Z-000000b1"),
        "log/000000000005-000000000001.ndjson.zst",
        "log/000000000000-000000000001.ndjson.zst",
        "log/1-5.ndjson.zst",
        "caches/x",
    ):
        assert names.log_span_of(ObjectName(other)) is None


def test_gaps_are_found() -> None:
    """What no copy has is missing: before, between and after them, up to the head."""
    spans = [span((3, 5)), span((4, 8)), span((12, 12))]

    assert (span((1, 2)), span((9, 11)), span((13, 20))) == missing(spans, Position(20))
    assert (span((1, 2)),) == missing(spans, Position(7))
    assert () == missing([span((1, 9))], Position(9))
    assert () == missing([], Position(0))


def test_neighbours_are_merged_and_large_ones_left() -> None:
    """Small copies that touch become one; a hole or a large copy ends a group."""
    copies = [segment((1, 4)), segment((5, 6)), segment((9, 10)), segment((11, 12), MERGED_BYTES)]

    assert (span((1, 6)),) == merges(copies)
    assert () == merges([segment((1, 1)), segment((2, MERGED_RECORDS + 1))])


def test_what_a_wider_copy_covers_may_go() -> None:
    """Only a copy of which another one has all positions is redundant; of twins one stays."""
    wide, inner, beyond = segment((1, 6)), segment((2, 4)), segment((5, 8))
    twin = Segment(ObjectName(f"{wide.name}.age"), wide.span, SMALL, encrypted=True)

    assert {inner.name, twin.name} == {one.name for one in redundant([wide, inner, beyond, twin])}
    assert (wide, twin, inner, beyond) == in_order([beyond, inner, twin, wide])


Step = st.tuples(st.sampled_from(("append", "copy", "merge", "sweep")), st.integers(1, 9))


@given(st.lists(Step, max_size=60))
def test_no_kill_and_no_merge_uncovers_a_position(steps: list[tuple[str, int]]) -> None:
    """Copies, merges and deletions that are cut off anywhere leave every copied position there."""
    head, stored = 0, dict[ObjectName, Segment]()
    ever: set[int] = set()
    for kind, number in steps:
        there = list(stored.values())
        if kind == "append":
            head += number
        elif kind == "copy":  # killed after the first few of them
            for gap in missing((one.span for one in there), Position(head))[:number]:
                end = min(gap.last, gap.first + number)
                stored |= {one.name: one for one in (segment((gap.first, end), number * 900),)}
        elif kind == "merge":
            for made in merges(there)[:number]:
                stored |= {one.name: one for one in (segment((made.first, made.last), 900),)}
        else:
            for gone in redundant(there)[:number]:
                del stored[gone.name]
        ever |= covered(there)
        assert ever <= covered(list(stored.values()))
    spans = [one.span for one in stored.values()]
    rest = {at for gap in missing(spans, Position(head)) for at in range(gap.first, gap.last + 1)}
    assert set(range(1, head + 1)) - covered(list(stored.values())) == rest
