"""What was measured around the log, judged: nothing is told of what is as it should be."""

import pytest

from events.facts import Failure, VaultFault, VaultName
from events.types import VaultExamined
from projections.host_checks import (
    not_taken_over,
    port_lines,
    room_lines,
    unmeasured,
    vault_room,
    vault_silent,
)
from projections.state import State
from tests.support.given import given
from tests.support.samples import FOR_GOOD, MAIN, OUTSIDE

GIB, MIB = 1 << 30, 1 << 20
URLS = {MAIN: "file:///v"}


@pytest.mark.parametrize(
    ("free", "level"),
    [(None, None), (31 * GIB, None), (GIB, None), (GIB - 1, "warning"), (MIB, "critical")],
)
def test_room_on_disks(free: int | None, level: str | None) -> None:
    """Little room is a warning and next to none critical, of the log's disk and of a vault's."""
    wanted = [] if level is None else [level]
    assert wanted == [line.level for line in room_lines("/d", free)]
    assert wanted == [line.level for line in vault_room(MAIN, free)]
    assert all(line.hint for line in (*room_lines("/d", free), *vault_room(MAIN, free)))


def test_a_disk_that_hangs_is_critical() -> None:
    """A disk of the log that cannot be looked at is told with the reason."""
    line = unmeasured("/d", why="it has not answered within 2 s")
    assert ("critical", "disk") == (line.level, line.rule)
    assert "has not answered" in line.message


@pytest.mark.parametrize(("failure", "level"), [(OUTSIDE, "warning"), (FOR_GOOD, "critical")])
def test_a_vault_that_does_not_answer(failure: Failure, level: str) -> None:
    """What may pass by itself is a warning, what will not is critical."""
    (line,) = vault_silent(State(), URLS, MAIN, failure)
    assert (level, "vault", failure.code) == (line.level, line.rule, line.code)
    assert f"vault {MAIN} cannot be reached" in line.message


def test_a_vault_whose_faults_are_known_is_told_of_once() -> None:
    """Its last trial has said more than that it does not answer now."""
    known = VaultExamined(vault=MAIN, url="file:///v", faults=(VaultFault("open", FOR_GOOD),))
    assert [] == list(vault_silent(given(known), URLS, MAIN, OUTSIDE))
    moved = {VaultName(MAIN): "file:///elsewhere"}
    assert 1 == len(list(vault_silent(given(known), moved, MAIN, OUTSIDE)))


def test_a_configuration_that_was_not_taken_over_is_a_warning() -> None:
    """A file that a reload refused is told of on one line, with how to look again."""
    bad = Failure("configuration", "/etc/v.toml has 2 problems:\n  line 3: …", "Correct them.")
    (told,) = not_taken_over(bad)

    assert ("warning", "configuration", "Correct them.") == (told.level, told.rule, told.hint)
    assert "not taken over: /etc/v.toml has 2 problems; the one from before holds" in told.message
    assert [] == list(not_taken_over(None))


def test_a_port_that_cannot_be_had_is_a_warning() -> None:
    """It stops nothing, and is told with what to do; one that is open is not told."""
    assert [] == list(port_lines("127.0.0.1:9464", None))
    (line,) = port_lines("127.0.0.1:9464", Failure("metrics-port", "Address in use", "Stop it."))
    assert ("warning", "Stop it.") == (line.level, line.hint)
