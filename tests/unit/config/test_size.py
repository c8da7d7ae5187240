"""Sizes as they are written in the file, and the section that uses them."""

from pathlib import Path

import pytest

from daemon.config import ConfigError, SpoolConfig, load, size_bytes

VAULT = '[vaults.main]\nurl = "file:///var/backups/valkeep"\n'


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("8GiB", 8 << 30),
        ("500 MB", 500_000_000),
        ("1.5GiB", 3 << 29),
        ("0.001TB", 1_000_000_000),
        ("64KiB", 65_536),
        ("12B", 12),
        ("0", 0),
        ("0.0", 0),
        ("0GiB", 0),
        ("8", None),
        ("8 gigs", None),
        ("-1GiB", None),
        ("", None),
        ("GiB", None),
        ("1e9B", None),
        ("64kib", None),
        ("8Mb", None),
    ],
)
def test_a_size_is_a_number_and_a_unit(text: str, meant: int | None) -> None:
    """Units of 1,000 and of 1,024 are told apart, and a number alone is only good for none."""
    assert size_bytes(text) == meant


def problems(section: str) -> list[str]:
    """What is wrong with a file that has this section."""
    with pytest.raises(ConfigError) as failed:
        load(f"{VAULT}[spool]\n{section}\n", Path("v.toml"))
    return [f"{problem.setting} {problem.wrong}" for problem in failed.value.problems]


def test_everything_wrong_with_a_spool_is_told_at_once() -> None:
    """A relative folder, a size that is none and a setting that is none come in one answer."""
    told = problems('directory = "spool"\nmax_bytes = "plenty"\nmax_size = 1')
    assert len(told) == 3
    assert 'spool.max_bytes is "plenty"' in told


def test_a_spool_too_small_to_help_is_refused() -> None:
    """Less than 64 MiB is a slip; nothing at all is a choice."""
    assert problems('max_bytes = "10MiB"') == ['spool.max_bytes is "10MiB", which is too little']
    assert load(f'{VAULT}[spool]\nmax_bytes = "0"\n', Path("v.toml")).spool == SpoolConfig(
        max_bytes="0"
    )


@pytest.mark.parametrize("below", ["", "/", "/spool"])
def test_a_spool_does_not_lie_in_a_vault(below: str) -> None:
    """Its files would be objects there that no log knows."""
    told = problems(f'directory = "/var/backups/valkeep{below}"')
    assert told == ["spool.directory lies in vaults.main"]
    beside = load(f'{VAULT}[spool]\ndirectory = "/var/backups/valkeep2"\n', Path("v.toml"))
    assert beside.spool.directory == "/var/backups/valkeep2"
