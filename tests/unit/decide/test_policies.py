"""Deciding on policies: by command and by file, and what a change settles first (A1-A4, C3)."""

from datetime import timedelta
from typing import TypedDict, Unpack

import pytest

from daemon.commands import (
    AddCache,
    DeclaredCache,
    PolicyChange,
    ReconcileCaches,
    RecordCache,
    RequestAutoBackup,
    SetCache,
    SetPolicy,
)
from daemon.errors import BadRequest, NotFound, Rejected
from events.facts import CacheName, Occurrence, Policy, Window
from events.types import (
    BackupAbandoned,
    BackupFailed,
    BackupRequested,
    BackupSkipped,
    CacheReconfigured,
    CacheRegistered,
    CacheSuspended,
    Event,
    PolicySet,
    RetryScheduled,
    WindowMissed,
)
from projections.state import State
from tests.support.given import NOON, At, given, refused, when
from tests.support.samples import (
    B1,
    B2,
    FILE,
    MAIN,
    ORDERS,
    OUTSIDE,
    SETTINGS,
    USERS,
    attempted,
    registered,
    running,
    swept,
)

ON = Policy(auto=True, windows=(Window("02:00", 120),))
TOMORROW = NOON + timedelta(hours=17)
"""After the window of the night has closed."""


class Said(TypedDict, total=False):
    """What a person may say of a policy."""

    auto: bool
    retention_days: int
    retries: int
    timezone: str
    windows: tuple[str, ...]
    keep_last: int


def setting(**said: Unpack[Said]) -> SetPolicy:
    """The command that changes the policy of the cache."""
    return SetPolicy(ORDERS, PolicyChange(**said))


def policy_of(state: State, cache: CacheName = ORDERS) -> Policy:
    """The policy that a cache has now."""
    policy = state.caches[cache].policy
    assert policy is not None
    return policy


def with_policy(policy: Policy = ON, *, declared: bool = False) -> tuple[Event, ...]:
    """A cache with a policy."""
    return (
        registered(declared=declared),
        PolicySet(cache=ORDERS, policy=policy, declared=declared),
    )


@pytest.mark.parametrize(
    "said",
    [
        {"retention_days": 3},
        {"retries": 1},
        {"windows": ("02:00+2h",)},
        {"windows": ()},
        {"timezone": "Europe/Paris"},
        {"keep_last": 0},
        {"auto": False, "retries": 1},
    ],
)
def test_settings_without_auto_are_refused(said: Said) -> None:
    """A1: while auto is off a command that sets anything else is refused, and says why."""
    refusal = refused(given(registered()), setting(**said))

    assert isinstance(refusal, Rejected)
    assert "auto-off" == refusal.code
    assert "no effect" in refusal.message


def test_settings_are_taken_together_with_auto() -> None:
    """A1: what needs auto can be said in the command that turns it on."""
    then = when(given(registered()), setting(auto=True, windows=("02:00+2h",), retries=0))

    assert Policy(auto=True, windows=(Window("02:00", 120),), retries=0) == policy_of(then.state)


def test_a_change_leaves_what_it_does_not_name() -> None:
    """A command changes what it names and keeps the rest."""
    state = given(*with_policy())

    state = when(state, setting(retention_days=30)).state
    state = when(state, setting(timezone="Europe/Paris")).state

    kept = policy_of(state)
    assert (30, "Europe/Paris", ON.windows) == (kept.retention_days, kept.timezone, kept.windows)
    assert () == policy_of(when(state, setting(windows=())).state).windows


def test_turning_auto_off_keeps_the_settings() -> None:
    """A1: what was set is still there on the day that auto is turned on again."""
    off = when(given(*with_policy()), setting(auto=False)).state
    again = when(off, setting(auto=True)).state

    assert off.caches[ORDERS].scheduled is None
    assert ON.windows == policy_of(off).windows
    assert ON == policy_of(again)


def test_the_same_policy_again_is_nothing() -> None:
    """Saying what is so already leaves no trace in the log."""
    assert () == when(given(*with_policy()), setting(auto=True, windows=("02:00+2h",))).events


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ({"retention_days": 0}, "1 to 730"),
        ({"retention_days": 731}, "1 to 730"),
        ({"retries": 11}, "0 to 10"),
        ({"retries": -1}, "0 to 10"),
        ({"keep_last": -1}, "0 to 730"),
        ({"timezone": "Europe/Pariss"}, "Did you mean 'Europe/Paris'?"),
        ({"windows": ("02:00",)}, "HH:MM+LENGTH"),
        ({"windows": ("02:00+10m",)}, "15 minutes to 24 hours"),
        ({"windows": ("23:00+4h", "02:00+2h")}, "also across midnight"),
    ],
)
def test_what_a_policy_cannot_be_is_refused(said: Said, allowed: str) -> None:
    """A2, A3, A4, A11: a value outside of its range is refused with what is allowed."""
    refusal = refused(given(*with_policy()), setting(**said))

    assert isinstance(refusal, BadRequest)
    assert allowed in refusal.hint


