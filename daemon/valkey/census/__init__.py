"""What the keys of a loaded data set take: counted inside a private engine, within bounds."""

from daemon.valkey.census.counting import Bounds, Census, Standing, counted
from daemon.valkey.census.prefixes import Prefix
from daemon.valkey.census.tally import Large

__all__ = ["Bounds", "Census", "Large", "Prefix", "Standing", "counted"]
