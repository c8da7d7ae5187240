"""What storage costs, as the configuration says it and the log remembers it (S3).

Prices are decimals in text: a float would drift, and an old bill has to come out the same.
"""

from msgspec import Struct

from events.fact import Fact
from events.facts import VaultName


class VaultPrice(Fact, frozen=True):
    """What one vault charges: a decimal in text for 2^30 bytes stored for a whole month.

    A backup that goes sooner is charged for ``minimum_days``, counted from when it was stored.
    ``per_gb_month`` is that decimal.
    """

    per_gb_month: str
    minimum_days: int = 0


class PricesSet(Struct, frozen=True, forbid_unknown_fields=True, tag="prices-set/1"):
    """From now on these are the prices, all of them; a vault that is not here has none.

    `currency` is what all of them are in, three letters.
    """

    currency: str | None
    vaults: dict[VaultName, VaultPrice]
