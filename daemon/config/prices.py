"""What prices must look like, and what they must be together.

Pure. A price is a text, because a number of TOML is a float: 0.1 of a cent is not exactly that.
"""

import re
from collections.abc import Iterator, Mapping

from daemon.config.lines import Place
from daemon.config.problem import Wrong
from daemon.near import asked

Table = Mapping[str, object]

_PRICE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,12})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_IS_PRICE = 'Allowed: a decimal in quotes, as "0.023": up to 12 digits after the point.'
_IS_CURRENCY = 'Allowed: the three capital letters of a currency, as "EUR".'


def price(text: str) -> Wrong | None:
    """What a GB-month costs."""
    if _PRICE.fullmatch(text):
        return None
    meant = text.strip(" $€£").replace(",", ".")
    meant = f"0{meant}" if meant.startswith(".") else meant
    near = f"{asked(meant)} " if _PRICE.fullmatch(meant) else ""
    return Wrong(f'is "{text}"', f"{near}{_IS_PRICE}")


def currency(text: str) -> Wrong | None:
    """What all prices are in."""
    if _CURRENCY.fullmatch(text):
        return None
    near = f"{asked(text.upper())} " if _CURRENCY.fullmatch(text.upper()) else ""
    return Wrong(f'is "{text}"', f"{near}{_IS_CURRENCY}")


OF_PRICES = {"prices.currency": currency, "vaults.*.price_per_gb_month": price}


def unquoted(pattern: str, value: object) -> Wrong | None:
    """A price that is written as a number; None for every other setting."""
    if pattern != "vaults.*.price_per_gb_month" or type(value) not in {int, float}:
        return None
    return Wrong(f"is the number {value}, which may be rounded", f"{_IS_PRICE}")


def of_prices(document: Table, vaults: Mapping[str, Table]) -> Iterator[tuple[Place, Wrong]]:
    """A price needs a currency, and a least time a price."""
    section = document.get("prices")
    said = isinstance(section, dict) and "currency" in section
    for name, vault in vaults.items():
        if "price_per_gb_month" in vault and not said:
            wrong = Wrong("has no currency", 'Say it once: [prices] currency = "EUR".')
            yield ("vaults", name, "price_per_gb_month"), wrong
        if "minimum_days" in vault and "price_per_gb_month" not in vault:
            wrong = Wrong("is set without a price", "Set price_per_gb_month, or take this out.")
            yield ("vaults", name, "minimum_days"), wrong
