"""Which host a cache's next snapshot is expected on: the newest choice that is known."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from events.facts import CacheName, NodeFacts
from events.types import CacheRegistered, SnapshotTaken
from projections.hosts import THIS_HOST, expected_host
from tests.support.given import NOON, At, given
from tests.support.samples import B1, ORDERS, PROBE, SETTINGS, SNAPSHOT, attempted, requested

LATER = NOON + timedelta(hours=1)


def cache(url: str, *, probed: str | None = None) -> CacheRegistered:
    """A cache with that URL, of which a probe chose a node."""
    node = NodeFacts(probed, "replica", "it is in step") if probed else None
    return CacheRegistered(
        cache=ORDERS,
        settings=replace(SETTINGS, url=url),
        probe=replace(PROBE, node=node) if node else None,
    )


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("valkey://Cache-1.example:6379", "cache-1.example"),
        ("valkey://10.0.0.1", "10.0.0.1"),
        ("valkey://[fe80::1]:6379", "fe80::1"),
        ("valkey://127.0.0.9:6379", THIS_HOST),
        ("valkeys://localhost", THIS_HOST),
        ("valkey://[::1]", THIS_HOST),
        ("unix:///run/valkey.sock", THIS_HOST),
    ],
)
def test_without_a_choice_it_is_the_urls(url: str, host: str) -> None:
    """Sockets and loopback addresses are this host, by whatever name."""
    assert expected_host(given(cache(url)), ORDERS) == host


@pytest.mark.parametrize(
    ("address", "host"),
    [("10.0.0.2:6379", "10.0.0.2"), ("[fe80::2]:6379", "fe80::2"), ("/run/v.sock", THIS_HOST)],
)
def test_the_newest_choice_counts(address: str, host: str) -> None:
    """A probe's, until a snapshot's facts name another node."""
    url = "valkey://10.0.0.1"
    assert expected_host(given(cache(url, probed=address)), ORDERS) == host
    taken = replace(
        SNAPSHOT, taken_at=LATER, node=NodeFacts("10.0.0.3:6379", "primary", "no replica fits")
    )
    snapshot = SnapshotTaken(cache=ORDERS, backup_id=B1, snapshot=taken)
    story = (cache(url, probed=address), requested(), attempted(), At(LATER, snapshot))
    assert expected_host(given(*story), ORDERS) == "10.0.0.3"


def test_a_cache_that_is_gone_is_a_host_of_its_own() -> None:
    """What runs for it still has a name, and stands in nobody's way."""
    assert expected_host(given(), CacheName("gone")) == "gone"
