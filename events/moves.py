"""Facts of what goes out of Valkeep: keys into a target, files to a place of the user's own.

And of what comes in from such a place.
"""

from datetime import datetime
from typing import Literal, NewType

from events.fact import Fact

ExportId = NewType("ExportId", str)
"""The export's id."""
RestoreMethod = Literal["replication", "keys"]
OnConflict = Literal["replace", "skip", "fail"]
TtlTreatment = Literal["keep", "shift", "strip"]
ImportKind = Literal["s3", "file", "entry", "client"]
"""An object by its URL, a file of the daemon's host, something below an ``[exports]`` entry, or
bytes that a client sends; only the last cannot be asked for again."""


class KeysWish(Fact, frozen=True):
    """Which keys a restore by keys brings over, and how (DESIGN 7).

    ``patterns`` are globs as in ``KEYS``, any of which may fit (none: all keys); ``database`` is
    the only one to take, or None. ``on_conflict`` is for keys that are there. ``ttl`` keeps
    instants as they are, shifts them by the backup's age, or strips them. ``rename_prefix`` is put
    before each key's name. ``keys_per_second`` is the most to write, 0 without a limit.
    """

    patterns: tuple[str, ...] = ()
    database: int | None = None
    on_conflict: OnConflict = "fail"
    ttl: TtlTreatment = "keep"
    rename_prefix: str = ""
    keys_per_second: int = 0


class KeysMoved(Fact, frozen=True):
    """What a restore by keys did, or would do: counts of keys.

    ``chosen`` fit the wish, ``existing`` of them were on the target before (where that was looked
    for), ``written`` are there now, ``skipped`` were left as they were there, ``expired`` had ended
    meanwhile. ``by_element`` of the written were too large for one command;
    ``refused`` names some that the target did not take, with its reason.
    """

    chosen: int = 0
    existing: int = 0
    written: int = 0
    skipped: int = 0
    expired: int = 0
    by_element: int = 0
    refused: tuple[str, ...] = ()


class ExportedFile(Fact, frozen=True):
    """One plain RDB file of an export: of which ``shard``, at which ``place``, and what is in it.

    So many ``plain_bytes``, whose SHA-256 is ``sha256``.
    """

    shard: str
    place: str
    plain_bytes: int
    sha256: str


class ImportedFrom(Fact, frozen=True):
    """Where an imported RDB came from, as it was when it was read.

    ``source`` of that ``kind`` is as one would type it, and never holds a secret; of a client's
    bytes it is what the client says. It had ``size_bytes`` and was last ``changed_at`` that
    instant, where that is known. ``version`` is an ETag, or what a file system has instead.
    ``notes`` say what is to be known of how it was read.
    """

    kind: ImportKind
    source: str
    size_bytes: int | None = None
    changed_at: datetime | None = None
    version: str = ""
    notes: tuple[str, ...] = ()
