"""What retention keeps and lets go (A1, A2, A10-A12, C3), in golden cases that people can read."""

from datetime import timedelta

import pytest

from daemon.commands import ExpireBackups
from events.types import DeletionRequested, PolicySet, RestoreCompleted, RetentionExpired
from projections.retention import (
    Terms,
    Verdict,
    expired,
    next_expiry,
    released,
    terms_of,
    verdicts,
)
from projections.state import State
from tests.support.given import NOON, At, given, when
from tests.support.retaining import Case, cases, folded, policy, reading, story
from tests.support.samples import B1, B2, ORDERS, RESULT, USERS, registered

CASES = tuple(cases())
DAY = timedelta(days=1)
WEEK = PolicySet(cache=ORDERS, policy=policy())


def judged(state: State, case: Case) -> dict[str, Verdict]:
    """The verdicts on a case's backups, by their names."""
    terms = terms_of(state, ORDERS) or Terms(policy())
    found = verdicts(state.catalog[ORDERS].values(), terms, case.now)
    return {name: found[one] for name, one in case.ids().items() if one in found}


def test_there_are_enough_cases() -> None:
    """Each rule of retention has cases, no two cases have the same title, and there are many."""
    assert {"A1", "A2", "A10", "A11", "A12", "C3"} == {case.rule for case in CASES}
    assert len({case.title for case in CASES}) == len(CASES) >= 30


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.title}")
def test_the_verdict_has_its_reason(case: Case) -> None:
    """What is said of each backup of a golden case is the rule and the words written there."""
    found = judged(folded(case), case)

    said = {name: (verdict.rule, verdict.reason) for name, verdict in found.items()}
    assert {
        line.name: (line.says, line.because) for line in case.backups if line.says != "none"
    } == said


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.title}")
def test_what_is_done_is_what_is_said(case: Case) -> None:
    """The decision deletes exactly the backups that the case lets go, with the case's reason."""
    then = when(folded(case), ExpireBackups(ORDERS), now=case.now)

    ids = case.ids()
    wanted = {ids[line.name]: line.because for line in case.backups if line.is_to_go}
    said = {e.backup_id: e.reason for e in then.events if isinstance(e, RetentionExpired)}
    done = [e.backup_id for e in then.events if isinstance(e, DeletionRequested)]
    assert wanted == said
    assert sorted(wanted) == sorted(done)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.title}")
def test_what_goes_goes_once(case: Case) -> None:
    """After a decision there is nothing left to decide at the same instant."""
    then = when(folded(case), ExpireBackups(ORDERS), now=case.now)

    assert () == when(then.state, ExpireBackups(ORDERS), now=case.now).events


def test_the_next_look_is_when_the_next_age_is_over() -> None:
    """A2: the next instant to look at is when the oldest one's days are over, not before."""
    state = given(registered(), WEEK, *story(B1, NOON), *story(B2, NOON + DAY))

    over = NOON + 7 * DAY
    assert over == next_expiry(state, ORDERS, NOON + DAY)
    assert () == expired(state, ORDERS, over - timedelta(seconds=1))
    assert [B1] == [expiry.backup_id for expiry in expired(state, ORDERS, over)]
    assert over + DAY == next_expiry(state, ORDERS, over)


def test_what_a_clock_has_dated_ahead_is_looked_at_when_it_is_reached() -> None:
    """From the instant of a snapshot that lies ahead it is the newest, and others may go."""
    state = given(registered(), WEEK, *story(B1, NOON), *story(B2, NOON + 30 * DAY))

    assert () == expired(state, ORDERS, NOON + 20 * DAY)
    assert NOON + 30 * DAY == next_expiry(state, ORDERS, NOON + 20 * DAY)
    assert [B1] == [expiry.backup_id for expiry in expired(state, ORDERS, NOON + 30 * DAY)]


def test_what_no_age_ends_is_not_waited_for() -> None:
    """Manual backups, and the newest one whose age is over, have no next instant."""
    state = given(registered(), WEEK, *story(B1, NOON, kind="manual"), *story(B2, NOON))

    assert next_expiry(state, ORDERS, NOON + 8 * DAY) is None


def test_a_reader_of_another_cache_releases_a_backup() -> None:
    """A11: when a restore into another cache ends, retention has to look at the backup's cache."""
    before = given(registered(), registered(USERS), WEEK, *story(B1, NOON), reading(B1))
    restore_id = reading(B1).restore_id
    after = given(RestoreCompleted(cache=USERS, restore_id=restore_id, result=RESULT), state=before)

    assert {ORDERS} == released(before=before, after=after)
    assert frozenset() == released(before=before, after=given(registered(USERS), state=before))
    assert frozenset() == released(before=after, after=after)


def test_a_backup_with_a_second_reader_is_not_released() -> None:
    """A11: of two readers the last one releases."""
    first, second = reading(B1), reading(B1, into=ORDERS, number=2)
    before = given(registered(), registered(USERS), WEEK, *story(B1, NOON), first, second)
    end = RestoreCompleted(cache=USERS, restore_id=first.restore_id, result=RESULT)
    between = given(end, state=before)
    end = RestoreCompleted(cache=ORDERS, restore_id=second.restore_id, result=RESULT)

    assert frozenset() == released(before=before, after=between)
    assert {ORDERS} == released(before=between, after=given(end, state=between))


def test_a_removed_cache_has_no_retention() -> None:
    """A10: what is left of a removed cache is manual, and nobody looks at it again."""
    state = given(At(NOON, registered()), *story(B1, NOON, kind="manual"))

    assert () == expired(state, USERS, NOON + 800 * DAY)
    assert next_expiry(state, USERS, NOON) is None
