"""The plan of a restore, finding by finding (R2): what is found, and with which figures."""

from datetime import UTC, datetime
from typing import Literal

import pytest
from msgspec.structs import replace

from events.facts import (
    Finding,
    RdbTotals,
    RestorePlan,
    ServerFacts,
    SnapshotFacts,
    StoredFacts,
    TargetFacts,
    TrialFacts,
)
from projections.rdb_versions import reads
from projections.restore_plan import Offer, Wishes, restore_plan

MB = 1_000_000
SERVER = ServerFacts(
    engine="valkey",
    version="8.1.8",
    run_id="r" * 40,
    role="primary",
    replication_id="1" * 40,
    replication_offset=100,
    replicas=0,
    used_memory_bytes=100 * MB,
    maxmemory_bytes=0,
    system_memory_bytes=1_000 * MB,
    databases=16,
    keys={0: 10, 3: 5},
    aof=False,
    cluster=False,
    settings={
        "save": "3600 1",
        "maxmemory-policy": "noeviction",
        "hash-max-listpack-entries": "512",
        "min-replicas-to-write": "0",
        "min-replicas-max-lag": "10",
        "replica-read-only": "yes",
        "timeout": "0",
    },
)
SNAPSHOT = SnapshotFacts(
    server=SERVER,
    source="bgsave",
    reason="",
    rdb_version=11,
    taken_at=datetime(2030, 5, 17, 12, tzinfo=UTC),
)
STORED = StoredFacts(
    plain_bytes=50 * MB,
    stored_bytes=20 * MB,
    sha256="",
    manifest_sha256="",
    blocks=3,
    totals=RdbTotals(keys=15, expires=2, highest_database=3, by="valkey 8.1.8"),
)
OFFER = Offer(SNAPSHOT, STORED)
TARGET = TargetFacts(server=SERVER, trial=TrialFacts("reached"))


def into(**changes: object) -> TargetFacts:
    """A target whose server differs in these fields."""
    return replace(TARGET, server=replace(SERVER, **changes))


def of(**changes: object) -> Offer:
    """A backup whose server differed in these fields."""
    return Offer(replace(SNAPSHOT, server=replace(SERVER, **changes)), STORED)


def with_settings(**changes: str) -> dict[str, str]:
    """The server's settings with these, ``_`` for ``-``."""
    return SERVER.settings | {name.replace("_", "-"): value for name, value in changes.items()}


def plan(offer: Offer = OFFER, target: TargetFacts = TARGET, *, safety: bool = True) -> RestorePlan:
    """The plan for these two."""
    return restore_plan(offer, target, Wishes(safety_backup=safety))


def found(code: str, plan: RestorePlan) -> list[tuple[str, bool]]:
    """Level and forcibility of each finding of this code."""
    return [(one.level, one.forcible) for one in plan.findings if one.code == code]


def only(code: str, plan: RestorePlan) -> Finding:
    """The one finding of this code."""
    (finding,) = (one for one in plan.findings if one.code == code)
    return finding


BLOCKED = [("blocker", False)]
FORCIBLE = [("blocker", True)]
WARNED = [("warning", False)]


def test_a_fitting_target_has_only_the_word_on_durability() -> None:
    """Same engine, enough room, all rights: nothing but how durable the result will be."""
    assert ["persistence"] == [finding.code for finding in plan().findings]


@pytest.mark.parametrize(
    ("engine", "version", "rdb_version", "expected"),
    [
        ("redis", "6.2.14", 9, True),
        ("redis", "6.2.14", 10, False),
        ("redis", "7.0.15", 10, True),
        ("redis", "7.0.15", 11, False),
        ("redis", "7.2.4", 11, True),
        ("redis", "7.4.1", 12, True),
        ("redis", "8.4.0", 13, False),
        ("redis", "8.6.0", 13, True),
        ("redis", "8.8.0", 14, True),
        ("redis", "8.8.0", 80, False),
        ("valkey", "7.2.5", 11, True),
        ("valkey", "8.1.8", 11, True),
        ("valkey", "8.1.8", 12, False),
        ("valkey", "8.1.8", 80, False),
        ("valkey", "9.0.5", 80, True),
        ("valkey", "9.0.5", 11, True),
        ("valkey", "9.1.1", 12, False),
        ("valkey", "9.1.1", 79, False),
        ("valkey", "9.0.5", 81, False),
    ],
)
def test_engines_read_what_their_releases_say(
    engine: Literal["valkey", "redis"], version: str, rdb_version: int, *, expected: bool
) -> None:
    """Each release reads its own RDB version and the older ones of its family, no others."""
    assert expected is reads(engine, version, rdb_version)
    offer = Offer(replace(SNAPSHOT, rdb_version=rdb_version), STORED)
    blocked = found("rdb-version", plan(offer, into(engine=engine, version=version)))
    assert blocked == ([] if expected else BLOCKED)


