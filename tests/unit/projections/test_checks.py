"""Checks: each rule's verdict in each case, as values; only scheduled backups count (A12)."""

from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest
from msgspec.structs import replace

from events.facts import BackupId, BackupKind, Failure, Occurrence, Policy, Window
from events.types import (
    BackupAbandoned,
    BackupCompleted,
    BackupDeferred,
    BackupFailed,
    BackupRequested,
    BackupSkipped,
    CacheReconfigured,
    CacheSuspended,
    DeletionRequested,
    Event,
    PolicySet,
    RestoreFailed,
    RestoreInterrupted,
    RetryScheduled,
    SnapshotTaken,
    WindowMissed,
)
from projections.checks import LEVELS, Level, Line, judge, ordered, worst
from projections.occurrences import occurrences
from projections.state import State
from tests.support.given import NOON, At, given
from tests.support.samples import (
    B1,
    B2,
    B3,
    FILE,
    FOR_GOOD,
    ORDERS,
    OTHER_SETTINGS,
    OUTSIDE,
    R1,
    SNAPSHOT,
    STARTED,
    STORED,
    USERS,
    abandoned,
    attempted,
    complete,
    registered,
    requested,
    restoring,
    under_way,
)

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
POLICY = Policy(auto=True, timezone="Europe/Paris", windows=(Window("02:00", 120),))
FIRST, SECOND, THIRD = occurrences(POLICY, since=NOON, until=NOON + 3 * DAY)
MORNING = datetime(2026, 3, 2, 8, tzinfo=UTC)
"""After the first window under the policy has closed."""
FULL = Failure(code="log-unwritable", message="The log cannot be written.", hint="Make room.")


def set_up(*events: Event | At, policy: Policy = POLICY) -> State:
    """A cache whose policy was set at noon, and what happened after that."""
    return given(STARTED, registered(), At(NOON, PolicySet(cache=ORDERS, policy=policy)), *events)


def asked(
    backup_id: BackupId = B1, of: Occurrence | None = FIRST, *, at: datetime | None = None
) -> At:
    """An auto backup was asked for, at the opening of its window unless it is said when."""
    event = BackupRequested(
        cache=ORDERS,
        backup_id=backup_id,
        kind="auto",
        name=requested(backup_id).name,
        vault=requested(backup_id).vault,
        occurrence=of,
        start_before=of.closes_at if of else None,
    )
    return At(at or (of.opens_at if of else NOON), event)


def begun(backup_id: BackupId = B1, at: datetime = FIRST.opens_at, *, attempt: int = 1) -> At:
    """An attempt began."""
    return At(at, attempted(backup_id, attempt=attempt))


def stored(backup_id: BackupId, at: datetime) -> tuple[At, At]:
    """A backup whose snapshot was taken then was completed."""
    taken = replace(SNAPSHOT, taken_at=at)
    return (
        At(at, SnapshotTaken(cache=ORDERS, backup_id=backup_id, snapshot=taken)),
        At(at, BackupCompleted(cache=ORDERS, backup_id=backup_id, stored=STORED)),
    )


def served(backup_id: BackupId = B1, of: Occurrence = FIRST) -> tuple[At, ...]:
    """An auto backup was made for an occurrence."""
    at = of.opens_at
    return (asked(backup_id, of), begun(backup_id, at), *stored(backup_id, at))


def by_kind(kind: BackupKind, backup_id: BackupId, at: datetime) -> tuple[At, ...]:
    """A backup of another kind was made then."""
    made = (requested(backup_id, kind=kind), attempted(backup_id))
    return (*(At(at, event) for event in made), *stored(backup_id, at))


def failed(backup_id: BackupId = B1, failure: Failure = OUTSIDE) -> BackupFailed:
    """An attempt failed."""
    return BackupFailed(cache=ORDERS, backup_id=backup_id, attempt=1, failure=failure)


def given_up(backup_id: BackupId = B1, of: Occurrence = FIRST) -> tuple[At, ...]:
    """An auto backup failed and was given up."""
    at = of.opens_at
    end = BackupAbandoned(cache=ORDERS, backup_id=backup_id, reason="no attempt is left")
    return (asked(backup_id, of), begun(backup_id, at), At(at, failed(backup_id)), At(at, end))


def missed(of: Occurrence = FIRST) -> At:
    """Nobody was there."""
    event = WindowMissed(cache=ORDERS, occurrence=of, reason="the daemon was not running")
    return At(of.closes_at, event)


