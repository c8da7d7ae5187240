"""Who follows whom, who is fit, and who comes first, from what nodes say of themselves."""

import pytest

from daemon.valkey.topology import (
    Info,
    Listed,
    behind,
    followers,
    follows,
    is_primary,
    rank,
    seen_from,
    unfit,
)

PRIMARY = {
    "role": "master",
    "master_replid": "a" * 40,
    "master_repl_offset": "5000",
    "connected_slaves": "2",
    "slave0": "ip=10.0.0.2,port=6379,state=online,offset=4990,lag=1,type=replica",
    "slave1": "ip=fe80::2,port=6380,state=wait_bgsave,offset=0,lag=0",
}
REPLICA = {
    "role": "slave",
    "master_host": "10.0.0.1",
    "master_port": "6379",
    "master_link_status": "up",
    "master_last_io_seconds_ago": "1",
    "master_sync_in_progress": "0",
    "master_replid": "a" * 40,
    "slave_repl_offset": "4990",
    "slave_priority": "100",
    "slave_read_only": "1",
    "loading": "0",
}
ONLINE = Listed("10.0.0.2", 6379, "online", 1)


def test_a_primary_lists_its_replicas() -> None:
    """Addresses, states and the age of the last word are read, also of IPv6 addresses."""
    assert list(followers(PRIMARY)) == [ONLINE, Listed("fe80::2", 6380, "wait_bgsave", 0)]
    assert follows(PRIMARY) is None
    assert is_primary(PRIMARY)


@pytest.mark.parametrize(
    "line",
    [
        "ip=10.0.0.9,port=0,state=online,offset=0,lag=0",
        "ip=10.0.0.9,port=6379,state=online,offset=0,lag=0,type=rdb-channel",
        "ip=,port=6379,state=online",
        "ip=10.0.0.9,port=70000,state=online",
        "",
    ],
)
def test_what_is_no_place_to_look_at_is_left_out(line: str) -> None:
    """A reader by plain PSYNC, a second channel and nonsense are nobody's replica."""
    assert (
        list(followers({"slave0": line, "slave_priority": "100", "slave_repl_offset": "1"})) == []
    )


def test_a_replica_says_whom_it_follows() -> None:
    """Host and port as it was told them."""
    assert follows(REPLICA) == ("10.0.0.1", 6379)
    assert follows(REPLICA | {"master_port": "0"}) is None


@pytest.mark.parametrize(
    ("host", "teller", "seen"),
    [
        ("10.0.0.2", "10.0.0.1", "10.0.0.2"),
        ("127.0.0.1", "10.0.0.1", "10.0.0.1"),
        ("localhost", "cache.example", "cache.example"),
        ("::1", "10.0.0.1", "10.0.0.1"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
    ],
)
def test_loopback_is_the_host_of_whoever_says_it(host: str, teller: str, seen: str) -> None:
    """A node's own loopback address is never taken for ours, but over a socket it is ours."""
    assert seen_from(host, told_by=teller) == seen


@pytest.mark.parametrize(
    ("differs", "listed", "reason"),
    [
        ({}, ONLINE, None),
        ({}, None, None),
        ({"role": "master"}, ONLINE, "is no replica any more"),
        ({"loading": "1"}, ONLINE, "is still loading its data"),
        ({"master_sync_in_progress": "1"}, ONLINE, "is being synchronised"),
        ({"master_link_status": "down"}, ONLINE, "is not in step with its primary"),
        ({"slave_read_only": "0"}, ONLINE, "takes writes of its own (replica-read-only no)"),
        ({"master_replid": "b" * 40}, ONLINE, "follows another history"),
        ({}, Listed("h", 1, "send_bulk", 0), "is being synchronised (send_bulk)"),
        ({}, Listed("h", 1, "online", 11), "has acknowledged nothing for 11 s"),
    ],
)
def test_what_makes_a_replica_unfit(
    differs: Info, listed: Listed | None, reason: str | None
) -> None:
    """Each trouble alone is enough, and is named in words."""
    assert unfit({**REPLICA, **differs}, PRIMARY, listed) == reason


def test_lag_in_bytes_is_bounded() -> None:
    """Up to 32 MiB behind is in step, one byte more is not; ahead of an old figure is 0."""
    primary = {**PRIMARY, "master_repl_offset": str(4990 + (32 << 20))}
    assert unfit(REPLICA, primary, ONLINE) is None
    primary = {**PRIMARY, "master_repl_offset": str(4990 + (32 << 20) + 1)}
    assert unfit(REPLICA, primary, ONLINE) == "is 32.0 MiB behind"
    assert behind({**REPLICA, "slave_repl_offset": "6000"}, primary=PRIMARY) == 0


def test_without_its_primary_a_replicas_own_word_counts() -> None:
    """Nobody to compare with: then it must have heard from its primary lately."""
    assert unfit(REPLICA, None, None) is None
    silent = {**REPLICA, "master_last_io_seconds_ago": "16"}
    assert unfit(silent, None, None) == "has heard nothing from its primary for 16 s"


def test_the_nearest_comes_first_and_before_it_the_never_promoted() -> None:
    """Priority 0 goes before nearness; among equals the offset decides."""
    near, far = REPLICA, {**REPLICA, "slave_repl_offset": "4000"}
    aside = {**far, "slave_priority": "0"}
    assert sorted([far, aside, near], key=lambda one: rank(one, PRIMARY)) == [aside, near, far]
