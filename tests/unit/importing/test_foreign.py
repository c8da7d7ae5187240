"""What an imported RDB tells of itself, and why some are refused."""

import pytest
from msgspec.structs import replace

from daemon.actors.importing.foreign import created_at, oldest_release, server_facts
from daemon.actors.importing.refusal import check_version, explained, no_engine, no_rdb
from daemon.errors import Permanent
from daemon.valkey.engine import Engine
from daemon.valkey.rdb import Header
from events.facts import Failure, Receipt
from projections.imports import ESTIMATED, Origin, estimated_memory, settled_memory
from tests.support.samples import SNAPSHOT

VALKEY_8 = Engine("/valkey-server", None, "valkey", "8.1.8", "system")
REDIS_7 = Engine("/redis-server", None, "redis", "7.0.15", "system")


def test_header_fields_are_believed() -> None:
    """Engine, version and memory are taken from the fields of the RDB, where they are."""
    header = Header(11, {"valkey-ver": "8.0.1", "used-mem": "123456", "ctime": "1700000000"})
    facts = server_facts(header, 1_000)
    assert ("valkey", "8.0.1", 123_456) == (facts.engine, facts.version, facts.used_memory_bytes)
    assert ESTIMATED not in facts.unknown
    made = created_at(header)
    assert made is not None
    assert 1_700_000_000 == made.timestamp()


def test_what_is_not_told_is_estimated_and_named() -> None:
    """Without fields the memory is estimated from the size, and what is not known is named."""
    facts = server_facts(Header(4, {}), 1_000_000)
    assert estimated_memory(1_000_000) == facts.used_memory_bytes > 4_000_000
    assert ("redis", "2.4") == (facts.engine, facts.version)
    assert {ESTIMATED, "CONFIG GET", "MODULE LIST"} < set(facts.unknown)
    assert created_at(Header(4, {})) is None


def test_load_settles_what_was_estimated() -> None:
    """A receipt of a load tells the memory that an import takes; what a server told stays."""
    loaded = Receipt("loaded", 1, 1, 1.0, used_memory_bytes=777)
    guessed = replace(SNAPSHOT, server=server_facts(Header(4, {}), 1_000))
    settled = settled_memory(guessed, loaded)
    assert 777 == settled.server.used_memory_bytes
    assert ESTIMATED not in settled.server.unknown
    assert guessed == settled_memory(guessed, None)
    assert SNAPSHOT == settled_memory(SNAPSHOT, loaded)


@pytest.mark.parametrize("ctime", ["-1", "0", "99999999999999999999", "soon", ""])
def test_impossible_instant_is_none(ctime: str) -> None:
    """A time of creation that cannot be one is as good as none."""
    assert created_at(Header(9, {"ctime": ctime})) is None


def test_hostile_fields_do_not_get_far() -> None:
    """Fields of other people are numbers, versions and short texts, or nothing."""
    fields = {"redis-ver": "\x1b[31m" * 99, "used-mem": "-5", "repl-id": "x" * 999}
    facts = server_facts(Header(9, {**fields, "repl-offset": "-7"}), 10)
    assert ("5.0", 0, 40) == (facts.version, facts.replication_offset, len(facts.replication_id))
    assert facts.used_memory_bytes == estimated_memory(10)


@pytest.mark.parametrize(
    ("version", "release"), [(1, "2.4"), (5, "2.6"), (9, "5.0"), (12, "7.4"), (99, "8.8")]
)
def test_version_tells_the_oldest_engine(version: int, release: str) -> None:
    """An RDB that does not name its engine is of the first release that wrote its version."""
    assert release == oldest_release("redis", version)


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"\x28\xb5\x2f\xfd....", "zstd"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"age-encryption.org/v1\n", "age"),
        (b"*2\r\n$6\r\nSELECT\r\n", "append-only"),
        (b"file appendonly.aof.1.base.rdb seq 1 type b\n", "append-only"),
        (b"", "empty"),
        (b"root:x:0:0", "REDIS or VALKEY"),
    ],
)
def test_other_things_are_called_by_their_names(head: bytes, what: str) -> None:
    """What is no RDB is refused by what it is, with what to do."""
    refused = no_rdb("/srv/x", head)
    assert "rdb-type" == refused.code
    assert what in refused.message
    assert refused.hint


@pytest.mark.parametrize(
    ("engine", "version"), [(VALKEY_8, 12), (VALKEY_8, 80), (VALKEY_8, 79), (REDIS_7, 11)]
)
def test_version_that_the_engine_does_not_read_is_refused(engine: Engine, version: int) -> None:
    """A version is refused by name, with those that the engine reads."""
    with pytest.raises(Permanent) as refused:
        check_version("s3://b/k", version, engine)
    assert "rdb-version" == refused.value.code
    assert f"version {version}" in refused.value.message
    assert engine.label in refused.value.message


def test_versions_that_the_engine_reads_pass() -> None:
    """Every version from the first to the engine's own is let through."""
    for version in range(1, 12):
        check_version("s3://b/k", version, VALKEY_8)


def test_no_engine_means_no_import() -> None:
    """Without an engine, or without one that is sound where that is demanded, all is refused."""
    assert ("engine-missing", "engine-unsound") == (no_engine(()).code, no_engine([VALKEY_8]).code)


def test_failure_is_told_as_of_the_source() -> None:
    """A failure of the bytes names their source; others stay as they were."""
    origin = Origin("file", "file:///tmp/x.rdb")
    cut = explained(Failure("rdb-truncated", "The RDB has no end.", "the server's log"), origin)
    assert cut.permanent
    assert cut.message.startswith("file:///tmp/x.rdb cannot be imported: the RDB")
    assert "server's log" not in cut.hint
    other = Failure("vault-full", "Full.", "Make room.")
    assert other == explained(other, origin)
