"""A second vault in the configuration: another one, there, and no less open than it demands."""

from pathlib import Path

import pytest

from daemon.config import load
from daemon.config.problem import ConfigError
from events.facts import CacheName
from tests.support.keys import RECIPIENT

VAULTS = """
[vaults.main]
url = "file:///a"
[vaults.second]
url = "file:///b"
"""
CACHE = '[caches.orders]\nurl = "valkey://h"\nvault = "main"\n'
SEALED = f'recipients = ["{RECIPIENT}"]\n'


def wrong(text: str) -> str:
    """What is told of a configuration."""
    with pytest.raises(ConfigError) as caught:
        load(text, Path("v.toml"))
    return str(caught.value)


def test_second_vault_is_read() -> None:
    """`copy_to` names a vault of the same file."""
    config = load(f'{VAULTS}{CACHE}copy_to = "second"\n', Path("v.toml"))
    assert "second" == config.caches[CacheName("orders")].copy_to


@pytest.mark.parametrize(
    ("vaults", "second", "told"),
    [
        (VAULTS, "main", "the vault that the backups themselves go to. Allowed: second"),
        (VAULTS, "secnd", "no such vault. Did you mean 'second'?"),
        ('[vaults.main]\nurl = "file:///a"\n', "second", "Add it: [vaults.second]"),
        ('[vaults.main]\nurl = "file:///a"\n', "main", "Add another vault"),
        (f"{VAULTS}{SEALED}", "second", "has recipients, and vaults.main has none"),
    ],
)
def test_unfit_second_vault_is_told(vaults: str, second: str, told: str) -> None:
    """Each mistake is named at its line, with what is allowed."""
    problem = wrong(f'{vaults}{CACHE}copy_to = "{second}"\n')
    assert told in problem
    assert "caches.orders.copy_to" in problem
