"""A forecast of usage is what comes out, if all comes as it was assumed (S3)."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from events.facts import CacheName
from events.types import CacheReconfigured, CacheSuspended, PolicySet
from projections import usage_forecast
from projections.state import State
from projections.usage_forecast import Expected, expected
from projections.usage_month import byte_hours
from tests.support.given import At, given
from tests.support.retaining import policy
from tests.support.samples import ORDERS, SECOND, SETTINGS
from tests.support.using import SIZES, folded

GB = SIZES["GB"]
NOW = datetime(2026, 3, 11, tzinfo=UTC)
"""21 days before the end of a month of 31: 504 hours of 744."""
REST = 504


def on(state: State, **settings: int | bool | str) -> State:
    """The same with a policy, whose windows opened since yesterday are over."""
    event = PolicySet(cache=ORDERS, policy=policy(**settings))
    return given(At(NOW, event), state=state)


def hours(found: Expected) -> dict[tuple[str, str], float]:
    """GB-hours of each line."""
    return {
        (line.kind, line.vault): float(byte_hours(line.byte_micros) / GB) for line in found.lines
    }


def stored(found: Expected) -> dict[tuple[str, str], int]:
    """What will lie there at the end, in GB."""
    return {(line.kind, line.vault): line.stored_bytes // GB for line in found.lines}


def test_without_a_schedule_what_is_there_stays() -> None:
    """Auto off: a manual backup is counted to the end of the month, and nothing comes."""
    found = expected(folded("2026-03-10T00:00 store m manual 1GB"), NOW)

    assert {("manual", "main"): 24 + REST} == hours(found)
    assert (0, 0, 0) == (found.coming, found.leaving, found.unsized)


def test_retention_goes_on_though_auto_is_off() -> None:
    """An auto backup goes when its age is over, to the minute; keep_last 0 lets the last one go."""
    state = on(folded("2026-03-01T00:00 store a auto 1GB"), auto=False, keep_last=0)
    taken = state.catalog[ORDERS]
    (backup,) = taken.values()
    assert backup.snapshot is not None
    gone = backup.snapshot.taken_at + timedelta(days=7)
    found = expected(state, NOW)

    assert gone < NOW, "the sample's snapshot is of the first of March"
    assert {("auto", "main"): 240.0} == hours(found)
    assert 1 == found.leaving


def test_the_schedule_makes_what_the_policy_says() -> None:
    """One a day from now on, each as large as the median of the last good ones, kept for a week."""
    state = on(
        folded(
            "2026-03-09T00:00 store a auto 1GB",
            "2026-03-10T00:00 store b auto 3GB",
            "2026-03-10T12:00 store c auto 2GB",
        ),
        windows="12:00+1h",
        keep_last=0,
        retention_days=7,
        retries=0,
    )
    found = expected(state, NOW)

    assert 21 == found.coming
    assert {("auto", "main"): 7 * 2} == stored(found)
    assert 0 == found.unsized


def test_copies_come_with_their_backups() -> None:
    """Where the cache has a second vault, each backup to come lies there too."""
    settings = replace(SETTINGS, copy_to=SECOND)
    state = given(
        At(NOW, CacheReconfigured(cache=ORDERS, settings=settings)),
        state=folded("2026-03-10T00:00 store a auto 1GB"),
    )
    found = expected(on(state, windows="12:00+1h", keep_last=0, retries=0), NOW)
    ends = stored(found)

    assert {("auto", "main"), ("copy", "second")} == ends.keys()
    assert ends["auto", "main"] == ends["copy", "second"] == 7


def test_what_nobody_can_size_is_left_out_and_told() -> None:
    """A cache without any backup yet adds nothing, and is counted apart."""
    found = expected(on(folded(), windows="12:00+1h"), NOW)

    assert ((), 0, 21) == (found.lines, found.coming, found.unsized)


def test_a_suspended_cache_stands_still() -> None:
    """C3: nothing is made and nothing goes."""
    state = on(folded("2026-03-01T00:00 store a auto 1GB"), windows="12:00+1h", keep_last=0)
    gone = CacheSuspended(cache=ORDERS, reason="it is no longer declared")
    found = expected(given(At(NOW, gone), state=state), NOW)

    assert {("auto", "main"): 240.0 + REST} == hours(found)
    assert (0, 0) == (found.coming, found.leaving)


def test_what_is_being_deleted_is_gone_at_once() -> None:
    """Also of a cache that was removed; its manual backup stays (M2)."""
    state = folded(
        "2026-03-01T00:00 store a auto 1GB",
        "2026-03-01T00:00 store m manual 1GB",
        "2026-03-11T00:00 ask a",
        "2026-03-11T00:00 remove orders",
    )
    found = expected(state, NOW)

    assert {("auto", "main"): 240.0, ("manual", "main"): 240.0 + REST} == hours(found)


def test_prices_and_least_days_hold_ahead() -> None:
    """The rest of the month has today's price, and what goes too soon is charged for the rest."""
    state = folded(
        "2026-03-01T00:00 price EUR main=0.744/30",
        "2026-03-10T00:00 store a auto 1GB",
        "2026-03-11T00:00 ask a",
    )
    (line,) = expected(state, NOW).lines

    assert 24 == byte_hours(line.byte_micros) / GB
    assert 29 * 24 == byte_hours(line.early) / GB
    assert line.cost is not None
    assert 0.72 == pytest.approx(float(line.cost))


def test_a_large_fleet_is_not_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many caches what is there is taken to stay, and the answer says so."""
    monkeypatch.setattr(usage_forecast, "MOST_SIMULATED", 0)
    state = on(folded("2026-03-10T00:00 store a auto 1GB"), windows="12:00+1h")
    found = expected(state, NOW)

    assert not found.simulated
    assert {("auto", "main"): 24 + REST} == hours(found)


def test_one_cache_can_be_asked_alone() -> None:
    """The lines of another cache are not among the answer."""
    state = folded("2026-03-10T00:00 store a auto 1GB", "2026-03-10T00:00 store b auto 1GB users")
    found = expected(state, NOW, CacheName("users"))

    assert ["users"] == [line.cache for line in found.lines]
