"""What a fork may need, from what a server says; golden cases with their figures."""

import pytest

from daemon.errors import Transient
from daemon.valkey.fork import Load, Room, doubt, load, need, refuse_unbearable

MB, GB = 1_000_000, 1_000_000_000
IDLE = Load(
    used_bytes=10 * GB,
    system_bytes=16 * GB,
    last_copied_bytes=None,
    last_seconds=None,
    changes_per_second=0,
    input_bytes_per_second=0,
)


def of(**differs: float | None) -> Load:
    """The idle server, but for this."""
    whole = {name: getattr(IDLE, name) for name in IDLE.__struct_fields__}
    return Load(**(whole | differs))


@pytest.mark.parametrize(
    ("given", "needed_bytes", "why"),
    [
        # Only page tables: a 512th.
        (IDLE, 19_531_250, "its last fork had 0 bytes copied"),
        # What the last one cost, though nothing is written now.
        (
            of(last_copied_bytes=3 * GB, last_seconds=30),
            3_019_531_250,
            "its last fork had 2.8 GiB copied",
        ),
        # No more than there is now.
        (
            of(used_bytes=GB, last_copied_bytes=3 * GB, last_seconds=30),
            1_001_953_125,
            "its last fork had 953.7 MiB copied",
        ),
        # A page for each change in the 100 s that 10 GB take.
        (
            of(changes_per_second=10_000),
            4_096_000_000 + 19_531_250,
            "39.1 MiB a second are written in the 100 s that it may live",
        ),
        # Every page at most, and what comes in on top.
        (
            of(changes_per_second=1e6, input_bytes_per_second=50 * MB),
            10 * GB + 5 * GB + 19_531_250,
            "143.1 MiB a second are written in the 100 s that it may live",
        ),
        # The last fork's life counts, but none is faster than 500 MB/s.
        (
            of(changes_per_second=10_000, last_seconds=1),
            819_200_000 + 19_531_250,
            "39.1 MiB a second are written in the 20 s that it may live",
        ),
    ],
)
def test_what_a_fork_may_need(given: Load, needed_bytes: int, why: str) -> None:
    """The larger of the last one's cost and the writes of its lifetime, and page tables."""
    reckoned = need(given)
    assert (reckoned.needed_bytes, reckoned.why) == (needed_bytes, why)


def test_a_load_is_read_from_info() -> None:
    """Changes are averaged since the last save, and are no more than commands run now."""
    info = {
        "used_memory": "1000000",
        "total_system_memory": "8000000",
        "rdb_last_cow_size": "4096",
        "rdb_last_bgsave_time_sec": "3",
        "rdb_changes_since_last_save": "50000",
        "rdb_last_save_time": "1000",
        "server_time_usec": "1100000000",
        "instantaneous_ops_per_sec": "700",
        "instantaneous_input_kbps": "1.50",
        "instantaneous_input_repl_kbps": "0.50",
    }
    assert load(info) == Load(1_000_000, 8_000_000, 4096, 3, 500.0, 2048.0)
    assert load(info | {"instantaneous_ops_per_sec": "20"}).changes_per_second == 20
    never = load(info | {"rdb_last_bgsave_time_sec": "-1", "rdb_last_cow_size": "0"})
    assert (never.last_copied_bytes, never.last_seconds) == (None, None)
    assert load({}) == Load(0, 0, None, None, 0, 0)


def test_what_cannot_be_borne_is_refused_with_the_figures() -> None:
    """To the byte: what is there just suffices, one byte less does not."""
    needed = need(IDLE).needed_bytes
    refuse_unbearable(IDLE, Room(needed, "this host"), "10.0.0.1:6379")
    with pytest.raises(Transient) as raised:
        refuse_unbearable(IDLE, Room(needed - 1, "this host"), "10.0.0.1:6379")
    assert raised.value.code == "memory"
    assert raised.value.message == (
        "10.0.0.1:6379 holds 9.3 GiB, and its fork may need 18.6 MiB more (its last fork had "
        "0 bytes copied), but 18.6 MiB can be had on this host"
    )
    assert "check_memory" in raised.value.hint


def test_a_far_host_is_doubted_by_its_size_alone() -> None:
    """Where only the host's whole memory is known there is a warning, never a refusal."""
    assert doubt(IDLE) is None
    assert doubt(of(system_bytes=0, last_copied_bytes=9 * GB, last_seconds=9)) is None
    told = doubt(of(last_copied_bytes=9 * GB, last_seconds=9))
    assert told is not None
    assert "its host has 14.9 GiB in all" in told
