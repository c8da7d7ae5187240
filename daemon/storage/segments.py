"""Copies of the log in a vault, as spans of positions: what is missing, what may be merged.

Pure. Which positions are there is derived from the objects' names and kept nowhere else, so
that a kill at any point leaves nothing to repair: what is missing is copied, what is covered
by another may go, and overlaps are allowed.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from daemon.storage.vault import ObjectName
from events.facts import Position

MERGED_BYTES = 256 << 10
"""A merged segment is about as large at most, stored."""
MERGED_RECORDS = 2_000


class Span(Struct, frozen=True, order=True):
    """Positions from `first` to `last`, both of them included."""

    first: Position
    last: Position

    def covers(self, other: "Span") -> bool:
        """Whether all of the other is in this one."""
        return self.first <= other.first and other.last <= self.last


class Segment(Struct, frozen=True):
    """One stored copy of a span of the log."""

    name: ObjectName
    span: Span
    size_bytes: int
    encrypted: bool = False


def missing(spans: Iterable[Span], head: Position) -> tuple[Span, ...]:
    """What no span covers of the positions from 1 to the head, in order."""
    gaps = []
    reached = 0
    for span in sorted(spans):
        if span.first > reached + 1 and reached < head:
            gaps.append(Span(Position(reached + 1), Position(min(span.first - 1, head))))
        reached = max(reached, span.last)
    if reached < head:
        gaps.append(Span(Position(reached + 1), head))
    return tuple(gaps)


def in_order(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """By first position, of those that begin together the longest first."""
    return tuple(sorted(segments, key=lambda one: (one.span.first, -one.span.last, one.name)))


def redundant(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Those whose span another one covers: without them every position is still there.

    Of several with the same span the first by name stays.
    """
    gone = []
    widest: Segment | None = None
    for segment in in_order(segments):
        if widest is not None and widest.span.covers(segment.span):
            gone.append(segment)
        else:
            widest = segment
    return tuple(gone)


def merges(segments: Sequence[Segment]) -> tuple[Span, ...]:
    """Spans to be written as one segment each, of neighbours that are small together."""
    spare = {segment.name for segment in redundant(segments)}
    groups: list[list[Segment]] = []
    for segment in in_order(one for one in segments if one.name not in spare):
        if groups and _fits(groups[-1], segment):
            groups[-1].append(segment)
        else:
            groups.append([segment])
    return tuple(
        Span(group[0].span.first, group[-1].span.last) for group in groups if len(group) > 1
    )


def _fits(group: list[Segment], segment: Segment) -> bool:
    first, last = group[0].span.first, group[-1].span.last
    records = segment.span.last - first + 1
    size_bytes = sum(one.size_bytes for one in group) + segment.size_bytes
    touching = segment.span.first <= last + 1
    return touching and records <= MERGED_RECORDS and size_bytes <= MERGED_BYTES
