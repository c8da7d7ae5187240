"""The rules of a policy: ranges, windows on the 24-hour circle, time zones (A2, A3, A4, A11)."""

from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from events.facts import Policy, Window
from projections.policy import (
    DAY_MINUTES,
    MOST_WINDOWS,
    RANGES,
    Unfit,
    parse_window,
    parsed_windows,
    unfit,
    window_text,
    windows_unfit,
    zone,
    zone_unfit,
)

STARTS = st.integers(0, DAY_MINUTES - 1).map(lambda at: f"{at // 60:02}:{at % 60:02}")
WINDOWS = st.builds(Window, start=STARTS, minutes=st.integers(15, DAY_MINUTES))


@pytest.mark.parametrize(
    ("setting", "low", "high"), [("retention_days", 1, 730), ("retries", 0, 10)]
)
def test_a_number_is_judged_by_its_range(setting: str, low: int, high: int) -> None:
    """A2, A3: both ends of a range are allowed; beyond them the range is named."""
    assert () == tuple(unfit(replace(Policy(), **{setting: low})))
    assert () == tuple(unfit(replace(Policy(), **{setting: high})))
    for value in (low - 1, high + 1, -1, 10**30):
        (told,) = unfit(replace(Policy(), **{setting: value}))
        assert Unfit(setting, f"{setting} is {value}", f"{low} to {high}") == told


def test_keep_last_may_be_nothing() -> None:
    """A11: 0 gives the plain rule, and a negative number is nothing at all."""
    assert () == tuple(unfit(Policy(keep_last=0)))
    assert [("keep_last", "0 to 730")] == [
        (told.setting, told.allowed) for told in unfit(Policy(keep_last=-1))
    ]
    assert {"retention_days", "retries", "keep_last", "suspect_drop_percent"} == RANGES.keys()


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("02:00+2h", 120), ("14:30+90m", 90), ("01:00+1h30m", 90), ("23:59+24h", 1440)],
)
def test_a_window_is_a_start_and_a_length(text: str, minutes: int) -> None:
    """A4: hours, minutes, or both."""
    assert Window(text[:5], minutes) == parse_window(text)
    assert () == tuple(windows_unfit([text]))


@given(WINDOWS)
def test_a_window_is_read_as_it_is_written(window: Window) -> None:
    """Every window that fits is the same after it was written and read."""
    assert window == parse_window(window_text(window))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2:00+2h", "02:00+2h"),
        ("02:00 + 2 hours", "02:00+2h"),
        ("02:00+90min", "02:00+90m"),
        ("02:00-04:00", "02:00+2h"),
        ("23:00-01:30", "23:00+150m"),
        ("2-4", "02:00+2h"),
        ("02:00+2H", "02:00+2h"),
        ("02:00", ""),
        ("02:00+", ""),
        ("02:00+2", ""),
        ("24:00+1h", ""),
        ("02:60+1h", ""),
        ("tomorrow", ""),
        ("٠٢:00+2h", ""),
        ("02:00+2h\n", "02:00+2h"),
        ("", ""),
        ("x" * 60_000, ""),
    ],
)
def test_what_is_no_window_is_answered_with_the_form(text: str, meant: str) -> None:
    """A4: the form is named, and what was perhaps meant; never a page of what was typed."""
    (told,) = windows_unfit([text])

    assert "HH:MM+LENGTH" in told.allowed
    assert meant == told.meant
    assert len(told.wrong) < 120


@pytest.mark.parametrize("text", ["02:00+14m", "02:00+0h", "02:00+1441m", "02:00+24h1m"])
def test_a_window_lasts_a_quarter_of_an_hour_to_a_day(text: str) -> None:
    """A4: a length outside of that is named with what is allowed."""
    (told,) = windows_unfit([text])

    assert "lasts" in told.wrong
    assert "15 minutes to 24 hours" == told.allowed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("02:00+2h", "03:00+2h"),
        ("02:00+2h", "02:00+15m"),
        ("01:00+1h", "23:00+3h"),
        ("00:00+24h", "12:00+1h"),
        ("12:00+24h", "11:00+30m"),
    ],
)
def test_an_overlap_names_both_windows(one: str, other: str) -> None:
    """A4: windows that overlap are refused by name, also across midnight."""
    (told,) = windows_unfit([other, one])

    assert {one, other} == set(told.wrong.split()) & {one, other}
    assert "overlap" in told.wrong


