"""The plan of a restore by keys, finding by finding (R2)."""

import pytest
from msgspec.structs import replace

from events.facts import Finding, RestorePlan, TargetFacts
from events.moves import KeysMoved, KeysWish
from projections.keys_plan import Case, Held, Packer, databases_of, keys_plan
from projections.restore_plan import Wishes
from tests.unit.projections.test_restore_plan import MB, OFFER, SERVER, TARGET, into, of

VALKEY = Packer("valkey", "8.1.8")
HELD = Held(KeysMoved(chosen=5, written=5), databases={0: 5}, all_keys=15)
CASE = Case(OFFER, KeysWish(), VALKEY, held=HELD)


def codes(plan: RestorePlan, level: str = "blocker") -> list[str]:
    """The codes of one level."""
    return [finding.code for finding in plan.findings if finding.level == level]


def found(plan: RestorePlan, code: str) -> Finding:
    """The one finding with that code."""
    (one,) = [finding for finding in plan.findings if finding.code == code]
    return one


def test_plan_without_obstacles_goes_on() -> None:
    """Into a target of the same kind nothing blocks, and no setting of it is touched."""
    plan = keys_plan(CASE, TARGET)

    assert [] == codes(plan)
    assert ("keys", True, 15, ()) == (
        plan.method, plan.safety_backup, plan.target_keys, plan.by_hand
    )  # fmt: skip
    assert (HELD.moved, 100 * MB + 33_333_333) == (plan.keys, plan.peak_bytes)


@pytest.mark.parametrize(
    ("target", "code", "forcible"),
    [
        (into(role="replica"), "replica", False),
        (into(cluster=True), "topology", False),
        (replace(TARGET, rights="ACL SETUSER u +restore"), "auth", False),
        (into(engine="redis", version="7.0.15"), "rdb-version", False),
        (into(version="7.2.4"), "engine-version", True),
        (into(maxmemory_bytes=120 * MB), "memory", True),
        (into(system_memory_bytes=120 * MB), "memory", True),
    ],
)
def test_target_that_will_not_do_is_a_blocker(
    target: TargetFacts, code: str, *, forcible: bool
) -> None:
    """Each thing that stands in the way has its code, and says whether it can be forced."""
    plan = keys_plan(CASE, target)

    assert code in codes(plan)
    assert forcible == found(plan, code).forcible


def test_replica_and_sentinel_are_told_apart() -> None:
    """What Sentinel watches, and a node of a cluster without a safety backup, may be written to."""
    bare = replace(CASE, wishes=Wishes(safety_backup=False))

    assert [] == codes(keys_plan(CASE, into(sentinel=True)))
    assert [] == codes(keys_plan(bare, into(cluster=True, role="replica")))


def test_existing_keys_block_only_where_nothing_may_be_there() -> None:
    """With `fail` one existing key is enough; with `skip` and `replace` it is only counted."""
    held = replace(HELD, moved=KeysMoved(chosen=5, existing=2, written=3))
    blocked = keys_plan(replace(CASE, held=held), TARGET)

    assert ["conflict"] == codes(blocked)
    assert "2 of the 5 chosen keys" in found(blocked, "conflict").message
    for mode in ("skip", "replace"):
        wish = KeysWish(on_conflict=mode)
        assert [] == codes(keys_plan(replace(CASE, wish=wish, held=held), TARGET))


def test_databases_block_only_with_chosen_keys_in_them() -> None:
    """A missing database counts if a chosen key is in it; forced, those keys are left out."""
    held = replace(HELD, databases={0: 3, 20: 2})
    plan = keys_plan(replace(CASE, held=held), TARGET)

    assert ["databases"] == codes(plan)
    assert found(plan, "databases").forcible
    assert "2 of the chosen keys" in found(plan, "databases").message
    none = replace(HELD, databases={0: 3, 20: 0})
    assert [] == codes(keys_plan(replace(CASE, held=none), TARGET))
    assert {0: 0} == databases_of({0: 3, 20: 2}, KeysWish(), SERVER)


def test_cluster_has_one_database() -> None:
    """A cluster takes database 0, or the one that was chosen, which becomes its database 0."""
    cluster = replace(SERVER, cluster=True)

    assert {0: 0} == databases_of({0: 3, 3: 2}, KeysWish(), cluster)
    assert {3: 0} == databases_of({0: 3, 3: 2}, KeysWish(database=3), cluster)


def test_modules_without_values_are_a_warning() -> None:
    """A module that the target lacks does not matter once our engine has loaded all values."""
    plan = keys_plan(replace(CASE, offer=of(modules=("bf",))), TARGET)

    assert [] == codes(plan)
    assert "bf" in found(plan, "modules").message


def test_time_is_that_of_the_load_and_the_rate() -> None:
    """The plan counts with the load it has made and the rate; before a load it does not guess."""
    case = replace(CASE, held=replace(HELD, load_seconds=1.5))
    slow = keys_plan(replace(case, wish=KeysWish(keys_per_second=2)), TARGET)

    assert (4.0, 1.5) == (slow.seconds, keys_plan(case, TARGET).seconds)
    assert "2 keys a second" in slow.seconds_basis
    assert keys_plan(replace(CASE, held=None), TARGET).seconds is None


def test_lost_keys_are_told() -> None:
    """What our engine dropped while it loaded is in the consequences, with its number."""
    plan = keys_plan(replace(CASE, held=replace(HELD, dropped=3)), TARGET)

    assert any(line.startswith("3 keys whose time is over") for line in plan.consequences)
    assert "no-keys" in codes(
        keys_plan(replace(CASE, held=replace(HELD, moved=KeysMoved())), TARGET), "warning"
    )