def skipped(backup_id: BackupId = B1, of: Occurrence = FIRST) -> tuple[At, ...]:
    """An auto backup did not come to its turn."""
    event = BackupSkipped(cache=ORDERS, backup_id=backup_id, reason="its window closed first")
    return (asked(backup_id, of), At(of.closes_at, event))


def lines(state: State, now: datetime = MORNING, trouble: Failure | None = None) -> list[Line]:
    """Every line, worst first."""
    return list(ordered(chain.from_iterable(judge(state, now, trouble))))


def line(state: State, rule: str, now: datetime = MORNING) -> Line:
    """The one line of a rule on the cache, or on the installation."""
    (found,) = (line for line in lines(state, now) if line.rule == rule)
    return found


def bad(state: State, now: datetime = MORNING) -> dict[str, Level]:
    """What is not well, by its rule."""
    return {line.rule: line.level for line in lines(state, now) if line.level != "ok"}


def test_a_served_schedule_is_well() -> None:
    """A cache whose last window has left a backup has nothing but OK lines, one a rule."""
    state = set_up(*served())

    assert {} == bad(state)
    rules = [line.rule for line in lines(state)]
    assert len(set(rules)) == len(rules)
    assert {"daemon", "clock", "suspended", "auto", "fresh", "last-attempt"} <= set(rules)


def test_nothing_is_due_before_the_first_window_closes() -> None:
    """Without a backup all is well until a window that opened under the policy has closed."""
    state = set_up()

    assert {} == bad(state, FIRST.closes_at - timedelta(seconds=1))
    assert "the first one starts at 2026-03-02 02:" in line(state, "fresh", NOON + HOUR).message
    assert {"fresh": "critical"} == bad(state, FIRST.closes_at)


def test_a_window_open_when_the_policy_is_set_does_not_count() -> None:
    """A window that was open when its policy was set is not held against the cache."""
    mid = FIRST.opens_at + HOUR
    state = given(registered(), At(mid, PolicySet(cache=ORDERS, policy=POLICY)))

    assert {} == bad(state, MORNING)
    assert {"fresh": "critical"} == bad(state, SECOND.closes_at)


def test_a_stale_backup_is_critical_with_figures() -> None:
    """A newest scheduled backup older than the last closed window is critical, and says so."""
    told = line(set_up(*served()), "fresh", SECOND.closes_at + HOUR)

    assert "critical" == told.level
    assert "backup-b1, 27 h old" in told.message
    assert "(02:00 of 2026-03-03, closed at 2026-03-03 04:00 CET)" in told.message
    assert "valkeep backup create orders --auto" in told.hint
    assert "the next one starts at 2026-03-04 02:" in told.hint


def test_a_manual_backup_is_mentioned_and_does_not_count() -> None:
    """A12: a manual backup newer than the window leaves it critical, and is told of."""
    manual = by_kind("manual", B2, FIRST.closes_at + HOUR)
    told = line(set_up(*manual), "fresh")

    assert "critical" == told.level
    assert "a manual backup is newer, backup-b2, 4 h old, and does not count" in told.message


def test_a_safety_backup_is_nothing() -> None:
    """A12: a safety backup neither makes a cache fresh nor is a backup of it."""
    safety = by_kind("safety", B2, FIRST.closes_at + HOUR)
    off = given(registered(), *safety)

    told = line(set_up(*safety), "fresh")
    assert ("critical", False) == (told.level, "b2" in told.message)
    assert {"auto": "warning"} == bad(off)


def test_an_attempt_that_outlasts_its_window_is_waited_for() -> None:
    """A6: what was begun inside its window is not late while it runs, and is late if it fails."""
    running = set_up(asked(), begun())
    over = At(MORNING, failed())
    ended = given(
        over,
        At(MORNING, BackupAbandoned(cache=ORDERS, backup_id=B1, reason="closed")),
        state=running,
    )

    assert {} == bad(running)
    assert {"fresh": "critical", "abandoned": "critical"} == bad(ended)


def test_a_backup_that_runs_for_ever_is_not_waited_for_twice() -> None:
    """A running backup excuses its own window, not the one after it."""
    assert {"fresh": "critical"} == bad(set_up(asked(), begun()), SECOND.closes_at)


