"""What a forecast tells is what the daemon's own decisions lead to, day after day (A2, A11)."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from daemon.commands import (
    AdvanceSchedule,
    ExpireBackups,
    ReportSnapshot,
    ReportStored,
    StartAttempt,
)
from events.facts import BackupKind, Policy
from events.types import BackupRequested, DeletionRequested, PolicySet
from projections.forecast import Forecast, simulate
from projections.retention import next_expiry
from projections.schedule import agenda
from projections.state import State
from tests.support.given import NOON, At, an_id, given, when
from tests.support.retaining import policy, story
from tests.support.samples import ORDERS, SNAPSHOT, STORED, registered

DAYS = 9
ZONES = ("UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")
WINDOWS = (
    "",
    "02:00+2h",
    "23:00+2h 03:00+15m",
    "00:00+24h",
    "02:00+30m 02:30+1h",
    "02:15+30m 03:00+1h 14:30+90m 20:00+4h",
)
SEASONS = (NOON, NOON + timedelta(days=5), NOON + timedelta(days=25), NOON + timedelta(days=240))
"""Some of them just before the clock changes in one of the zones."""


class Old(Struct, frozen=True):
    """A backup that is there when the forecast is made."""

    age: timedelta
    kind: BackupKind


class World(Struct, frozen=True):
    """A cache at an instant."""

    now: datetime
    policy: Policy
    old: tuple[Old, ...]

    def state(self) -> State:
        """All of it folded."""
        born = self.now - timedelta(days=60)
        events = [At(born, registered()), At(self.now, PolicySet(cache=ORDERS, policy=self.policy))]
        for number, one in enumerate(self.old, 1):
            at = self.now - one.age
            events += [At(at, event) for event in story(an_id(number), at, kind=one.kind)]
        return given(*events)


worlds = st.builds(
    World,
    now=st.builds(
        lambda season, minutes: season + timedelta(minutes=minutes),
        st.sampled_from(SEASONS),
        st.integers(0, 3 * 1440),
    ),
    policy=st.builds(
        lambda days, keep, zone, windows, retries, auto: policy(
            retention_days=days,
            keep_last=keep,
            timezone=zone,
            windows=windows,
            retries=retries,
            auto=auto,
        ),
        st.sampled_from([1, 2, 3, 8]),
        st.sampled_from([0, 1, 2, 7]),
        st.sampled_from(ZONES),
        st.sampled_from(WINDOWS),
        st.sampled_from([0, 3]),
        st.sampled_from([True, True, True, False]),
    ),
    old=st.lists(
        st.builds(
            Old,
            age=st.integers(0, 12 * 86_400).map(lambda seconds: timedelta(seconds=seconds)),
            kind=st.sampled_from(["auto", "auto", "manual", "safety"]),
        ),
        max_size=6,
    ).map(tuple),
)


@settings(max_examples=60, deadline=None)
@drawn(worlds)
def test_what_is_told_is_what_comes(world: World) -> None:
    """Each day's end of a forecast has the backups that scheduler and retention leave there."""
    state = world.state()
    told = simulate(state, ORDERS, world.now, days=DAYS)

    for number, (day, really) in enumerate(lived(world, state, told)):
        assert really == names(told, number), day


def names(told: Forecast, day: int) -> set[tuple[str, datetime]]:
    """Names and snapshots of what exists at a day's end, by the forecast."""
    return {
        (fate.backup.name, fate.backup.requested_at)
        for fate in told.fates
        if fate.first <= day and (fate.last is None or day < fate.last)
    }


def lived(
    world: World, state: State, told: Forecast
) -> Iterator[tuple[datetime, set[tuple[str, datetime]]]]:
    """The days as they come: at every deadline what is due is decided, and succeeds at once."""
    now = world.now
    for end in told.days:
        while True:
            state = settled(state, now)
            nexts = (agenda(state, ORDERS, now).next_at, next_expiry(state, ORDERS, now))
            now = min((at for at in nexts if at is not None), default=end.ends_at)
            if now >= end.ends_at:
                break
        now = end.ends_at
        # What is made in the very instant of a day's end belongs to the next day.
        state = when(state, ExpireBackups(ORDERS), now=now).state
        yield (
            end.ends_at,
            {
                (backup.name, backup.requested_at)
                for backup in state.catalog.get(ORDERS, {}).values()
                if backup.phase == "complete"
            },
        )


def settled(state: State, now: datetime) -> State:
    """What is due now is decided; backups that were asked for are complete at once."""
    asked = when(state, AdvanceSchedule(ORDERS), now=now)
    state = asked.state
    for event in asked.events:
        if isinstance(event, BackupRequested):
            state = succeeded(state, event, now)
    gone = when(state, ExpireBackups(ORDERS), now=now)
    assert all(
        gone.state.catalog[ORDERS][event.backup_id].phase == "deleting"
        for event in gone.events
        if isinstance(event, DeletionRequested)
    )
    return gone.state


def succeeded(state: State, event: BackupRequested, now: datetime) -> State:
    """A backup from its start to its end, in one instant; skipped ones are not begun."""
    if state.catalog[ORDERS][event.backup_id].phase != "waiting":
        return state
    state = when(state, StartAttempt(event.backup_id), now=now).state
    snapshot = replace(SNAPSHOT, taken_at=now)
    state = when(state, ReportSnapshot(event.backup_id, snapshot), now=now).state
    return when(state, ReportStored(event.backup_id, STORED), now=now).state
