"""What storage costs from now on, in one English sentence. Pure."""

from events.prices import PricesSet, VaultPrice


def of_prices(event: PricesSet) -> str:
    """All prices that hold."""
    told = [f"{vault} {_price(price)}" for vault, price in event.vaults.items()]
    if not told:
        return "the daemon found no prices in its configuration any more"
    return f"the daemon found new prices for a GB-month, in {event.currency}: {', '.join(told)}"


def _price(price: VaultPrice) -> str:
    least = f" for {price.minimum_days} days at least" if price.minimum_days else ""
    return f"{price.per_gb_month}{least}"
