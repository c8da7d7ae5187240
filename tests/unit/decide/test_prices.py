"""Prices come from the configuration, and are recorded when they are others than before (S3)."""

import pytest

from daemon.commands import DeclaredCache, ReconcileCaches
from events.facts import INSTALLATION
from events.prices import PricesSet, VaultPrice
from events.types import CacheRegistered, stream_of
from tests.support.given import given, when
from tests.support.samples import FILE, MAIN, ORDERS, SECOND, SETTINGS, STARTED

CHEAP = PricesSet("EUR", {MAIN: VaultPrice("0.01")})
DEAR = PricesSet("EUR", {MAIN: VaultPrice("0.02")})
NONE = PricesSet(None, {})


def said(prices: PricesSet | None) -> ReconcileCaches:
    """A configuration without caches that says so of prices."""
    return ReconcileCaches((), FILE, prices)


@pytest.mark.parametrize(
    ("known", "wanted", "recorded"),
    [
        ((), CHEAP, True),
        ((), NONE, False),
        ((), None, False),
        ((CHEAP,), CHEAP, False),
        ((CHEAP,), DEAR, True),
        ((CHEAP, DEAR), CHEAP, True),
        ((CHEAP,), NONE, True),
        ((CHEAP,), None, False),
        ((CHEAP, NONE), NONE, False),
        ((CHEAP,), PricesSet("USD", CHEAP.vaults), True),
        ((CHEAP,), PricesSet("EUR", {MAIN: VaultPrice("0.01", 30)}), True),
        ((CHEAP,), PricesSet("EUR", {**CHEAP.vaults, SECOND: VaultPrice("0.01")}), True),
    ],
)
def test_only_other_prices_are_recorded(
    known: tuple[PricesSet, ...], wanted: PricesSet | None, *, recorded: bool
) -> None:
    """The whole table is one event, if anything in it is other than what the log knows."""
    then = when(given(STARTED, *known), said(wanted))

    assert ((wanted,) if recorded else ()) == then.events
    assert () == when(then.state, said(wanted)).events


def test_prices_are_decided_with_the_caches() -> None:
    """One reload is one decision: prices first, in the stream of the installation."""
    cache = DeclaredCache(ORDERS, SETTINGS)
    then = when(given(STARTED), ReconcileCaches((cache,), FILE, CHEAP))

    assert [PricesSet, CacheRegistered] == [type(event) for event in then.events]
    assert INSTALLATION == stream_of(then.events[0])
