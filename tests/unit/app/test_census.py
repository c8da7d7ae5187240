"""How keys are counted, by the configuration."""

from pathlib import Path

from daemon.actors.verify import CensusTaker, KeyspaceShelf, no_census
from daemon.app.census import census_of
from daemon.config.settings import EngineConfig
from daemon.ledger import Ledger
from events.memory import InMemoryLog
from tests.simulation.virtual import CountedIds
from tests.support.api import SetClock
from tests.support.offload import THREADS

SHELF = KeyspaceShelf(Path("keyspace"), THREADS, Ledger(InMemoryLog(), SetClock(), CountedIds(0)))


def test_names_are_counted_unless_told_otherwise() -> None:
    """By default names are wanted, in three seconds; with figures they are not."""
    assert CensusTaker(SHELF, 3.0, names=True) == census_of(EngineConfig(), SHELF)
    figures = EngineConfig(census="figures", census_seconds=9.0)
    assert CensusTaker(SHELF, 9.0, names=False) == census_of(figures, SHELF)


def test_nothing_is_counted_where_it_is_off() -> None:
    """Off is off."""
    assert no_census is census_of(EngineConfig(census="off"), SHELF)
