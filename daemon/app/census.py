"""How keys are counted, by the configuration."""

from daemon.actors.verify import CensusTaker, Counting, KeyspaceShelf, no_census
from daemon.config.settings import EngineConfig


def census_of(config: EngineConfig, shelf: KeyspaceShelf) -> Counting:
    """What ``[engine]`` says of counting."""
    if config.census == "off":
        return no_census
    return CensusTaker(shelf, config.census_seconds, names=config.census == "names")