def test_an_unreadable_version_names_both_sides() -> None:
    """The message has the backup's version and what the target reads up to."""
    finding = only("rdb-version", plan(target=into(engine="redis", version="7.0.15")))
    assert "RDB version is 11 (from valkey 8.1.8)" in finding.message
    assert "redis 7.0.15, reads up to 10" in finding.message


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("8.0.9", FORCIBLE),
        ("7.2.4", FORCIBLE),
        ("8.1.0", []),
        ("8.1.99", []),
        ("8.2.0", WARNED),
        ("9.0.0", WARNED),
    ],
)
def test_engine_versions_compare_by_major_and_minor(
    version: str, expected: list[tuple[str, bool]]
) -> None:
    """An older target blocks unless forced, a newer one is mentioned, patches do not count."""
    assert expected == found("engine-version", plan(target=into(version=version)))


@pytest.mark.parametrize(
    ("maxmemory", "expected"), [(0, []), (100 * MB, []), (100 * MB - 1, FORCIBLE)]
)
def test_maxmemory_must_hold_the_backup(maxmemory: int, expected: list[tuple[str, bool]]) -> None:
    """A limit just as large as the recorded memory fits, one byte less does not."""
    assert expected == found("memory", plan(target=into(maxmemory_bytes=maxmemory)))


@pytest.mark.parametrize(
    ("system", "own_mode", "mode", "expected"),
    [
        (200 * MB, "swapdb", "swapdb", []),
        (200 * MB - 1, "swapdb", "disabled", []),
        (100 * MB, "swapdb", "disabled", []),
        (100 * MB - 1, "swapdb", "disabled", FORCIBLE),
        (100 * MB, "disabled", "disabled", []),
        (100 * MB - 1, "disabled", "disabled", FORCIBLE),
        (0, "swapdb", "swapdb", []),
        (1_000 * MB, "on-empty-db", "disabled", []),
        (1_000 * MB, "flush-before-load", "disabled", []),
    ],
)
def test_the_load_mode_follows_the_room(
    system: int, own_mode: str, mode: str, expected: list[tuple[str, bool]]
) -> None:
    """The target's own mode is kept where it just fits; what fits in none blocks."""
    target = replace(into(system_memory_bytes=system), load_mode=own_mode)
    made = plan(target=target)

    assert mode == made.load_mode
    assert expected == found("memory", made)


def test_a_backup_without_recorded_memory_is_not_guessed_at() -> None:
    """An imported backup has no figure for its memory, and none is made up."""
    assert [] == found("memory", plan(of(used_memory_bytes=0), into(maxmemory_bytes=1)))


@pytest.mark.parametrize(("databases", "expected"), [(4, []), (3, BLOCKED), (1, BLOCKED)])
def test_the_highest_database_must_exist(databases: int, expected: list[tuple[str, bool]]) -> None:
    """The RDB's own highest database counts, to the last one that just exists."""
    assert expected == found("databases", plan(target=into(databases=databases)))


@pytest.mark.parametrize(("databases", "expected"), [(16, []), (15, BLOCKED)])
def test_an_unread_backup_needs_all_databases_of_its_server(
    databases: int, expected: list[tuple[str, bool]]
) -> None:
    """Where nobody counted, the source's own number of databases is what is certain."""
    offer = Offer(SNAPSHOT, replace(STORED, totals=None, unread="no engine is installed"))
    assert expected == found("databases", plan(offer, into(databases=databases)))


def test_modules_must_be_there_by_name() -> None:
    """A recorded module that the target lacks blocks, whatever its case; others do not."""
    offer = of(modules=("bf", "search"))

    assert [] == found("modules", plan(offer, into(modules=("SEARCH", "bf", "more"))))
    missing = plan(offer, into(modules=("bf",)))
    assert BLOCKED == found("modules", missing)
    assert "search" in only("modules", missing).message
    assert WARNED == found("modules", plan(offer, into(unknown=("MODULE LIST",))))


def test_a_replica_is_never_a_target() -> None:
    """A replica's data is its primary's: blocked, and not to be forced."""
    assert BLOCKED == found("replica", plan(target=into(role="replica")))


@pytest.mark.parametrize("field", ["cluster", "sentinel"])
def test_clusters_and_sentinels_are_refused_by_name(field: str) -> None:
    """A cluster's node and a server watched by Sentinel are blocked, and not to be forced."""
    assert BLOCKED == found("topology", plan(target=into(**{field: True})))


