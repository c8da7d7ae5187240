"""What integration tests share: the process that daemons are forked from, and short paths."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nursery import Nursery, nursery


@pytest.fixture(scope="session", name="nursery")
def shared_nursery() -> Iterator[Nursery]:
    """One for the whole run; it is as old as the first test that wants a daemon."""
    with nursery() as shared:
        yield shared


@pytest.fixture
def short_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the test's own whose path leaves room for a socket's name."""
    return tmp_path_factory.mktemp("t")