@pytest.mark.parametrize(
    "texts", [["02:00+2h", "04:00+2h"], ["23:00+2h", "01:00+22h"], ["00:00+24h"]]
)
def test_windows_may_touch(texts: list[str]) -> None:
    """A4: one may begin where another ends, also at midnight, and one may last a day."""
    assert () == tuple(windows_unfit(texts))


@given(st.lists(WINDOWS, max_size=5))
@example([Window("23:00", 120), Window("01:00", 1320)])
@example([Window("00:00", 1440), Window("00:00", 1440)])
def test_overlaps_are_those_of_the_minutes_of_a_day(windows: list[Window]) -> None:
    """A4: exactly those pairs overlap that have a minute of the 24-hour circle in common."""
    common = [one for one in combinations(windows, 2) if _minutes(one[0]) & _minutes(one[1])]

    found = list(windows_unfit([window_text(window) for window in windows]))

    assert len(common) == len(found)


def _minutes(window: Window) -> set[int]:
    hour, minute = (int(part) for part in window.start.split(":"))
    first = hour * 60 + minute
    return {at % DAY_MINUTES for at in range(first, first + window.minutes)}


def test_more_windows_than_a_day_holds_are_only_counted() -> None:
    """A command full of windows is answered with their number, not with every pair."""
    most = [f"{at // 4:02}:{at % 4 * 15:02}+15m" for at in range(MOST_WINDOWS)]

    assert () == tuple(windows_unfit(most))
    (told,) = windows_unfit([*most, *most])
    assert "there are 192 windows" == told.wrong


def test_windows_are_kept_in_the_order_of_their_starts() -> None:
    """The same windows in another order are the same policy."""
    assert parsed_windows(["14:30+90m", "02:00+2h"]) == parsed_windows(["02:00+2h", "14:30+90m"])


@pytest.mark.parametrize("name", ["UTC", "Europe/Paris", "America/Argentina/Ushuaia", "Etc/GMT-14"])
def test_a_zone_is_one_of_the_iana_database(name: str) -> None:
    """A4: any zone of the database is allowed."""
    assert zone(name) is not None
    assert () == tuple(zone_unfit(name))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Europe/Pariss", "Europe/Paris"),
        ("europe/paris", "Europe/Paris"),
        ("paris", "Europe/Paris"),
        ("New York", "America/New_York"),
        ("utc", "UTC"),
        ("UTC+2", "Etc/GMT-2 (its sign is the other way round)"),
        ("localtime", ""),
        ("Factory", ""),
        ("right/Europe/Paris", "Europe/Paris"),
        ("posixrules", ""),
        ("../../etc/passwd", ""),
        ("/etc/localtime", ""),
        ("Europe/Paris\0", "Europe/Paris"),
        ("", ""),
        ("Z" * 60_000, ""),
    ],
)
def test_what_is_no_zone_is_answered_with_the_nearest_one(name: str, meant: str) -> None:
    """A4: a slip is answered with what was meant; the host's own zone is no name for anybody."""
    (told,) = zone_unfit(name)

    assert meant == told.meant
    assert "IANA" in told.allowed
    assert len(told.wrong) < 120


def test_all_that_is_wrong_is_told_at_once() -> None:
    """One look at a policy finds everything in it."""
    windows = (Window("02:00", 120), Window("03:00", 60))
    policy = Policy(retention_days=0, retries=11, keep_last=-1, timezone="X", windows=windows)

    assert ["retention_days", "retries", "keep_last", "timezone", "windows"] == [
        told.setting for told in unfit(policy)
    ]