def test_an_overlap_with_midnight_between_names_both_windows() -> None:
    """A4: who is refused for an overlap is told which two windows it is."""
    refusal = refused(given(*with_policy()), setting(windows=("23:00+4h", "02:00+2h", "12:00+1h")))

    assert "the windows 02:00+2h and 23:00+4h overlap" in refusal.message
    assert "12:00" not in refusal.message


def test_all_that_is_wrong_is_told_at_once() -> None:
    """One refusal names everything that has to be corrected."""
    refusal = refused(given(*with_policy()), setting(retries=11, windows=("x",), timezone="Mars"))

    for told in ("retries is 11", "'x'", "'Mars'"):
        assert told in refusal.message


def test_a_lost_zone_does_not_keep_auto_on() -> None:
    """Auto backups can be turned off whatever has become of the settings, but not on."""
    lost = given(*with_policy(Policy(auto=True, timezone="Mars/Olympus", windows=ON.windows)))

    off = when(lost, setting(auto=False)).state

    assert not policy_of(off).auto
    assert "Mars/Olympus" in refused(off, setting(auto=True)).message


def test_the_policy_of_a_declared_cache_is_the_files() -> None:
    """C3: a command against a declared cache is refused and names file and section."""
    for state in (given(*with_policy(declared=True)), given(registered(declared=True))):
        refusal = refused(state, setting(auto=False))

        assert isinstance(refusal, Rejected)
        assert FILE in refusal.message
        assert "[caches.orders.policy]" in refusal.hint
    request = SetCache(ORDERS, policy=PolicyChange(auto=True))
    assert FILE in refused(given(registered(declared=True)), RecordCache(request, SETTINGS)).message


def test_the_policy_of_a_suspended_cache_can_be_set() -> None:
    """C3: a cache that has left the file takes commands again."""
    state = given(*with_policy(declared=True), CacheSuspended(cache=ORDERS, reason="it has left"))

    assert not policy_of(when(state, setting(auto=False)).state).auto


def test_an_unknown_cache_has_no_policy() -> None:
    """A name that no cache has is told with the names there are."""
    assert isinstance(refused(given(registered(USERS)), setting(auto=True)), NotFound)


def test_a_cache_is_added_with_its_policy() -> None:
    """One command adds a cache and its policy, or neither."""
    request = AddCache(ORDERS, SETTINGS.url, policy=PolicyChange(auto=True, windows=("02:00+2h",)))
    then = when(State(), RecordCache(request, SETTINGS))

    assert (CacheRegistered, PolicySet) == tuple(type(event) for event in then.events)
    assert ON == policy_of(then.state)
    without = AddCache(ORDERS, SETTINGS.url, policy=PolicyChange(windows=("02:00+2h",)))
    assert "auto-off" == refused(State(), RecordCache(without, SETTINGS)).code


def test_a_cache_is_changed_with_its_policy() -> None:
    """One command changes a cache and its policy."""
    request = SetCache(ORDERS, node="primary", policy=PolicyChange(retries=9))
    then = when(given(*with_policy()), RecordCache(request, SETTINGS))

    assert (CacheReconfigured, PolicySet) == tuple(type(event) for event in then.events)
    assert 9 == policy_of(then.state).retries


def test_what_has_passed_is_settled_under_the_old_policy() -> None:
    """A9: a window that passed unserved is missed before the policy that it belongs to changes."""
    then = when(given(*with_policy()), setting(windows=("05:00+1h",)), now=TOMORROW)

    assert (WindowMissed, PolicySet) == tuple(type(event) for event in then.events)


