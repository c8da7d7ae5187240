"""Which copies are to be read back, and when."""

from datetime import datetime, timedelta

from events.copies import CopyCompleted, CopyRequested, CopyStarted
from events.copy_proofs import (
    CopyVerificationAbandoned,
    CopyVerificationRequested,
    CopyVerificationStarted,
    CopyVerified,
)
from events.facts import BackupId, Receipt, VaultName, VerificationId
from events.types import BackupDeleted, DeletionRequested
from projections.copy_rounds import OLDER_TIMES, due
from projections.state import State
from tests.support.given import NOON, At, given
from tests.support.samples import B1, B2, B3, FOR_GOOD, ORDERS, SECOND, complete, registered

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
LATER = NOON + timedelta(days=1000)
V = VerificationId("20260301T120000Z-000000d1")


def weekly(_: VaultName) -> timedelta | None:
    """Every vault is read once a week."""
    return WEEK


def copied(backup_id: BackupId, at: datetime, state: State | None = None) -> State:
    """A backup of that instant, and its copy in the second vault."""
    of = (ORDERS, backup_id, SECOND)
    made = [*complete(backup_id), CopyRequested(*of, "command"), CopyStarted(*of, 1)]
    first = state or given(registered())
    return given(*(At(at, event) for event in made), At(at, CopyCompleted(*of, 50)), state=first)


def read(backup_id: BackupId, at: datetime, state: State) -> State:
    """A copy is read back and is whole."""
    of = (ORDERS, backup_id, SECOND, V)
    asked = CopyVerificationRequested(*of, cause="policy", quick=True)
    found = CopyVerified(*of, receipt=Receipt("hashes", 50, 100, 1.0))
    return given(
        At(at, asked), At(at, CopyVerificationStarted(*of, attempt=1)), At(at, found), state=state
    )


def test_newest_copy_is_read_once_in_a_period() -> None:
    """A period after the first copy was made it is the turn of the newest one of then."""
    state = copied(B1, NOON)
    assert [(NOON + WEEK, B1)] == [
        (one.at, one.backup_id) for one in due(state, ORDERS, weekly, LATER)
    ]
    state = copied(B2, NOON + 6 * DAY, state)
    (one,) = due(state, ORDERS, weekly, LATER)
    assert (NOON + WEEK, B2, SECOND) == (one.at, one.backup_id, one.vault)
    state = read(B2, NOON + 8 * DAY, state)
    assert NOON + 15 * DAY == due(state, ORDERS, weekly, LATER)[0].at


def test_short_retention_does_not_put_it_off_for_ever() -> None:
    """Where no copy lives for a whole period one is read in each period all the same."""
    state, found = copied(B1, NOON), []
    for day, (old, new) in enumerate([(B1, B2), (B2, B3), (B3, B1), (B1, B2), (B2, B3)], 1):
        state = copied(new, NOON + 2 * day * DAY, state)
        state = given(
            DeletionRequested(cache=ORDERS, backup_id=old, reason="retention"),
            BackupDeleted(cache=ORDERS, backup_id=old),
            state=state,
        )
        found.append(due(state, ORDERS, weekly, LATER)[0].at)
    assert {NOON + WEEK} == set(found)


def test_older_copies_are_read_seldom() -> None:
    """One that is kept for long has its turn once in many periods, before the newest if need be."""
    state = copied(B1, NOON)
    for week in range(OLDER_TIMES):
        state = copied(B2, NOON + week * WEEK + DAY, state) if not week else state
        state = read(B2, NOON + week * WEEK + 2 * DAY, state)
    (one,) = due(state, ORDERS, weekly, LATER)
    assert (B1, NOON + OLDER_TIMES * WEEK) == (one.backup_id, one.at)
    state = read(B1, NOON + OLDER_TIMES * WEEK, state)
    assert NOON + 2 * OLDER_TIMES * WEEK > due(state, ORDERS, weekly, LATER)[0].at


def test_nothing_is_due_while_one_is_read_or_where_none_is_wanted() -> None:
    """A vault is read by one verification of a cache at a time, and not at all without a period."""
    state = copied(B1, NOON)
    assert () == due(state, ORDERS, lambda _: None, LATER)
    of = (ORDERS, B1, SECOND, V)
    state = given(CopyVerificationRequested(*of, cause="command"), state=state)
    assert () == due(state, ORDERS, weekly, LATER)


def test_one_that_came_to_nothing_is_asked_for_a_day_later() -> None:
    """A vault that could not be read is asked again tomorrow, not at once and not next week."""
    state, at = copied(B1, NOON), NOON + 8 * DAY
    of = (ORDERS, B1, SECOND, V)
    state = given(
        At(at, CopyVerificationRequested(*of, cause="policy", quick=True)),
        At(at, CopyVerificationStarted(*of, attempt=1)),
        At(at, CopyVerificationAbandoned(*of, failure=FOR_GOOD)),
        state=state,
    )
    assert [at + DAY] == [one.at for one in due(state, ORDERS, weekly, LATER)]


def test_clock_that_was_ahead_puts_nothing_off() -> None:
    """A copy that was read by a clock of next year has its turn a period from now."""
    state = read(B1, NOON + 365 * DAY, copied(B1, NOON))
    assert [NOON + WEEK] == [one.at for one in due(state, ORDERS, weekly, NOON)]
