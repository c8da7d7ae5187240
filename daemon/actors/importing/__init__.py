"""Imports: bytes that no cache of ours has given, taken from wherever they lie (S4)."""

from daemon.actors.importing.importer import DEFAULT_MAX_BYTES, Importer, Readers
from daemon.actors.importing.uploads import Uploads

__all__ = ["DEFAULT_MAX_BYTES", "Importer", "Readers", "Uploads"]
