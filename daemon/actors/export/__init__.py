"""Exports: plain RDB files of a backup, to a place of the user's own or to a client (S4, R1)."""

from daemon.actors.export.actor import ExportActor, Exporting, Outlets
from daemon.actors.export.source import Sources

__all__ = ["ExportActor", "Exporting", "Outlets", "Sources"]