def test_a_backup_made_by_hand_after_the_window_repairs_it() -> None:
    """A5b: an auto backup that was asked for later makes good what the window did not leave."""
    late = MORNING - HOUR
    made = (asked(B2, None, at=late), begun(B2, late), *stored(B2, late))

    assert {} == bad(set_up(missed(), *made))
    assert {} == bad(set_up(*given_up(), *made))


def test_a_backup_begun_inside_a_window_serves_it() -> None:
    """A4: a backup inside the window's span is enough, whatever occurrence it was made for."""
    inside = FIRST.opens_at + timedelta(minutes=1)
    made = (asked(B1, None, at=inside), begun(B1, inside), *stored(B1, inside))

    assert {} == bad(set_up(*made))


def test_one_made_by_hand_that_failed_is_not_repaired_by_an_older_one() -> None:
    """A5b: what was given up without a window counts until a later good backup, not for ever."""
    late = MORNING - HOUR
    end = BackupAbandoned(cache=ORDERS, backup_id=B2, reason="no attempt is left")
    events = (asked(B2, None, at=late), begun(B2, late), At(late, failed(B2)), At(late, end))
    state = set_up(*served(), *events)

    assert {"abandoned": "critical"} == bad(state)
    assert {} == bad(given(*served(B3, SECOND), state=state), SECOND.closes_at)


def test_a_server_whose_clock_is_behind_is_believed() -> None:
    """What was made for an occurrence serves it, whatever the server's own clock says."""
    behind = FIRST.opens_at - timedelta(minutes=5)

    assert {} == bad(set_up(asked(), begun(), *stored(B1, behind)))


def test_a_deleted_backup_is_no_backup() -> None:
    """A window whose backup has been deleted has left none."""
    gone = At(MORNING, DeletionRequested(cache=ORDERS, backup_id=B1, reason="command"))

    told = line(set_up(*served(), gone), "fresh")
    assert "critical" == told.level
    assert "there is no good scheduled backup" in told.message


def test_a_failure_that_will_be_tried_again_is_a_warning() -> None:
    """A failed attempt warns, with the instant of the next one in local time and what to do."""
    retry = RetryScheduled(
        cache=ORDERS, backup_id=B1, retry_at=FIRST.opens_at + timedelta(minutes=5)
    )
    state = set_up(asked(), begun(), failed(), retry)
    told = line(state, "last-attempt", FIRST.opens_at + timedelta(minutes=2))

    assert ("warning", "connection-refused") == (told.level, told.code)
    assert (
        "attempt 1 at backup-b1 failed, another follows at 2026-03-02 02:05 CET: Nobody listens"
        == told.message
    )
    assert "Start it." == told.hint


def test_a_second_attempt_that_runs_still_warns() -> None:
    """While another attempt runs the last failure is told, until it is complete."""
    at = FIRST.opens_at
    retry = RetryScheduled(cache=ORDERS, backup_id=B1, retry_at=at)
    state = set_up(asked(), begun(), At(at, failed()), At(at, retry), begun(B1, at, attempt=2))

    assert {"last-attempt": "warning"} == bad(state, at + HOUR)
    assert {} == bad(given(*stored(B1, at + HOUR), state=state))


def test_what_was_given_up_is_critical_with_reason_and_hint() -> None:
    """An abandoned occurrence is critical at once, with its reason, failure and what to do."""
    told = line(set_up(*given_up()), "abandoned", FIRST.opens_at + HOUR)

    assert ("critical", "connection-refused") == (told.level, told.code)
    assert (
        "backup-b1 for the window 02:00 of 2026-03-02 was given up: no attempt is left; "
        "the last failure: Nobody listens" == told.message
    )
    assert told.hint.startswith("Start it. Make one now: ")


def test_several_are_counted() -> None:
    """Of several that were given up the last is told, with their number."""
    state = set_up(*given_up(B1, FIRST), *given_up(B2, SECOND))

    assert line(state, "abandoned", SECOND.closes_at).message.endswith("; 2 in all")


def test_a_missed_window_is_a_warning() -> None:
    """A9: a window that nobody served warns with the reason; that none is left is critical."""
    state = set_up(missed())

    assert {"missed": "warning", "fresh": "critical"} == bad(state)
    assert (
        "nobody served the window 02:00 of 2026-03-02: the daemon was not running"
        == line(state, "missed").message
    )


