"""What INFO says becomes facts, whichever engine said it."""

import pytest

from daemon.errors import Permanent
from daemon.valkey.info import Extras, fields, pairs, saving, server_facts
from daemon.valkey.probe import RdbFile, choose
from events.facts import ServerFacts

VALKEY = """# Server\r
redis_version:7.2.4\r
server_name:valkey\r
valkey_version:8.1.8\r
server_mode:standalone\r
run_id:112e08b2\r
# Memory\r
used_memory:1000\r
maxmemory:2000\r
total_system_memory:3000\r
# Persistence\r
rdb_bgsave_in_progress:0\r
rdb_last_save_time:1795368906\r
rdb_last_bgsave_status:ok\r
rdb_saves:4\r
rdb_last_cow_size:335872\r
aof_enabled:1\r
aof_rewrite_in_progress:1\r
# Replication\r
role:slave\r
master_link_status:up\r
connected_slaves:2\r
master_replid:76a8a118\r
master_repl_offset:56\r
# Cluster\r
cluster_enabled:0\r
# Keyspace\r
db3:keys=7,expires=1,avg_ttl=0,subexpiry=0\r
db0:keys=400000,expires=0,avg_ttl=0\r
"""


def facts_of(text: str) -> ServerFacts:
    """The facts of a recorded INFO."""
    return server_facts(fields(text), Extras(databases=16))


def test_facts_are_the_servers_words() -> None:
    """Engine, role, memory, replication and keys per database are read as they are."""
    facts = facts_of(VALKEY)
    assert (facts.engine, facts.version, facts.run_id) == ("valkey", "8.1.8", "112e08b2")
    assert (facts.role, facts.replicas) == ("replica", 2)
    assert (facts.replication_id, facts.replication_offset) == ("76a8a118", 56)
    assert facts.used_memory_bytes == 1000
    assert facts.maxmemory_bytes == 2000
    assert facts.system_memory_bytes == 3000
    assert facts.keys == {0: 400_000, 3: 7}
    assert facts.aof
    assert not facts.cluster


def test_redis_is_told_from_valkey() -> None:
    """A server without a Valkey version is a Redis, and a cluster's node says so."""
    facts = facts_of("redis_version:6.2.14\r\nrole:master\r\ncluster_enabled:1\r\n")
    assert (facts.engine, facts.version, facts.role) == ("redis", "6.2.14", "primary")
    assert facts.cluster


def test_sentinel_is_no_cache() -> None:
    """A Sentinel answers INFO too, and is refused by name."""
    with pytest.raises(Permanent, match="Sentinel"):
        facts_of("redis_version:7.0.15\r\nredis_mode:sentinel\r\n")


def test_state_of_saves() -> None:
    """A save is told from another child, and a server that does not count says None."""
    state = saving(fields(VALKEY))
    assert not state.running
    assert state.child
    assert state.ok
    assert (state.last_save, state.saves, state.copy_on_write_bytes) == (1795368906, 4, 335872)
    older = saving(fields("rdb_bgsave_in_progress:1\r\nrdb_last_bgsave_status:err\r\n"))
    assert (older.running, older.ok, older.saves) == (True, False, None)


def test_flat_arrays_become_pairs() -> None:
    """CONFIG GET's RESP2 form is read as names with values."""
    assert pairs(["dir", "/data", "save", ""]) == {"dir": "/data", "save": ""}


def test_auto_takes_the_file_when_it_can_be_read() -> None:
    """The choice follows what can be read, says why, and obeys a wish."""
    facts = facts_of(VALKEY)
    readable = RdbFile(None, readable=True, reason="the daemon can read /data/dump.rdb")
    foreign = RdbFile(None, readable=False, reason="the server runs on another host")
    assert choose(facts, readable, "auto").source == "bgsave"
    assert choose(facts, readable, "auto").reason == "the daemon can read /data/dump.rdb"
    assert choose(facts, foreign, "auto").source == "replication"
    assert choose(facts, foreign, "auto").reason == "the server runs on another host"
    assert choose(facts, foreign, "bgsave").source == "bgsave"
    assert choose(facts, readable, "replication").source == "replication"