def test_missing_rights_come_with_the_line_that_grants_them() -> None:
    """The hint of `auth` is the exact command to type."""
    line = "ACL SETUSER keeper +replicaof"
    finding = only("auth", plan(target=replace(TARGET, rights=line)))
    assert ("blocker", False) == (finding.level, finding.forcible)
    assert finding.hint.endswith(line)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [("reached", []), ("not-needed", []), ("failed", BLOCKED), ("not-tried", WARNED)],
)
def test_the_trial_decides_on_the_listener(
    outcome: Literal["reached", "failed", "not-needed", "not-tried"],
    expected: list[tuple[str, bool]],
) -> None:
    """A failed trial blocks, one that could not be made warns, with the reason in both."""
    made = plan(target=replace(TARGET, trial=TrialFacts(outcome, "because so")))

    assert expected == found("listener", made)
    assert all("because so" in one.message for one in made.findings if one.code == "listener")


def test_settings_that_matter_are_listed_one_by_one() -> None:
    """Each differing setting that changes meaning or fit is its own warning; others are not."""
    settings = with_settings(
        maxmemory_policy="allkeys-lru", hash_max_listpack_entries="64", timeout="300", save=""
    )
    made = plan(target=into(settings=settings, maxmemory_bytes=500 * MB))

    messages = [one.message for one in made.findings if one.code == "parameters"]
    assert WARNED * 3 == found("parameters", made)
    assert ["hash-max-listpack-entries", "maxmemory-policy", "maxmemory"] == [
        message.split()[0] for message in messages
    ]
    assert "was noeviction and is allkeys-lru" in messages[1]
    assert "unlimited and is 500,000,000 bytes" in messages[2]


@pytest.mark.parametrize(
    ("aof", "save", "mode", "drops", "expected"),
    [
        (True, "3600 1", "disabled", False, "append-only file"),
        (True, "", "swapdb", True, "append-only file"),
        (False, "", "disabled", False, "durable as soon as it is served"),
        (False, "3600 1", "disabled", True, "durable as soon as it is served"),
        (False, "", "disabled", True, "memory only"),
        (False, "3600 1", "swapdb", False, "BGSAVE"),
        (False, "", "swapdb", False, "an old RDB file would return"),
    ],
)
def test_durability_is_told_for_each_kind_of_target(
    *, aof: bool, save: str, mode: str, drops: bool, expected: str
) -> None:
    """The sentence fits AOF, save points and load mode (R6)."""
    target = replace(
        into(aof=aof, settings=with_settings(save=save)), load_mode=mode, drops_rdb=drops
    )
    finding = only("persistence", plan(target=target))
    assert ("warning", True) == (finding.level, expected in finding.message)


def test_blockers_come_first() -> None:
    """Whoever reads the plan meets what stops it before what is only worth knowing."""
    target = replace(into(role="replica", databases=1, aof=True), load_mode="swapdb")
    levels = [finding.level for finding in plan(target=target).findings]
    assert levels == sorted(levels)
    assert "blocker" == levels[0]


@pytest.mark.parametrize(
    ("keys", "wanted", "expected"),
    [({0: 1}, True, True), ({0: 1}, False, False), ({}, True, False)],
)
def test_a_safety_backup_is_made_of_data_only(
    keys: dict[int, int], *, wanted: bool, expected: bool
) -> None:
    """There is a safety backup if one is wanted and there is something to save (R4)."""
    made = plan(target=into(keys=keys), safety=wanted)
    assert (expected, sum(keys.values())) == (made.safety_backup, made.target_keys)


def test_what_to_type_puts_every_old_value_back() -> None:
    """The lines for a dead host end replication first and give writes back last but one."""
    settings = with_settings(
        min_replicas_to_write="2", min_replicas_max_lag="0", replica_read_only="no"
    )
    target = replace(into(settings=settings), load_mode="on-empty-db")

    assert plan(target=target).by_hand == (
        "REPLICAOF NO ONE",
        "CONFIG SET repl-diskless-load on-empty-db",
        "CONFIG SET replica-read-only no",
        "CONFIG SET min-replicas-max-lag 0",
        "CONFIG SET min-replicas-to-write 2",
        'CONFIG SET masterauth ""',
    )
    own = replace(TARGET, one_time_password=False)
    assert plan(target=own).by_hand == ("REPLICAOF NO ONE", "CONFIG SET min-replicas-to-write 0")


def test_clients_are_told_of_replicas_only_where_there_are_any() -> None:
    """Replicas that load everything anew are mentioned with their number."""
    assert not any("resynchronization" in line for line in plan().clients)
    assert any("2 replicas" in line for line in plan(target=into(replicas=2)).clients)


def test_a_trial_in_tls_is_told_with_its_own_hint_and_its_undoing() -> None:
    """Where the way is tried later, the plan says so, and what to type if we die meanwhile."""
    later = TrialFacts("not-tried", "MIGRATE speaks otherwise", "it is tried when it has begun")
    made = plan(target=replace(TARGET, trial=later, tls_trial=True))

    hints = [finding.hint for finding in made.findings if finding.code == "listener"]
    assert ["it is tried when it has begun"] == hints
    assert "CONFIG SET tls-cluster no" in made.by_hand
    assert "CONFIG SET tls-cluster no" not in plan(target=TARGET).by_hand
