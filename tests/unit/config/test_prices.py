"""Prices in the configuration: exact decimals, one currency, and least days by storage class."""

from pathlib import Path

import pytest

from daemon.app.prices import prices_of
from daemon.config import load
from daemon.config.problem import ConfigError
from events.facts import VaultName
from events.prices import PricesSet, VaultPrice

BUCKET = '[vaults.main]\nurl = "s3://bucket"\n'
FOLDER = '[vaults.main]\nurl = "file:///a"\n'
EUR = '[prices]\ncurrency = "EUR"\n'
MAIN = VaultName("main")


def recorded(text: str) -> PricesSet:
    """What the log is told of a configuration."""
    return prices_of(load(text, Path("v.toml")))


def wrong(text: str) -> str:
    """What is told of a configuration that cannot be used."""
    with pytest.raises(ConfigError) as caught:
        load(text, Path("v.toml"))
    return str(caught.value)


def test_nothing_said_is_no_price() -> None:
    """A configuration without prices sets none, also if it names a currency."""
    assert PricesSet(None, {}) == recorded(FOLDER)
    assert PricesSet(None, {}) == recorded(FOLDER + EUR)


@pytest.mark.parametrize(
    ("text", "price"),
    [("0.023", "0.023"), ("0.0230", "0.023"), ("10", "10"), ("0", "0"), ("1.00", "1")],
)
def test_equal_prices_are_one_text(text: str, price: str) -> None:
    """Zeros at the end make no other price, so that nothing is recorded because of them."""
    found = recorded(f'{FOLDER}price_per_gb_month = "{text}"\n{EUR}')

    assert PricesSet("EUR", {MAIN: VaultPrice(price)}) == found


@pytest.mark.parametrize(
    ("lines", "days"),
    [
        ("", 0),
        ('storage_class = "STANDARD_IA"', 30),
        ('storage_class = "ONEZONE_IA"', 30),
        ('storage_class = "GLACIER_IR"', 90),
        ('storage_class = "GLACIER_IR"\nminimum_days = 0', 0),
        ('storage_class = "STANDARD_IA"\nendpoint_url = "https://s3.example"', 0),
        ("minimum_days = 7", 7),
    ],
)
def test_least_days_follow_the_storage_class(lines: str, days: int) -> None:
    """At Amazon's S3 a class has its least days unless others are said; elsewhere none."""
    found = recorded(f'{BUCKET}price_per_gb_month = "0.01"\n{lines}\n{EUR}')

    assert days == found.vaults[MAIN].minimum_days


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{FOLDER}price_per_gb_month = 0.023\n{EUR}", "is the number 0.023, which may be rounded"),
        (f'{FOLDER}price_per_gb_month = "0,023"\n{EUR}', "Did you mean '0.023'?"),
        (f'{FOLDER}price_per_gb_month = "$0.023"\n{EUR}', "Did you mean '0.023'?"),
        (f'{FOLDER}price_per_gb_month = ".5"\n{EUR}', "Did you mean '0.5'?"),
        (f'{FOLDER}price_per_gb_month = "-1"\n{EUR}', 'is "-1". Allowed: a decimal'),
        (f'{FOLDER}price_per_gb_month = "1e3"\n{EUR}', 'is "1e3". Allowed: a decimal'),
        (f'{FOLDER}price_per_gb_month = "1"\n', "has no currency. Say it once: [prices]"),
        (f"{FOLDER}minimum_days = 30\n", "is set without a price"),
        (f'{FOLDER}[prices]\ncurrency = "eur"\n', "Did you mean 'EUR'?"),
        (f'{FOLDER}[prices]\ncurrency = "€"\n', 'is "€". Allowed: the three capital letters'),
        (f'{FOLDER}[prices]\ncurency = "EUR"\n', "Did you mean 'currency'?"),
        (f'{FOLDER}price_per_gb = "1"\n', "Did you mean 'price_per_gb_month'?"),
    ],
)
def test_slips_are_told(text: str, told: str) -> None:
    """Each mistake is named with its line and what is allowed."""
    problem = wrong(text)
    assert told in problem
    assert "v.toml:" in problem
