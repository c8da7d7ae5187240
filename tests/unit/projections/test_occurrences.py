"""Occurrences and their instants: golden cases with their reasons, and an independent judge."""

import tomllib
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, settings
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import Struct, convert

from events.facts import CacheName, Occurrence, Policy, Window
from projections.occurrences import instant, occurrences
from projections.policy import parsed_windows, unfit
from tests.support.reference import reference_occurrences

DATA = Path(__file__).parents[2] / "data" / "schedule"
DAY = timedelta(days=1)


class Case(Struct, frozen=True):
    """One golden case: the windows of a zone, and what its clock makes of them."""

    name: str
    why: str
    zone: str
    windows: tuple[str, ...]
    days: tuple[date, date]
    expected: str

    @property
    def policy(self) -> Policy:
        """The policy that the case is about."""
        return Policy(auto=True, timezone=self.zone, windows=parsed_windows(self.windows))


class Spread(Struct, frozen=True):
    """One golden instant: where in its window a cache's backup starts."""

    why: str
    cache: CacheName
    window: str
    day: date
    retries: int
    starts: str
    zone: str = "UTC"


CASES = convert(tomllib.loads((DATA / "occurrences.toml").read_text())["case"], list[Case])
SPREADS = convert(tomllib.loads((DATA / "instants.toml").read_text())["instant"], list[Spread])


def table(case: Case) -> list[str]:
    """The occurrences of a case as the file has them."""
    first, last = (datetime.combine(day, datetime.min.time(), UTC) for day in case.days)
    found = occurrences(case.policy, since=first - 3 * DAY, until=last + 4 * DAY)
    return [
        row(one, ZoneInfo(case.zone)) for one in found if first.date() <= one.day <= last.date()
    ]


def row(one: Occurrence, place: ZoneInfo) -> str:
    """One occurrence: its identity, both its ends by the local clock and in UTC, its length."""
    minutes = int((one.closes_at - one.opens_at).total_seconds()) // 60
    ends = " | ".join(_both(at, place) for at in (one.opens_at, one.closes_at))
    return f"{one.day} {one.start} | {ends} | {minutes // 60}h{minutes % 60:02}"


def _both(at: datetime, place: ZoneInfo) -> str:
    local = at.astimezone(place)
    offset = f"{local:%z}"
    return f"{local:%Y-%m-%d %H:%M} {offset[:3]}:{offset[3:]} {at:%Y-%m-%d %H:%M}Z"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden_occurrences(case: Case) -> None:
    """Windows open and close when the file says, for the reason that it gives (A4, A8)."""
    assert not list(unfit(case.policy))
    assert case.expected.strip().splitlines()[1:] == table(case), case.why


@pytest.mark.parametrize("spread", SPREADS, ids=lambda spread: spread.why)
def test_golden_instants(spread: Spread) -> None:
    """A backup starts at the second that the file says, today and after every restart (A5)."""
    windows = parsed_windows([spread.window])
    policy = Policy(auto=True, timezone=spread.zone, windows=windows)
    noon = datetime.combine(spread.day, datetime.min.time(), UTC)
    found = occurrences(policy, since=noon - 2 * DAY, until=noon + 2 * DAY)
    one = next(one for one in found if one.day == spread.day)

    at = instant(spread.cache, one, retries=spread.retries)

    assert spread.starts == f"{at:%Y-%m-%d %H:%M:%S}Z"


ZONES = [
    "Africa/Casablanca",
    "Africa/El_Aaiun",
    "America/Caracas",
    "America/Havana",
    "America/New_York",
    "America/Nuuk",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Antarctica/Casey",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Europe/Istanbul",
    "Europe/Paris",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Pacific/Kwajalein",
    "UTC",
]


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """A policy with one to eight windows that fill the day or leave some of it."""
    starts = sorted(draw(st.sets(st.integers(0, 95), min_size=1, max_size=8)))
    windows = []
    for one, following in zip(starts, [*starts[1:], starts[0] + 96], strict=True):
        room = 15 * (following - one)
        minutes = draw(st.one_of(st.just(room), st.integers(15, room)))
        windows.append(Window(start=f"{one // 4:02}:{one % 4 * 15:02}", minutes=minutes))
    return Policy(auto=True, timezone=draw(st.sampled_from(ZONES)), windows=tuple(windows))


SAMOA = Policy(
    auto=True, timezone="Pacific/Apia", windows=(Window("06:00", 720), Window("18:00", 720))
)


