"""Deciding on prices: what the configuration says is recorded when it is something else (S3)."""

from events.prices import PricesSet
from projections.state import State


def price_events(state: State, wanted: PricesSet | None) -> tuple[PricesSet, ...]:
    """The new prices, if they are new; none at all is nothing new to a log without any."""
    if wanted is None:
        return ()
    tariffs = state.usage.tariffs
    known = (tariffs[-1].currency, tariffs[-1].vaults) if tariffs else (None, {})
    return () if known == (wanted.currency, wanted.vaults) else (wanted,)
