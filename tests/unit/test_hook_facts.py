"""What hooks are told: as much as is known at that moment, by plain names, and no secret."""

import re

import pytest

from daemon.actors.hooks import facts_of
from events.hooks import HookOutcome, HookWhen
from events.types import Event, RestoreCompleted, RestoreFailed
from projections.hooks import Occasion
from tests.support.given import given
from tests.support.samples import (
    B1,
    ORDERS,
    OUTSIDE,
    R1,
    RESULT,
    USERS,
    abandoned,
    complete,
    registered,
    running,
    under_way,
)

DONE = RestoreCompleted(cache=USERS, restore_id=R1, result=RESULT)
FAILED = RestoreFailed(
    cache=USERS, restore_id=R1, failure=OUTSIDE, undone=True, command="again", serves="new"
)


def told(
    *events: Event, when: HookWhen, outcome: HookOutcome | None = None
) -> dict[str, str | int]:
    """What a hook is told after these events."""
    state = given(registered(), registered(USERS), *events)
    if when.endswith("backup"):
        return facts_of(state, "tell", Occasion(when, ORDERS, B1, 1, "manual", outcome))
    return facts_of(state, "tell", Occasion(when, USERS, R1, outcome=outcome))


def test_before_a_backup_nothing_is_known_of_its_result() -> None:
    """The backup has a name and a place, and no size."""
    facts = told(*running(name="one"), when="before-backup")
    assert ("before-backup", "orders", "one", "main") == (
        facts["event"],
        facts["cache"],
        facts["backup_name"],
        facts["vault"],
    )
    assert not facts.keys() & {"outcome", "stored_bytes", "code"}


def test_after_a_backup_its_figures_are_told() -> None:
    """How many bytes were stored, and of how large an RDB."""
    facts = told(*complete(), when="after-backup", outcome="completed")
    assert (50, 100, 1) == (facts["stored_bytes"], facts["rdb_bytes"], facts["attempt"])
    assert "code" not in facts


def test_after_a_failed_backup_its_failure_is_told() -> None:
    """The code is for programs, the words are for people."""
    facts = told(*abandoned(), when="after-backup", outcome="failed")
    assert ("connection-refused", "Nobody listens.") == (facts["code"], facts["message"])
    assert "one attempt" == facts["reason"]


@pytest.mark.parametrize(("end", "outcome"), [(DONE, "completed"), (FAILED, "failed")])
def test_after_a_restore_its_end_is_told(end: Event, outcome: HookOutcome) -> None:
    """What was restored, into what, and what the target serves after a failure."""
    facts = told(
        *complete(name="one"), *under_way(to=USERS), end, when="after-restore", outcome=outcome
    )
    assert ("users", "users", "orders", "one") == (
        facts["cache"],
        facts["target"],
        facts["backup_cache"],
        facts["backup_name"],
    )
    if outcome == "failed":
        assert ("new", "connection-refused") == (facts["serves"], facts["code"])
    else:
        assert 3 == facts["keys"]


def test_names_can_be_variables() -> None:
    """Every name can stand in an environment."""
    facts = told(*complete(), when="after-backup", outcome="completed")
    facts |= told(*complete(), *under_way(to=USERS), FAILED, when="after-restore", outcome="failed")
    assert all(re.fullmatch("[a-z_]+", name) for name in facts)
