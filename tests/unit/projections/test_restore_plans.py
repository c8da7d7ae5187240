"""The plan of a restore by golden cases, and what more room or more data can never do to it."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from daemon.decide.restores import FORCIBLE
from events.facts import Finding, FindingLevel, RestorePlan, TargetFacts, TrialFacts
from projections.load_mode import limits, peak
from projections.restore_pace import SMALL_BYTES, Pace
from projections.restore_plan import Offer, Wishes, restore_plan
from tests.support.given import NOON
from tests.support.plans import Case, golden
from tests.support.samples import SERVER, SNAPSHOT, STORED

CASES = list(golden())

# DESIGN R2's table: each code with the levels that it comes with, and whether it can be forced.
RULE: dict[str, tuple[set[FindingLevel], bool]] = {
    "rdb-type": ({"blocker"}, False),
    "rdb-checksum": ({"blocker", "warning"}, False),
    "rdb-version": ({"blocker"}, False),
    "engine-version": ({"blocker", "warning"}, True),
    "memory": ({"blocker"}, True),
    "databases": ({"blocker"}, False),
    "modules": ({"blocker", "warning"}, False),
    "replica": ({"blocker"}, False),
    "topology": ({"blocker"}, False),
    "auth": ({"blocker"}, False),
    "listener": ({"blocker", "warning"}, False),
    "parameters": ({"warning"}, False),
    "persistence": ({"warning"}, False),
}
BESIDES = {"identity", "identity-exposed"}
"""Findings of encrypted backups, of which R2's table does not speak."""


def found() -> Iterator[Finding]:
    """Every finding of every golden plan."""
    for _, case in CASES:
        yield from case.plan.findings


@pytest.mark.parametrize(("file", "case"), CASES, ids=lambda value: getattr(value, "why", value))
def test_the_golden_plan_comes(file: str, case: Case) -> None:
    """A backup and a target lead to this plan, word for word."""
    assert case.plan.seen_in(case.planned()) == case.plan, file


@pytest.mark.parametrize("code", RULE)
def test_every_code_of_the_rule_has_a_golden_case(code: str) -> None:
    """Each code of R2 comes with the levels of the rule, and can be forced where the rule says."""
    levels, forcible = RULE[code]
    these = [finding for finding in found() if finding.code == code]

    assert {finding.level for finding in these} == levels
    assert {f.forcible for f in these if f.level == "blocker"} <= {forcible}
    assert not any(finding.forcible for finding in these if finding.level == "warning")


def test_only_what_the_rule_allows_can_be_forced() -> None:
    """The codes that the command takes after --force are those that plans call forcible."""
    assert {code for code, (_, forcible) in RULE.items() if forcible} == FORCIBLE
    assert {finding.code for finding in found()} == RULE.keys() | BESIDES


MODULES = st.sets(st.sampled_from(["bf", "json", "search"]))
BYTES = st.integers(min_value=0, max_value=1 << 40)
TARGETS = st.builds(
    lambda used, maxmemory, system, mode: TargetFacts(
        server=replace(
            SERVER,
            used_memory_bytes=used,
            maxmemory_bytes=maxmemory,
            system_memory_bytes=system,
        ),
        trial=TrialFacts("reached"),
        load_mode=mode,
    ),
    BYTES,
    BYTES,
    BYTES,
    st.sampled_from(["swapdb", "disabled", "on-empty-db"]),
)
OFFERS = st.builds(
    lambda used: Offer(replace(SNAPSHOT, server=replace(SERVER, used_memory_bytes=used)), STORED),
    BYTES,
)


def planned(offer: Offer, target: TargetFacts) -> RestorePlan:
    """The plan of these two."""
    return restore_plan(offer, target, Wishes())


def blockers(plan: RestorePlan, code: str) -> int:
    """How many blockers of this code it has."""
    return sum(1 for one in plan.findings if (one.code, one.level) == (code, "blocker"))


@given(offer=OFFERS, target=TARGETS, more=BYTES)
def test_more_memory_never_adds_a_blocker(offer: Offer, target: TargetFacts, more: int) -> None:
    """With larger limits the target has no more blockers, and swapdb is not given up for it."""
    server = target.server
    larger = replace(
        server,
        maxmemory_bytes=server.maxmemory_bytes + more if server.maxmemory_bytes else 0,
        system_memory_bytes=server.system_memory_bytes + more if server.system_memory_bytes else 0,
    )
    before, after = planned(offer, target), planned(offer, replace(target, server=larger))

    assert blockers(after, "memory") <= blockers(before, "memory")
    assert (before.load_mode, after.load_mode) != ("swapdb", "disabled")


@given(offer=OFFERS, target=TARGETS)
def test_what_is_loaded_beside_the_old_data_fits(offer: Offer, target: TargetFacts) -> None:
    """A plan never chooses swapdb of itself, nor where a known limit is below its peak."""
    plan = planned(offer, target)

    assert plan.load_mode == "disabled" or target.load_mode == "swapdb"
    if plan.load_mode == "swapdb" and plan.peak_bytes is not None:
        assert all(plan.peak_bytes <= limit.size_bytes for limit in limits(target.server))


@given(offer=OFFERS, target=TARGETS, databases=st.integers(1, 64), modules=MODULES)
def test_more_databases_and_modules_never_add_a_blocker(
    offer: Offer, target: TargetFacts, databases: int, modules: set[str]
) -> None:
    """What a target has beyond what it had is nothing that a restore could object to."""
    richer = replace(
        target,
        server=replace(
            target.server,
            databases=target.server.databases + databases,
            modules=(*target.server.modules, *sorted(modules)),
        ),
    )
    before, after = planned(offer, target), planned(offer, richer)

    for code in ("databases", "modules"):
        assert blockers(after, code) <= blockers(before, code)


@given(backup=BYTES, target=BYTES)
def test_beside_takes_no_less_than_after(backup: int, target: int) -> None:
    """The peak of swapdb is at least that of disabled, and neither is below what is there now."""
    beside = peak("swapdb", backup_bytes=backup, target_bytes=target)
    after = peak("disabled", backup_bytes=backup, target_bytes=target)

    if beside is None or after is None:
        assert backup == 0
    else:
        assert beside >= after >= max(backup, target)


@given(seconds=st.floats(0.001, 1e6), base=BYTES, smaller=BYTES, more=BYTES)
def test_more_bytes_never_take_less_time(
    seconds: float, base: int, smaller: int, more: int
) -> None:
    """The time grows with the bytes, and the same bytes take the same time."""
    pace = Pace(seconds, base, "a restore", NOON)

    assert pace.for_bytes(smaller) <= pace.for_bytes(smaller + more)
    assert pace.for_bytes(max(base, SMALL_BYTES)) == pytest.approx(seconds)
