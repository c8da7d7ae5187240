"""What the keys of a backup take, with their names: kept in a file, never in the log."""

from datetime import datetime

from msgspec import Struct

from events.facts import BackupId, BackupName
from events.keyspace import KeyspaceFacts


class LargeKey(Struct, frozen=True, omit_defaults=True):
    """One large key. A `key` that is no UTF-8 is in `key_base64` instead.

    Of a very long name only the beginning is kept: then it is `name_bytes` long in all.
    """

    database: int
    type: str
    encoding: str
    bytes: int
    elements: int = 0
    key: str | None = None
    key_base64: str | None = None
    name_bytes: int | None = None


class KeyPrefix(Struct, frozen=True, omit_defaults=True):
    """All keys of a database that a pattern fits; `lasting_bytes` are of those without an expiry.

    A `*` stands for ids, or for names that are too light to be told one by one. Where there is
    none before its end at most `lacking_bytes` more may be counted under a `*` beside it.
    """

    database: int
    keys: int
    bytes: int
    lasting_bytes: int = 0
    lacking_bytes: int = 0
    pattern: str | None = None
    pattern_base64: str | None = None


class KeyspaceBefore(Struct, frozen=True, omit_defaults=True):
    """The same of the newest backup before, of which it is known."""

    backup_id: BackupId
    name: BackupName
    completed_at: datetime
    engine: str
    facts: KeyspaceFacts
    prefixes: tuple[KeyPrefix, ...] = ()
    least_bytes: int = 0


class KeyspaceDetail(Struct, frozen=True, omit_defaults=True):
    """What a backup's keys take, by `engine`; `largest` by memory, `longest` by elements.

    Prefixes with less than `least_bytes` are not told. Without `named` no names were wanted.
    """

    engine: str
    facts: KeyspaceFacts
    largest: tuple[LargeKey, ...] = ()
    longest: tuple[LargeKey, ...] = ()
    prefixes: tuple[KeyPrefix, ...] = ()
    least_bytes: int = 0
    named: bool = True
    before: KeyspaceBefore | None = None


def without_names(detail: KeyspaceDetail) -> KeyspaceDetail:
    """The figures alone."""
    before = detail.before
    return KeyspaceDetail(
        engine=detail.engine,
        facts=detail.facts,
        named=False,
        before=before
        and KeyspaceBefore(
            before.backup_id, before.name, before.completed_at, before.engine, before.facts
        ),
    )
