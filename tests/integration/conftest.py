"""What integration tests share: the process that daemons are forked from."""

from collections.abc import Iterator

import pytest

from tests.support.nursery import Nursery, nursery


@pytest.fixture(scope="session", name="nursery")
def shared_nursery() -> Iterator[Nursery]:
    """One for the whole run; it is as old as the first test that wants a daemon."""
    with nursery() as shared:
        yield shared
