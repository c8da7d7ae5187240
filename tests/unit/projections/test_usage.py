"""Usage is counted exactly, by the log alone, and the same for ever (S3)."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from msgspec import Struct

from projections.state import State
from projections.usage import month_of, month_start, month_text, places
from projections.usage_month import KINDS, Line, byte_hours, gb_months, lines, rounded
from tests.support.using import SIZES, Case, cases, folded, size

GB = SIZES["GB"]
LATER = datetime(2040, 1, 1, tzinfo=UTC)
Told = tuple[str, str, str, int, Fraction, Fraction | None]


def asked(state: State, month: str, until: datetime = LATER) -> list[Line]:
    """All lines of a month."""
    year, number = month.split("-")
    return list(lines(state.usage, int(year) * 12 + int(number) - 1, until))


def told(line: Line) -> Told:
    """What a case says of a line."""
    paid = None if line.cost is None else Fraction(rounded(line.cost))
    hours = byte_hours(line.byte_micros) / GB
    return (line.cache, line.kind, line.vault, line.stored_bytes, hours, paid)


@pytest.mark.parametrize("case", tuple(cases()), ids=lambda case: case.title)
def test_golden_case(case: Case) -> None:
    """What a history comes to, for the reason that stands beside it."""
    state = folded(*case.events)
    for month, wanted in case.months.items():
        expected: list[Told] = [
            (
                one.cache,
                one.kind,
                one.vault,
                size(one.stored),
                Fraction(one.gb_hours),
                None if one.cost is None else Fraction(one.cost),
            )
            for one in wanted
        ]
        found = [told(line) for line in asked(state, month, case.until)]
        assert expected == found, f"{month}: {case.why}"


def test_the_example_of_amazon_to_the_last_byte() -> None:
    """The figures of the S3 FAQ come out: byte-hours, and 52,900 GB-months of them."""
    state = folded(*next(case for case in cases() if case.title == "Amazon's own example").events)
    (line,) = asked(state, "2026-03")

    assert 42_259_901_212_262_400 == byte_hours(line.byte_micros)
    assert 52_900 == gb_months(line.byte_micros, month=line.month)


def test_months_have_names_and_borders() -> None:
    """A month is numbered, begins at its first instant in UTC, and is written YYYY-MM."""
    december = month_of(datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC))

    assert "2025-12" == month_text(december)
    assert datetime(2026, 1, 1, tzinfo=UTC) == month_start(december + 1)


def test_what_lies_there_is_what_the_catalog_says() -> None:
    """Copies, clearing and recovery leave the same bytes in the usage as in the catalog."""
    state = folded(
        "2026-03-01T00:00 store a manual 1GB",
        "2026-03-01T00:00 copy a second",
        "2026-03-02T00:00 clear a",
        "2026-03-02T00:00 recover b auto 2GB 2026-02-01T00:00",
    )
    found = {(line.kind, line.vault): line.stored_bytes for line in asked(state, "2026-03")}
    there = {
        (place.kind, place.vault): place.stored_bytes
        for backup in state.catalog["orders"].values()  # type: ignore[index]
        for place in places(backup)
    }

    assert {("copy", "second"): GB, ("auto", "main"): 2 * GB} == there
    assert there == {key: stored for key, stored in found.items() if stored}


A_STEP = timedelta(hours=1)
BEGAN = datetime(2026, 1, 30, tzinfo=UTC)
STEPS = 40 * 24
PRICES = ("0.023", "0.0125", "1", "0")


class Stay(Struct, frozen=True):
    """Bytes in a vault, from one step to another; copied to a second vault for the rest of it."""

    since: int
    until: int
    kind: str
    stored: int
    copied: int | None


class World(Struct, frozen=True):
    """Some stays, and prices of the first vault from some steps on."""

    stays: tuple[Stay, ...]
    prices: tuple[tuple[int, str], ...]

    def history(self) -> list[str]:
        """All of it in the words of histories, in the order of time."""
        told: list[tuple[int, int, str]] = []
        for number, stay in enumerate(self.stays):
            name = f"b{number}"
            told.append((stay.since, 1, f"store {name} {stay.kind} {stay.stored}B"))
            if stay.copied is not None:
                told.append((stay.copied, 2, f"copy {name} second"))
            told.append((stay.until, 3, f"delete {name}"))
        told += [(step, 0, f"price EUR main={price}") for step, price in self.prices]
        ordered = sorted(told, key=lambda one: one[:2])
        return [f"{at(step):%Y-%m-%dT%H:%M} {what}" for step, _, what in ordered]


def at(step: int) -> datetime:
    """The instant of a step."""
    return BEGAN + step * A_STEP


def _stay(kind: str, *, since: int, length: int, stored: int, copied: int | None) -> Stay:
    until = min(STEPS, since + length)
    late = None if copied is None else since + copied % (until - since + 1)
    return Stay(since, until, kind, stored, late)


stays = st.builds(
    _stay,
    st.sampled_from(("auto", "manual", "safety")),
    since=st.integers(0, STEPS - 1),
    length=st.integers(0, STEPS),
    stored=st.integers(0, 10**12),
    copied=st.none() | st.integers(0, STEPS),
)
worlds = st.builds(
    World,
    st.lists(stays, max_size=6).map(tuple),
    st.lists(st.tuples(st.integers(0, STEPS - 1), st.sampled_from(PRICES)), max_size=3)
    .map(lambda found: sorted(dict(found).items()))
    .map(tuple),
)


@drawn(worlds)
@settings(deadline=None, max_examples=30)
def test_it_is_what_counting_every_hour_gives(world: World) -> None:
    """Bytes, byte-hours and money are those of whoever looks at the vaults every hour."""
    state = folded(*world.history())
    for month in ("2026-01", "2026-02", "2026-03"):
        lines_of = asked(state, month, at(STEPS))
        found: dict[tuple[str, str], Line] = {(one.kind, one.vault): one for one in lines_of}
        reckoned = dict(_brute(world, month))
        assert {key for key, (used, _) in reckoned.items() if used} <= found.keys()
        for key, (used, paid) in reckoned.items():
            line = found.get(key)
            assert used == (byte_hours(line.byte_micros) if line else 0)
            assert paid == ((line.cost or 0) if line else 0)


def _brute(world: World, month: str) -> Iterator[tuple[tuple[str, str], tuple[Fraction, Fraction]]]:
    """Byte-hours and money of each line, added up step by step."""
    first = datetime.fromisoformat(f"{month}-01T00:00:00+00:00")
    hours = ((first + timedelta(days=32)).replace(day=1) - first) // A_STEP
    used: Counter[tuple[str, str]] = Counter()
    for step in range(STEPS):
        if f"{at(step):%Y-%m}" == month:
            price = next((price for since, price in reversed(world.prices) if since <= step), "0")
            for kind in KINDS:
                used[kind, price] += sum(s.stored for s in world.stays if _there(s, kind, step))
    for kind in KINDS:
        mine = {price: bytes_ for (of, price), bytes_ in used.items() if of == kind}
        paid = sum(n * Fraction(price) / (hours * GB) for price, n in mine.items())
        copied = kind == "copy"
        there = (kind, "second" if copied else "main")
        yield there, (Fraction(sum(mine.values())), Fraction(0 if copied else paid))


def _there(stay: Stay, kind: str, step: int) -> bool:
    if kind == "copy":
        return stay.copied is not None and stay.copied <= step < stay.until
    return stay.kind == kind and stay.since <= step < stay.until


@drawn(worlds)
@settings(deadline=None, max_examples=25)
def test_a_month_that_is_over_never_changes(world: World) -> None:
    """Whatever is stored, deleted or priced later, and whoever removes the cache."""
    history = world.history()
    over = [line for line in history if line < "2026-02-01"]
    before = folded(*over)
    after = folded(*history[len(over) :], "2026-04-01T00:00 remove orders", state=before)

    assert asked(before, "2026-01") == asked(after, "2026-01")
