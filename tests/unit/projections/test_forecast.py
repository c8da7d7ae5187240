"""The forecast: which backups exist at each day's end, if all goes as it should (A2, A10-A12)."""

from datetime import UTC, date, datetime, timedelta

import pytest

from events.facts import BackupId, Policy
from events.types import CacheSuspended, DeletionRequested, Event, PolicySet
from projections.forecast import ASSUMED, Forecast, simulate
from projections.state import State
from tests.support.given import NOON, At, given
from tests.support.retaining import policy, reading, story
from tests.support.samples import B1, B2, B3, ORDERS, USERS, attempted, registered, requested

DAY = timedelta(days=1)
NIGHTLY = policy(windows="02:00+2h", retention_days=3)


def cache(set_: Policy, *events: Event | At) -> State:
    """A cache that has had its policy for a month, and what happened since."""
    born = NOON - 30 * DAY
    mine = (registered(), registered(USERS), PolicySet(cache=ORDERS, policy=set_))
    return given(*(At(born, event) for event in mine), *events)


def aged(backup_id: BackupId, age: timedelta) -> list[At]:
    """An auto backup of that age."""
    return [At(NOON - age, event) for event in story(backup_id, NOON - age)]


def counts(found: Forecast) -> list[int]:
    """How many backups exist at each day's end."""
    return [
        sum(fate.first <= day and (fate.last is None or day < fate.last) for fate in found.fates)
        for day in range(len(found.days))
    ]


def test_backups_come_and_go_day_by_day() -> None:
    """A2: one a night, kept for three days: the fourth night's takes the first one's place."""
    found = simulate(cache(NIGHTLY), ORDERS, NOON, days=7)

    assert [date(2026, 3, day) for day in range(1, 8)] == [end.day for end in found.days]
    assert [0, 1, 2, 3, 3, 3, 3] == counts(found)
    first = found.fates[0]
    assert ("auto-20260302-0200", True, 1, 4) == (
        first.backup.name,
        first.assumed,
        first.first,
        first.last,
    )
    assert "its snapshot is 3 days old, and it is kept for 3 days" == first.reason


@pytest.mark.parametrize(
    ("zone", "now", "ends"),
    [
        ("Europe/Paris", datetime(2026, 3, 28, 12, tzinfo=UTC), ["28 23:00", "29 22:00"]),
        ("Europe/Paris", datetime(2026, 10, 24, 12, tzinfo=UTC), ["24 22:00", "25 23:00"]),
        ("Asia/Kolkata", datetime(2026, 3, 1, 20, tzinfo=UTC), ["02 18:30", "03 18:30"]),
        ("America/Sao_Paulo", datetime(2018, 11, 3, 12, tzinfo=UTC), ["04 03:00", "05 02:00"]),
        ("Pacific/Apia", datetime(2011, 12, 29, 20, tzinfo=UTC), ["30 10:00", "30 10:00"]),
    ],
)
def test_a_day_ends_at_midnight_in_the_policy_s_zone(
    zone: str, now: datetime, ends: list[str]
) -> None:
    """Days are those of the policy's zone, also where one has 23 or 25 hours, or none."""
    set_ = PolicySet(cache=ORDERS, policy=policy(timezone=zone))
    state = given(At(now - DAY, registered()), At(now - DAY, set_))

    found = simulate(state, ORDERS, now, days=2)

    assert ends == [f"{end.ends_at:%d %H:%M}" for end in found.days]


def test_what_is_over_goes_today() -> None:
    """A2: what has expired, or is being deleted, is not there at the end of the first day."""
    gone = DeletionRequested(cache=ORDERS, backup_id=B2, reason="command")
    state = cache(NIGHTLY, *aged(B1, 9 * DAY), *aged(B2, DAY), *aged(B3, DAY / 2), gone)

    found = simulate(state, ORDERS, NOON, days=1)

    assert {
        B1: (0, "its snapshot is 9 days old, and it is kept for 3 days"),
        B2: (0, "it is being deleted"),
        B3: (None, ""),
    } == {fate.backup.backup_id: (fate.last, fate.reason) for fate in found.fates}


def test_the_newest_goes_when_another_takes_its_place() -> None:
    """A11: one that only keep_last keeps goes on the day of the next backup."""
    found = simulate(cache(NIGHTLY, *aged(B1, 9 * DAY)), ORDERS, NOON, days=3)

    assert (B1, 1) == (found.fates[0].backup.backup_id, found.fates[0].last)


def test_a_reader_is_taken_to_end_today() -> None:
    """A11: what is due to go and is being read is forecast to go on the first day."""
    state = cache(NIGHTLY, *aged(B1, 9 * DAY), *aged(B2, DAY), reading(B1))

    assert 0 == simulate(state, ORDERS, NOON, days=1).fates[0].last


def test_what_is_being_made_is_taken_to_succeed() -> None:
    """A backup that runs or waits now is in the forecast under its own id, as yet to be made."""
    state = cache(NIGHTLY, requested(B1, kind="auto"), attempted(B1), requested(B2, name="by-hand"))

    found = simulate(state, ORDERS, NOON, days=2)

    assert [B1, B2] == [fate.backup.backup_id for fate in found.fates[:2]]
    assert all(fate.assumed and fate.first == 0 for fate in found.fates[:2])


@pytest.mark.parametrize(
    "set_", [Policy(), policy(windows="02:00+2h", auto=False), policy(windows="")]
)
def test_without_a_schedule_nothing_comes(set_: Policy) -> None:
    """A1: with auto off or without windows no backup is forecast, and what exists still goes."""
    found = simulate(cache(set_, *aged(B1, DAY), *aged(B2, 2 * DAY)), ORDERS, NOON, days=9)

    assert [2, 2, 2, 2, 2, 1, 1, 1, 1] == counts(found)


def test_a_suspended_cache_stands_still() -> None:
    """C3: of a suspended cache nothing is made, and nothing goes."""
    off = CacheSuspended(cache=ORDERS, reason="it left the file")
    state = cache(NIGHTLY, *aged(B1, 9 * DAY), *aged(B2, 8 * DAY), off)

    assert [2] * 30 == counts(simulate(state, ORDERS, NOON, days=30))


def test_manual_and_safety_backups_have_their_own_rules() -> None:
    """A11, M2: manual ones stay; safety ones go after seven days where the policy says three."""
    state = cache(NIGHTLY, *story(B1, NOON, kind="manual"), *story(B2, NOON, kind="safety"))

    found = simulate(state, ORDERS, NOON, days=10)

    assert (None, 7) == (found.fates[0].last, found.fates[1].last)


def test_two_years_of_four_windows() -> None:
    """The longest forecast there is holds what 730 days of four windows make."""
    set_ = policy(windows="02:00+1h 08:00+1h 14:00+1h 20:00+1h", retention_days=30, retries=0)
    found = simulate(cache(set_), ORDERS, NOON, days=730)

    assert 4 * 729 + 2 == len(found.fates)
    assert {120} == set(counts(found)[31:])
    assert all(fate.backup.backup_id.startswith(ASSUMED) for fate in found.fates)