def test_a_skipped_window_is_a_warning() -> None:
    """A7: a backup that did not come to its turn warns with the reason."""
    state = set_up(*skipped())

    assert {"skipped": "warning", "fresh": "critical"} == bad(state)
    assert "was skipped: its window closed first" in line(state, "skipped").message


@pytest.mark.parametrize("trouble", [given_up(), (missed(),), skipped()])
def test_a_later_good_backup_repairs_everything(trouble: tuple[At, ...]) -> None:
    """What went wrong is over once a later scheduled backup is complete."""
    state = set_up(*trouble, *served(B2, SECOND))

    assert {} == bad(state, SECOND.closes_at)


def test_an_earlier_backup_repairs_nothing() -> None:
    """A good backup of the day before does not make good what was missed after it."""
    state = set_up(*served(B1, FIRST), missed(SECOND))

    assert {"missed": "warning", "fresh": "critical"} == bad(state, SECOND.closes_at)


def test_another_try_within_the_window_repairs_it() -> None:
    """A6: a backup that follows a change of configuration serves the occurrence after all."""
    at = FIRST.opens_at + HOUR
    changed = At(at, CacheReconfigured(cache=ORDERS, settings=OTHER_SETTINGS))
    again = (asked(B2, FIRST, at=at), begun(B2, at), *stored(B2, at))

    assert {} == bad(set_up(*given_up(), changed, *again))


def test_what_a_wrong_clock_settled_does_not_count_yet() -> None:
    """What was recorded of windows that lie ahead, by a clock that was ahead, is not told."""
    ahead = set_up(*served(), At(THIRD.closes_at, missed(THIRD).event))

    assert "missed" not in bad(ahead)
    assert "missed" in bad(ahead, THIRD.closes_at)


def test_a_policy_of_a_clock_that_was_ahead_is_judged() -> None:
    """A policy that seems to have been set in the future does not keep the check quiet."""
    at = MORNING + 365 * DAY
    state = given(registered(), At(at, PolicySet(cache=ORDERS, policy=POLICY)))

    assert {"fresh": "critical", "clock": "warning"} == bad(state)


def test_a_backup_of_a_clock_that_was_ahead_covers_no_window() -> None:
    """A snapshot that seems to lie ahead neither serves what passes nor repairs what was missed."""
    ahead = by_kind("auto", B1, MORNING + 365 * DAY)
    told = line(set_up(*ahead, missed()), "fresh")

    assert "critical" == told.level
    assert "missed" in bad(set_up(*ahead, missed()))
    assert {} == bad(set_up(*ahead, *served(B2)))


def test_a_deferred_backup_is_no_problem() -> None:
    """A backup that waits inside its window is well."""
    waits = BackupDeferred(cache=ORDERS, backup_id=B1, reason="another one runs")

    assert {} == bad(set_up(asked(), waits), FIRST.opens_at + HOUR)


@pytest.mark.parametrize("policy", [replace(POLICY, auto=False), replace(POLICY, windows=())])
def test_without_windows_it_is_only_said(policy: Policy) -> None:
    """A1: with auto off, or on without a window, a backup of any kind is enough."""
    nothing = set_up(policy=policy)
    manual = set_up(*by_kind("manual", B1, NOON), policy=policy)

    assert {"auto": "warning"} == bad(nothing)
    assert "no-backup" == line(nothing, "auto").code
    assert {} == bad(manual)
    assert "the newest backup is backup-b1, 20 h old" in line(manual, "auto").message


def test_a_first_backup_under_way_is_enough() -> None:
    """A cache whose first manual backup runs is not told to make one."""
    assert {} == bad(given(registered(), requested(B1)))


def test_a_declared_cache_is_set_right_in_its_file() -> None:
    """C3: what to do about a declared cache names its file, not a command that is refused."""
    hint = line(given(registered(declared=True)), "auto").hint

    assert FILE in hint
    assert "policy set" not in hint


def test_a_zone_that_is_not_installed_is_critical() -> None:
    """A policy in a zone that this host does not know schedules nothing: that is critical."""
    told = line(set_up(policy=replace(POLICY, timezone="Mars/Olympus")), "auto")

    assert ("critical", "time-zone") == (told.level, told.code)
    assert "tzdata" in told.hint


