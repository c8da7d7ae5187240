"""Facts of what differs between two sets of data: counts only, never a key's name."""

from datetime import datetime
from typing import Literal, NewType

from msgspec import field

from events.fact import Fact

ComparisonId = NewType("ComparisonId", str)
"""The comparison's id."""
Difference = Literal["added", "removed", "expired", "changed", "ttl"]
"""``expired`` is gone because its TTL ended in between, ``removed`` for any other reason; ``ttl``
has another TTL, or has one no more, and the same value."""


class KeyCounts(Fact, frozen=True):
    """How many keys are the ``same`` on both sides, and how many differ, and how.

    ``added`` are only on the second, ``removed`` only on the first, ``expired`` too, because their
    TTL ended in between. ``changed`` have another value, ``ttl`` only another TTL, or one no more.
    """

    same: int = 0
    added: int = 0
    removed: int = 0
    expired: int = 0
    changed: int = 0
    ttl: int = 0


class ComparisonWish(Fact, frozen=True):
    """Which keys to compare, and how many names of each kind of difference are wanted.

    ``patterns`` are globs as in ``KEYS``, any of which may fit (none: all keys); ``database`` is
    the only one to look at, or None. ``names`` is None where none are wanted, 0 for all.
    """

    patterns: tuple[str, ...] = ()
    database: int | None = None
    names: int | None = None


class ComparisonResult(Fact, frozen=True):
    """What a comparison has found; from the first side to the second.

    ``types`` counts only what differs, by the type that a key had first, or got. ``first_at`` and
    ``second_at`` are the instants at which the two sides are compared, each by its server's clock:
    a key whose TTL had ended by then was not there. ``names`` are so many as were kept to be
    asked for. ``notes`` tell what could not be compared. ``engine`` loaded both sides, which took
    ``load_seconds`` of the ``seconds`` in all. ``functions_differ`` is of libraries of functions.
    """

    counts: KeyCounts
    first_at: datetime
    second_at: datetime
    engine: str
    load_seconds: float
    seconds: float
    databases: dict[int, KeyCounts] = field(default_factory=dict)
    types: dict[str, KeyCounts] = field(default_factory=dict)
    functions_differ: bool = False
    names: int = 0
    notes: tuple[str, ...] = ()
