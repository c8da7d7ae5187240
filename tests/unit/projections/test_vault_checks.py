"""What is known against vaults: from a report to the event, the state, and a line of `check`."""

import pytest

from daemon.commands import ReportVault
from events.facts import CacheSettings, Failure, VaultDeed, VaultFault, VaultName
from events.types import CacheRegistered, VaultExamined
from projections.checks import Level
from projections.state import State
from projections.vault_checks import judge
from tests.support.given import given, when
from tests.support.samples import MAIN, ORDERS

URL = "s3://backups/team"
REFUSED = Failure("vault-rights", "403 AccessDenied", "the keys need s3:DeleteObject")


def fault(deed: VaultDeed = "delete") -> VaultFault:
    """Something refused."""
    return VaultFault(deed, REFUSED)


def report(state: State, *faults: VaultFault, url: str = URL) -> tuple[VaultExamined, State]:
    """A report that is worth an event, and the state after it."""
    then = when(state, ReportVault(MAIN, url, faults))
    (event,) = then.events
    assert isinstance(event, VaultExamined)
    return event, then.state


def silent(state: State, *faults: VaultFault, url: str = URL) -> bool:
    """Whether a report is worth no event."""
    return not when(state, ReportVault(MAIN, url, faults)).events


def test_a_vault_that_is_well_leaves_no_event() -> None:
    """A vault against which nothing is found, and nothing was known, is not recorded."""
    assert silent(State())
    assert [] == list(judge(State(), {MAIN: URL}))


def test_only_another_outcome_is_recorded() -> None:
    """A fault is recorded when it comes, when another joins it, and when all is well again."""
    first, state = report(State(), fault())
    assert (fault(),) == first.faults
    assert silent(state, fault())
    _, state = report(state, fault(), fault("write"))
    last, state = report(state)

    assert () == last.faults
    assert silent(state)


def test_what_was_found_elsewhere_does_not_count() -> None:
    """A vault that moved to another place is not held to what was found at the old one."""
    _, state = report(State(), fault())

    assert [] == list(judge(state, {MAIN: "s3://other"}))
    _, moved = report(state, fault(), url="s3://other")
    assert 1 == len(list(judge(moved, {MAIN: "s3://other"})))
    _, mended = report(state, url="s3://other")
    assert [] == list(judge(mended, {MAIN: "s3://other"}))


def test_a_vault_that_left_the_configuration_is_forgotten() -> None:
    """Only configured vaults are judged."""
    _, state = report(State(), fault())

    assert [] == list(judge(state, {VaultName("second"): URL}))


@pytest.mark.parametrize(
    ("deed", "level"),
    [
        ("open", "critical"),
        ("write", "critical"),
        ("read", "critical"),
        ("upload", "critical"),
        ("list", "warning"),
        ("delete", "warning"),
        ("sweep", "warning"),
    ],
)
def test_how_bad_it_is(deed: VaultDeed, level: Level) -> None:
    """What keeps backups from being made is critical, what keeps us from tidying up a warning."""
    state = given(VaultExamined(MAIN, URL, (fault(deed),)))

    (line,) = judge(state, {MAIN: URL})

    assert (level, "vault", "vault-rights") == (line.level, line.rule, line.code)
    assert line.message.startswith("vault main: it ")
    assert "(403 AccessDenied); found on 2026-03-01" in line.message
    assert "s3:DeleteObject. `valkeep doctor` tries it again." in line.hint


def test_a_cache_alone_is_held_to_its_own_vaults() -> None:
    """Asked about one cache, only the vault of its backups and that of their copies count."""
    second, third = VaultName("second"), VaultName("third")
    at_fault = [VaultExamined(name, URL, (fault(),)) for name in (MAIN, second, third)]
    settings = CacheSettings(url="valkey://127.0.0.1:1", vault=MAIN, copy_to=second)
    state = given(CacheRegistered(cache=ORDERS, settings=settings), *at_fault)
    vaults = dict.fromkeys((MAIN, second, third), URL)

    assert 3 == len(list(judge(state, vaults)))
    assert ["vault main", "vault second"] == [
        line.message.partition(":")[0] for line in judge(state, vaults, ORDERS)
    ]
