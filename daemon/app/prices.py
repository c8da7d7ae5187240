"""The configured prices, as the log records them: one event with all of them (S3)."""

from decimal import Decimal

from daemon.config import Config, VaultConfig
from events.prices import PricesSet, VaultPrice

LEAST_DAYS = {"STANDARD_IA": 30, "ONEZONE_IA": 30, "GLACIER_IR": 90}
"""For how many days Amazon's S3 charges at least; see "minimum storage duration charge" at
https://aws.amazon.com/s3/pricing/."""


def prices_of(config: Config) -> PricesSet:
    """What the vaults of a configuration cost; equal prices are the same text."""
    vaults = {
        name: VaultPrice(_plain(vault.price_per_gb_month), _least_days(vault))
        for name, vault in sorted(config.vaults.items())
        if vault.price_per_gb_month is not None
    }
    return PricesSet(config.prices.currency if vaults else None, vaults)


def _plain(text: str) -> str:
    """``0.0230`` and ``0.023`` are one price."""
    return f"{Decimal(text).normalize():f}"


def _least_days(vault: VaultConfig) -> int:
    """As it is set, or as Amazon has it for the storage class, where it is Amazon's."""
    if vault.minimum_days is not None:
        return vault.minimum_days
    amazon = vault.url.startswith("s3:") and vault.endpoint_url is None
    return LEAST_DAYS.get(vault.storage_class, 0) if amazon else 0
