"""From what was found to what is told: the doctor's judgement, part by part."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from daemon.answers.doctor import Finding, Grade
from daemon.doctor import cache, engine, host, vault
from daemon.doctor.doctor import ordered
from daemon.doctor.engine import Engines
from daemon.doctor.host import LITTLE_BYTES, TOO_LITTLE_BYTES, Measured, Places
from daemon.doctor.stock import Difference
from daemon.errors import Unavailable
from daemon.storage.inventory import Stock
from daemon.storage.vault import ObjectInfo, ObjectName
from daemon.valkey.engine import Engine
from events.facts import Failure, NodeFacts, Policy, VaultDeed, VaultFault
from events.types import PolicySet
from tests.support.given import NOON, given
from tests.support.samples import B1, B2, MAIN, ORDERS, PROBE, SERVER, complete, registered

OLD = Engine("/usr/bin/valkey-server", None, "valkey", "8.1.8", "system")
SOUND = Engine("/opt/valkey-server", None, "valkey", "9.1.1", "wheel")
REDIS = Engine("/usr/bin/redis-server", None, "redis", "7.0.15", "system")
PLACES = Places("/run/valkeep/valkeep.sock", "/var/lib/valkeep", "events.db")
STATE = given(registered(), *complete(B1), *complete(B2))
CACHE = STATE.caches[ORDERS]
BACKUPS = tuple(STATE.catalog[ORDERS][one] for one in (B1, B2))
THING = ObjectInfo(ObjectName("notes.txt"), 7)


def graded(found: list[Finding] | tuple[Finding, ...]) -> list[tuple[Grade, str]]:
    """What was found, in short; whatever is not ok says what to do."""
    assert all(one.hint for one in found if one.grade != "ok")
    return [(one.grade, one.code) for one in found]


def test_a_sound_engine() -> None:
    """The engine that is used is told with its place and what it reads, and the others after it."""
    used, others = engine.judge(Engines((SOUND, REDIS), (SOUND, REDIS)))

    assert ("ok", "ok") == (used.grade, others.grade)
    assert "valkey 9.1.1 (the wheel's, /opt/valkey-server) reads RDBs of " in used.message
    assert "versions up to 11, and 80: it checks backups while they are made" in used.message
    assert "not used: redis 7.0.15 (the system's, /usr/bin/redis-server)" in others.message


@pytest.mark.parametrize(("found", "why"), [(OLD, "has a known hole"), (REDIS, "no Redis is")])
def test_an_engine_with_a_hole(found: Engine, why: str) -> None:
    """An engine that a stranger's file may take over is a warning that says what is safe."""
    (told,) = engine.judge(Engines((found,), (found,)))

    assert [("warning", "engine-unsound")] == graded([told])
    assert why in told.message
    assert "import no others" in told.hint


def test_no_engine() -> None:
    """Without an engine, or with forbidden ones alone, the proof is less, and why is told."""
    none = list(engine.judge(Engines()))
    forbidden = list(engine.judge(Engines((OLD,), require_sound=True)))

    assert [("warning", "engine-missing")] == graded(none)
    assert "apt-get install valkey-server" in none[0].hint
    assert [("warning", "engine-forbidden")] == graded(forbidden)
    assert "valkey 8.1.8" in forbidden[0].message


@pytest.mark.parametrize(
    ("free_bytes", "door", "told"),
    [
        (LITTLE_BYTES, 0o666, [("ok", "disk"), ("ok", "socket")]),
        (LITTLE_BYTES - 1, 0o666, [("warning", "disk-low"), ("ok", "socket")]),
        (TOO_LITTLE_BYTES - 1, 0o666, [("problem", "disk-full"), ("ok", "socket")]),
        (LITTLE_BYTES, 0o600, [("ok", "disk"), ("warning", "socket")]),
        (LITTLE_BYTES, None, [("ok", "disk"), ("warning", "socket")]),
    ],
)
def test_the_disk_and_the_door(
    free_bytes: int, door: int | None, told: list[tuple[Grade, str]]
) -> None:
    """Little room for the log, and a socket whose mode somebody changed, are told."""
    assert told == graded(list(host.judge(PLACES, Measured(free_bytes, 1, door))))


def test_the_clock() -> None:
    """A clock before the log's beginning is a problem, one before its last record a warning."""
    before = list(host.judge_clock(STATE, NOON - timedelta(days=1)))
    late = replace(STATE, last_at=NOON + timedelta(hours=2))
    now = NOON + timedelta(hours=1)

    assert [("problem", "clock")] == graded(before)
    assert [("warning", "clock")] == graded(list(host.judge_clock(late, now)))
    assert [("ok", "clock")] == graded(list(host.judge_clock(STATE, NOON + timedelta(days=1))))


