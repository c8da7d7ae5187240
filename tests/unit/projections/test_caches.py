"""Caches as the log knows them."""

from events.types import CacheReconfigured, CacheRegistered, CacheRemoved, CacheSuspended
from tests.support.given import NOON, At, given
from tests.support.samples import ORDERS, OTHER_SETTINGS, PROBE, SETTINGS, SOON, registered


def test_registered_cache_is_known() -> None:
    """A registered cache has its settings, and the instant since when it is known (C2)."""
    cache = given(At(SOON, registered())).caches[ORDERS]

    assert (SETTINGS, SOON) == (cache.settings, cache.added_at)
    assert cache.probe is None
    assert cache.suspended is None


def test_probe_is_kept_with_its_instant() -> None:
    """What was found when a cache was added is kept, with the instant it was found (C2)."""
    event = CacheRegistered(cache=ORDERS, settings=SETTINGS, probe=PROBE)

    cache = given(At(NOON, event)).caches[ORDERS]

    assert (PROBE, NOON) == (cache.probe, cache.probed_at)


def test_change_without_probe_keeps_the_last_one() -> None:
    """A change that was not probed keeps what the last probe found, and when."""
    first = CacheRegistered(cache=ORDERS, settings=SETTINGS, probe=PROBE)
    change = CacheReconfigured(cache=ORDERS, settings=OTHER_SETTINGS)

    cache = given(At(NOON, first), At(SOON, change)).caches[ORDERS]

    assert cache.settings == OTHER_SETTINGS
    assert (PROBE, NOON) == (cache.probe, cache.probed_at)


def test_change_ends_a_suspension() -> None:
    """A suspended cache that is changed is in service again (C3)."""
    suspended = given(
        registered(declared=True), CacheSuspended(cache=ORDERS, reason="it is not declared")
    )
    assert suspended.caches[ORDERS].suspended == "it is not declared"

    changed = given(CacheReconfigured(cache=ORDERS, settings=SETTINGS), state=suspended)

    assert changed.caches[ORDERS].suspended is None
    assert not changed.caches[ORDERS].declared


def test_removed_cache_is_unknown() -> None:
    """A removed cache is no longer known, and can be registered afresh."""
    removed = given(registered(declared=True), CacheRemoved(cache=ORDERS))
    assert ORDERS not in removed.caches

    assert not given(registered(), state=removed).caches[ORDERS].declared