def test_a_suspended_cache_is_one_alarm() -> None:
    """C3: a suspended cache is critical by that rule alone."""
    gone = At(MORNING, CacheSuspended(cache=ORDERS, reason="it is no longer declared"))
    state = set_up(missed(), gone)

    assert {"suspended": "critical"} == bad(state, SECOND.closes_at)
    assert "valkeep cache remove orders" in line(state, "suspended").hint


def test_a_failed_manual_backup_warns_until_a_later_one() -> None:
    """A manual backup that failed is told once, by a rule of its own, until one is complete."""
    state = given(registered(), *abandoned(B1))

    assert {"manual": "warning"} == bad(state)
    assert {} == bad(given(*complete(B2), state=state))


def test_a_restore_that_is_being_undone_is_critical() -> None:
    """R7: a target whose restore is still being undone is critical until that has ended."""
    cut = RestoreInterrupted(cache=ORDERS, restore_id=R1, failure=OUTSIDE)
    state = given(registered(), *complete(B1), *under_way(B1), cut)
    end = RestoreFailed(cache=ORDERS, restore_id=R1, failure=OUTSIDE, undone=True, command="x")
    ended = given(At(NOON, end), state=state)

    assert {"restore": "critical"} == bad(state)
    assert {"restore": "warning"} == bad(ended, NOON + DAY - HOUR)
    told = line(ended, "restore", NOON + HOUR)
    assert told.message.endswith("; it serves its old data")
    assert told.hint.endswith("To repeat it: `x`.")
    assert {} == bad(ended, NOON + DAY)


def test_the_newest_restore_counts() -> None:
    """A restore that only runs, or that was followed by another, is no problem."""
    assert {} == bad(given(registered(), *complete(B1), restoring(B1)))


def test_a_log_that_cannot_be_written_is_critical() -> None:
    """The daemon's own trouble is a line with its message and hint."""
    (told,) = (one for one in lines(set_up(*served()), MORNING, FULL) if one.level != "ok")

    assert ("critical", "daemon", None) == (told.level, told.rule, told.cache)
    assert ("The log cannot be written", "Make room.") == (told.message, told.hint)


def test_a_clock_before_the_log_makes_ages_unknown() -> None:
    """While the clock shows a time before the log began, that is critical and ages unknown."""
    state = set_up(*served())

    assert {"clock": "critical", "fresh": "unknown"} == bad(state, datetime(1970, 1, 1, tzinfo=UTC))


def test_a_clock_that_was_set_back_warns() -> None:
    """A clock well before the log's last record warns; a second's difference does not."""
    state = set_up(*served())

    assert {"clock": "warning"} == bad(state, FIRST.opens_at - HOUR)
    assert {} == bad(state, FIRST.opens_at - timedelta(seconds=1))


def test_every_line_that_is_not_ok_says_what_to_do() -> None:
    """There is a hint exactly where something is to be done, and a code everywhere."""
    permanent = At(FIRST.opens_at, failed(B3, FOR_GOOD))
    state = set_up(
        *given_up(), missed(SECOND), *skipped(B2, THIRD), asked(B3), begun(B3), permanent
    )
    found = lines(state, THIRD.closes_at + HOUR)

    assert {"abandoned", "missed", "skipped", "fresh"} <= bad(state, THIRD.closes_at).keys()
    assert all(bool(one.hint) == (one.level != "ok") and one.code for one in found)
    assert not any("\n" in f"{one.message}{one.hint}" for one in found)


def test_the_worst_comes_first() -> None:
    """Lines are in the order of their levels, then of their caches; the worst is the whole's."""
    state = given(registered(USERS), state=set_up(missed()))
    found = lines(state)

    levels = [LEVELS.index(one.level) for one in found]
    assert sorted(levels, reverse=True) == levels
    assert ["fresh", "missed", "auto"] == [one.rule for one in found[:3]]
    assert "critical" == worst(found)
    assert "ok" == worst([])


def test_one_cache_is_judged_alone() -> None:
    """Asked for one cache, only it and the installation are judged."""
    state = given(registered(USERS), state=set_up(missed()))
    found = chain.from_iterable(judge(state, MORNING, only=USERS))

    assert {None, USERS} == {one.cache for one in found}


def test_unknown_is_worse_than_a_warning() -> None:
    """What cannot be told is worse than a warning and less than critical."""
    some = [Line("warning", "a", "b"), Line("unknown", "a", "b"), Line("ok", "a", "b")]

    assert "unknown" == worst(some)
    assert "critical" == worst([*some, Line("critical", "a", "b")])
