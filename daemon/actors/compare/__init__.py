"""Comparisons: two data sets in private engines, what differs, and the names of it."""

from daemon.actors.compare.actor import CompareActor
from daemon.actors.compare.names import NameShelf
from daemon.actors.compare.sides import Outside

__all__ = ["CompareActor", "NameShelf", "Outside"]
