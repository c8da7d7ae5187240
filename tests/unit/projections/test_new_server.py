"""The plan of a restore into a new server: each finding with its figures, none without cause."""

import msgspec
import pytest
from hypothesis import given, strategies

from events.facts import Finding, RdbTotals, SnapshotFacts
from projections.capacity import Capacity, capacity
from projections.new_server import Program, Site, databases, findings, writes_aof
from tests.support.samples import SERVER, SNAPSHOT, STORED

FINE = Site(
    program=Program("valkey", "8.1.8"), memory_bytes=10**9, where="this host", disk_bytes=10**9
)
SNAP = msgspec.structs.replace(SNAPSHOT, rdb_version=11)


def of(site: Site = FINE, snapshot: SnapshotFacts | None = SNAP) -> tuple[Finding, ...]:
    """The findings for the sample backup."""
    return findings(snapshot, STORED, site)


def changed(site: Site = FINE, **fields: object) -> Site:
    """A site that differs in these."""
    return msgspec.structs.replace(site, **fields)


def server(**fields: object) -> SnapshotFacts:
    """The sample, of a server that differs in these."""
    return msgspec.structs.replace(SNAP, server=msgspec.structs.replace(SERVER, **fields))


def test_a_good_place_has_no_findings() -> None:
    """Where everything fits there is nothing to say."""
    assert () == of()


@pytest.mark.parametrize(
    ("site", "code", "told", "forcible"),
    [
        (changed(directory_trouble="X is not empty."), "directory", "X is not empty.", False),
        (changed(port_trouble="Port 1 is taken."), "port", "Port 1 is taken.", False),
        (changed(program=Program("redis", "7.0.15")), "rdb-version", "is 11", False),
        (changed(program=Program("valkey", "7.2.5")), "engine-version", "older", True),
        (changed(memory_bytes=999_999), "memory", "1,000,000 bytes of memory", True),
        (changed(disk_bytes=99), "disk", "has 100 bytes", True),
    ],
)
def test_each_trouble_is_a_blocker(site: Site, code: str, told: str, forcible: bool) -> None:  # noqa: FBT001
    """A blocker tells the figures it comes from, and whether it may be overridden."""
    found = next(finding for finding in of(site) if finding.code == code)

    assert ("blocker", forcible) == (found.level, found.forcible)
    assert told in found.message
    assert found.hint or code == "engine-version"


def test_modules_are_named() -> None:
    """Recorded modules block, and the hint says how to name them in the start command."""
    (found,) = of(snapshot=server(modules=("bf", "json")))

    assert ("modules", "blocker", True) == (found.code, found.level, found.forcible)
    assert "bf, json" in found.message
    assert "--loadmodule" in found.hint


def test_an_unknown_engine_is_only_warned_of() -> None:
    """A start command whose engine cannot be asked may be anything: a warning."""
    (found,) = of(changed(program=None))

    assert ("rdb-version", "warning") == (found.code, found.level)


def test_a_newer_engine_is_a_warning() -> None:
    """An engine newer than the backup's reads it."""
    (found,) = of(changed(program=Program("valkey", "9.0.0")))

    assert ("engine-version", "warning") == (found.code, found.level)


def test_an_append_only_file_needs_its_room() -> None:
    """With AOF the disk must take the data twice, and the figure says so."""
    snapshot = server(aof=True)

    assert writes_aof(snapshot.server)
    assert [] == [f for f in of(changed(disk_bytes=200), snapshot) if f.code == "disk"]
    (found,) = of(changed(disk_bytes=199), snapshot)
    assert "append-only file as large beside it" in found.message


def test_a_directory_that_others_may_read_is_told_of() -> None:
    """What the server writes there could be read: a warning with the mode."""
    (found,) = of(changed(directory_mode=0o750))

    assert ("directory", "warning") == (found.code, found.level)
    assert "mode 0750" in found.message


def test_blockers_come_first() -> None:
    """What stops is told before what warns."""
    site = changed(program=Program("valkey", "9.0.0"), port_trouble="Port 1 is taken.")

    assert ["blocker", "warning"] == [finding.level for finding in of(site)]


def test_databases_are_enough_for_the_highest() -> None:
    """As many databases as there were, and one more than the highest with keys."""
    totals = RdbTotals(keys=1, expires=0, highest_database=30, by="valkey 8.1.8")
    high = msgspec.structs.replace(STORED, totals=totals)

    assert 16 == databases(SNAP, STORED)
    assert 31 == databases(SNAP, high)
    assert 31 == databases(None, high)
    assert 16 == databases(None, STORED)


def test_capacity_is_what_the_source_used() -> None:
    """The recorded memory counts; where none was recorded the RDB is the measure, and said so."""
    assert Capacity(1_000_000) == capacity(SNAP, STORED)
    for nobody in (None, server(used_memory_bytes=0)):
        assert Capacity(400, estimated=True) == capacity(nobody, STORED)


@given(
    memory=strategies.integers(0, 2_000_000),
    more=strategies.integers(0, 2_000_000),
    plain=strategies.integers(0, 10_000),
)
def test_more_room_never_adds_a_blocker(memory: int, more: int, plain: int) -> None:
    """More memory and disk can only take findings away."""
    stored = msgspec.structs.replace(STORED, plain_bytes=plain)
    small = findings(SNAP, stored, changed(memory_bytes=memory, disk_bytes=memory))
    large = findings(SNAP, stored, changed(memory_bytes=memory + more, disk_bytes=memory + more))

    assert {f.code for f in large} <= {f.code for f in small}


def test_figures_that_nobody_tells_block_nothing() -> None:
    """A host that does not tell its memory or disk is not taken for a small one."""
    assert () == of(changed(memory_bytes=None, disk_bytes=None))
