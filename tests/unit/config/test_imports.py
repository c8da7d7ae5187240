"""The section for what is brought from elsewhere."""

from pathlib import Path

import pytest

from daemon.config import ConfigError, load

VAULT = '[vaults.main]\nurl = "file:///var/backups/valkeep"\n'


def test_imports_have_a_limit_of_size() -> None:
    """The most bytes of an import are a size with a unit, 1 TiB where none is given."""
    assert "1TiB" == load(VAULT, Path("v.toml")).imports.max_bytes
    said = load(f'{VAULT}[imports]\nmax_bytes = "10GiB"\n', Path("v.toml"))
    assert "10GiB" == said.imports.max_bytes


@pytest.mark.parametrize("size", ["0", "plenty", "10", "-1GiB"])
def test_a_limit_that_lets_nothing_in_is_refused(size: str) -> None:
    """No limit at all, and what is no size, are told with what is allowed."""
    with pytest.raises(ConfigError) as failed:
        load(f'{VAULT}[imports]\nmax_bytes = "{size}"\n', Path("v.toml"))
    (problem,) = failed.value.problems
    assert "imports.max_bytes" == problem.setting
    assert "8GiB" in problem.allowed