def changes(policy: Policy, around: datetime) -> datetime:
    """The first day after an instant in which the zone's clock is put forward or back, or it."""
    place = ZoneInfo(policy.timezone)
    for number in range(370):
        at = around + number * DAY
        if at.astimezone(place).utcoffset() != (at + DAY).astimezone(place).utcoffset():
            return at
    return around


@for_all(policies(), st.datetimes(datetime(1975, 1, 1), datetime(2045, 1, 1)))  # noqa: DTZ001
@example(SAMOA, datetime(2011, 12, 1))  # noqa: DTZ001
@settings(max_examples=40)
def test_both_reckonings_agree(policy: Policy, when: datetime) -> None:
    """Around any change of any zone the occurrences are those that a walk along its clock finds."""
    at = changes(policy, when.replace(tzinfo=UTC))
    since, until = at - 2 * DAY, at + 3 * DAY

    found = occurrences(policy, since=since, until=until)

    assert reference_occurrences(policy, since=since, until=until) == [
        (one.day, one.start, one.opens_at, one.closes_at) for one in found
    ]


@for_all(policies(), st.datetimes(datetime(1975, 1, 1), datetime(2045, 1, 1)))  # noqa: DTZ001
@settings(max_examples=60)
def test_occurrences_never_overlap(policy: Policy, when: datetime) -> None:
    """One occurrence closes before or when the next opens, and none lasts longer than its window.

    So a cache never has two open occurrences (A4, A8).
    """
    at = changes(policy, when.replace(tzinfo=UTC))
    lengths = {window.start: timedelta(minutes=window.minutes) for window in policy.windows}
    found = list(occurrences(policy, since=at - 2 * DAY, until=at + 3 * DAY))

    for one, following in pairwise(found):
        assert one.opens_at <= one.closes_at <= following.opens_at
    assert all(one.closes_at - one.opens_at <= lengths[one.start] for one in found)
    assert len({one.key for one in found}) == len(found)


@for_all(policies(), st.integers(0, 10), st.text("abc", min_size=1, max_size=3))
@settings(max_examples=60)
def test_instants_lie_in_their_occurrence(policy: Policy, retries: int, name: str) -> None:
    """A start lies in its occurrence, and in its first half if there are retries (A5)."""
    at = changes(policy, datetime(2026, 1, 1, tzinfo=UTC))
    for one in occurrences(policy, since=at - DAY, until=at + 2 * DAY):
        span = one.closes_at - one.opens_at
        start = instant(CacheName(name), one, retries=retries)
        assert one.opens_at <= start <= one.opens_at + span * (0.5 if retries else 0.9)
        assert start < one.closes_at or not span


def test_a_fleet_is_spread() -> None:
    """A thousand caches with equal windows start in every twentieth of the time for it (A5)."""
    opens_at = datetime(2026, 3, 1, 2, tzinfo=UTC)
    one = Occurrence(opens_at.date(), "02:00", opens_at, opens_at + timedelta(hours=2))
    parts = [0] * 20
    for number in range(1000):
        start = instant(CacheName(f"cache-{number}"), one, retries=3)
        parts[int((start - opens_at) / timedelta(minutes=3))] += 1

    assert min(parts) >= 25
    assert max(parts) <= 100


def test_start_does_not_follow_the_day() -> None:
    """The instant differs from day to day, so that no cache is always the last one (A5)."""
    policy = Policy(auto=True, windows=(Window("02:00", 120),))
    since = datetime(2026, 3, 1, tzinfo=UTC)
    offsets = {
        instant(CacheName("orders"), one, retries=3) - one.opens_at
        for one in occurrences(policy, since=since, until=since + 30 * DAY)
    }

    assert len(offsets) > 20


def test_range_is_half_open() -> None:
    """What opens at the range's start is in it, what opens at its end is not."""
    policy = Policy(auto=True, windows=(Window("02:00", 120),))
    since = datetime(2026, 3, 1, 2, tzinfo=UTC)

    found = occurrences(policy, since=since, until=since + DAY)

    assert [since] == [one.opens_at for one in found]


def test_unknown_zone_has_no_occurrences() -> None:
    """A zone that the installed database has lost opens nothing, and breaks nothing."""
    policy = Policy(auto=True, timezone="Mars/Olympus", windows=(Window("02:00", 120),))
    since = datetime(2026, 3, 1, tzinfo=UTC)

    assert [] == list(occurrences(policy, since=since, until=since + DAY))