def test_turning_auto_off_ends_what_waits_and_not_what_runs() -> None:
    """A1: what has not begun is skipped, what waits for a retry is given up, what runs goes on."""
    on = given(*with_policy())
    waiting = given(_wanted(), state=on)
    begun = given(_wanted(), attempted(), state=on)
    failed = BackupFailed(cache=ORDERS, backup_id=B1, attempt=1, failure=OUTSIDE)
    retry = RetryScheduled(cache=ORDERS, backup_id=B1, retry_at=NOON + timedelta(minutes=2))
    retrying = given(failed, swept(), retry, state=begun)

    ends = [
        [type(event) for event in when(state, setting(auto=False)).events]
        for state in (waiting, begun, retrying)
    ]

    assert [[BackupSkipped, PolicySet], [PolicySet], [BackupAbandoned, PolicySet]] == ends


def _wanted() -> BackupRequested:
    return BackupRequested(
        cache=ORDERS,
        backup_id=B1,
        kind="auto",
        name="auto-1",  # type: ignore[arg-type]
        vault=MAIN,
        start_before=NOON + timedelta(hours=1),
    )


def declaring(**policies: Policy | None) -> ReconcileCaches:
    """A file that declares these caches, with or without a policy."""
    caches = tuple(
        DeclaredCache(CacheName(name), SETTINGS, policy) for name, policy in policies.items()
    )
    return ReconcileCaches(caches, FILE)


def test_a_policy_appears_with_its_cache_and_is_the_files() -> None:
    """C3: a declared policy becomes an event once, whoever reads the file how often."""
    then = when(State(), declaring(orders=ON))

    assert (CacheRegistered, PolicySet) == tuple(type(event) for event in then.events)
    assert then.state.caches[ORDERS].policy_declared
    assert () == when(then.state, declaring(orders=ON)).events


def test_a_changed_line_changes_the_policy() -> None:
    """C3: after a reload the policy is what the file says now, and only that is recorded."""
    other = Policy(auto=True, windows=ON.windows, retries=0)
    then = when(given(*with_policy(declared=True)), declaring(orders=other))

    assert [PolicySet(cache=ORDERS, policy=other, declared=True)] == [
        event for event in then.events if isinstance(event, PolicySet)
    ]


def test_a_section_that_is_taken_out_turns_auto_off_and_keeps_the_settings() -> None:
    """A1, C3: without its section a policy is off, and retention goes on by its settings."""
    state = when(State(), declaring(orders=ON)).state

    then = when(state, declaring(orders=None))

    assert ON.windows == policy_of(then.state).windows
    assert not policy_of(then.state).auto
    assert () == when(then.state, declaring(orders=None)).events


def test_a_policy_by_command_survives_a_file_that_says_nothing_of_it() -> None:
    """A cache that the file takes over without a policy keeps the one that it has."""
    then = when(given(*with_policy()), declaring(orders=None))

    assert ON == policy_of(then.state)
    assert not then.state.caches[ORDERS].policy_declared


def test_what_reconciling_settles_for_several_caches_has_ids_of_its_own() -> None:
    """Windows that passed in two caches while their backups ran are skipped as two backups."""
    policies = {"orders": ON, "users": ON}
    state = when(State(), declaring(**policies)).state
    busy = given(
        *(At(NOON + timedelta(hours=1), event) for event in running(B1, kind="auto")),
        *(At(NOON + timedelta(hours=1), event) for event in running(B2, cache=USERS, kind="auto")),
        state=state,
    )

    then = when(busy, declaring(orders=None, users=None), now=TOMORROW)

    skipped = [event for event in then.events if isinstance(event, BackupSkipped)]
    assert {ORDERS, USERS} == {event.cache for event in skipped}
    assert 2 == len({event.backup_id for event in skipped})


def test_an_auto_backup_by_hand_wants_a_policy_that_is_on() -> None:
    """A1, A5b: `--auto` is refused where auto is off, and says how to turn it on."""
    refusal = refused(given(registered()), RequestAutoBackup(ORDERS))

    assert "auto-off" == refusal.code
    assert "policy set orders --auto" in refusal.hint


def test_an_occurrence_is_due_from_the_moment_a_policy_is_set() -> None:
    """A4: a policy that is set inside its own window serves that window."""
    hour = Window(f"{NOON:%H:%M}", 120)
    state = given(
        registered(), At(NOON, PolicySet(cache=ORDERS, policy=Policy(auto=True, windows=(hour,))))
    )

    then = when(state, RequestAutoBackup(ORDERS), now=NOON + timedelta(minutes=5))

    (wanted,) = (event for event in then.events if isinstance(event, BackupRequested))
    assert wanted.occurrence == Occurrence(
        NOON.date(), hour.start, NOON, NOON + timedelta(minutes=120)
    )