def test_time_zones() -> None:
    """A policy's zone that the host does not know is a problem that names the caches."""
    policy = Policy(auto=True, timezone="Mars/Olympus")
    lost = given(PolicySet(cache=ORDERS, policy=policy), state=given(registered()))

    told = list(host.judge_zones(lost))

    assert [("problem", "time-zone")] == graded(told)
    assert "no schedule for orders" in told[0].message
    assert [("ok", "time-zones")] == graded(list(host.judge_zones(STATE)))


def test_the_log() -> None:
    """A log that cannot be written is a problem in its own words."""
    trouble = Unavailable("log-unwritable", "The disk is full.", "Make room.")

    assert [] == list(host.judge_log(None))
    assert [("problem", "log-unwritable")] == graded(list(host.judge_log(trouble)))


def test_a_cache_that_is_well() -> None:
    """What it is, its AOF, and by which source and why it would be backed up, are one line."""
    (told,) = cache.judge(CACHE, PROBE, timedelta(seconds=2))

    assert "ok" == told.grade
    assert (
        "valkey 8.1.8, primary with 0 replicas; AOF off; backups by replication, because its file "
        "cannot be read" == told.message
    )


def test_the_node_that_was_chosen() -> None:
    """Where a node was chosen, it is told with the reason."""
    node = NodeFacts("10.0.0.2:6379", "replica", "it is healthy", 0)
    (told,) = cache.judge(CACHE, replace(PROBE, node=node), None)

    assert told.message.endswith("; from 10.0.0.2:6379: it is healthy")


def test_missing_rights() -> None:
    """Missing rights are a problem whose hint is the exact ACL line."""
    line = "ACL SETUSER keeper +psync"
    (told,) = cache.judge(CACHE, replace(PROBE, missing_rights=line), None)

    assert [("problem", "cache-rights")] == graded([told])
    assert f"On the server: {line}" == told.hint


def test_what_else_a_cache_may_lack() -> None:
    """A cluster's node, what it does not tell, and a clock that differs are told beside it."""
    cluster = replace(PROBE, server=replace(SERVER, cluster=True))
    reticent = replace(PROBE, server=replace(SERVER, unknown=("CONFIG GET",)))

    assert ("problem", "topology") in graded(cache.judge(CACHE, cluster, None))
    assert ("warning", "cache-reticent") in graded(cache.judge(CACHE, reticent, None))
    ahead = cache.judge(CACHE, PROBE, timedelta(minutes=-5))
    assert ("warning", "clock-skew") in graded(ahead)
    assert "its clock is 5 min behind ours" == ahead[-1].message


@pytest.mark.parametrize("deed", ["open", "write", "read", "list", "upload", "delete", "sweep"])
def test_a_missing_right_of_a_vault_is_a_problem(deed: VaultDeed) -> None:
    """Whatever a vault refuses is a problem here, though some of it is a warning in `check`."""
    failure = Failure("vault-rights", "403 AccessDenied", "the keys need the permission s3:X")

    told = vault.of_fault(MAIN, VaultFault(deed, failure))

    assert ("problem", "vault-rights") == (told.grade, told.code)
    assert told.message.endswith("(403 AccessDenied)")
    assert failure.hint == told.hint


def test_unknown_objects_and_lost_manifests() -> None:
    """S1: what is unknown is a warning, a manifest that the vault denies a problem.

    One that only the listing lacks is a warning: a short listing proves nothing.
    """
    stock = Stock((THING, THING, THING, THING), whole=True)
    difference = Difference((THING,) * 4, BACKUPS)

    told = list(vault.of_stock(MAIN, stock, difference, BACKUPS[:1]))

    assert [
        ("warning", "vault-unknown-objects"),
        ("problem", "manifest-missing"),
        ("warning", "vault-listing-short"),
    ] == graded(told)
    assert "4 of 4 objects are unknown to the log, 28 bytes" in told[0].message
    assert told[0].message.endswith("notes.txt, notes.txt, notes.txt and 1 more")
    assert f"orders/{BACKUPS[1].name}" in told[2].message
    assert "proves nothing" in told[2].hint


def test_the_worst_comes_first() -> None:
    """Problems come before warnings, and within a grade the host before vaults and caches."""
    found = [
        Finding("ok", "host", "a"),
        Finding("problem", "cache", "b", "users", "do"),
        Finding("warning", "engine", "c", None, "do"),
        Finding("problem", "vault", "d", "main", "do"),
        Finding("problem", "cache", "e", "orders", "do"),
    ]

    assert ["d", "e", "b", "c", "a"] == [one.message for one in ordered(found)]
