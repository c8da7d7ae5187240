"""The manifest: JSON beside the data, written last; a backup without one does not exist.

Knows the shape and how to read it safely. Where it lies, and that it is written last, is
the business of others.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from events.facts import (
    BackupId,
    BackupKind,
    BackupName,
    CacheName,
    InstallationId,
    Position,
    ShardName,
    SnapshotFacts,
)

Codec = Literal["zstd", "age"]


class Block(Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """One run of stored bytes, the unit of checking (V6); `sha256` is hexadecimal."""

    size_bytes: int
    sha256: str


class ShardObject(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One shard's RDB as it is stored.

    `codecs` are applied in this order when writing, undone in reverse when reading.
    `sha256` and `plain_bytes` are of the RDB itself; the blocks are of the stored bytes, in
    order, and together they are the whole object. `recipients` can decrypt it, if it is
    encrypted: what the object's own header says, for people.
    """

    shard: ShardName
    object: str
    plain_bytes: int
    sha256: str
    stored_bytes: int
    codecs: tuple[Codec, ...]
    blocks: tuple[Block, ...]
    recipients: tuple[str, ...] = ()


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """All that is needed to find, check and restore one backup without any log.

    `log_position` and `log_sha256` are the chain's head when the manifest was written: a tip
    of the log that is kept elsewhere (L3). `attempt` is the one that made it: see `names`.
    """

    format: Literal[1]
    installation: InstallationId
    backup_id: BackupId
    cache: CacheName
    name: BackupName
    kind: BackupKind
    created_at: datetime
    snapshot: SnapshotFacts
    shards: tuple[ShardObject, ...]
    log_position: Position
    log_sha256: str
    attempt: int = 1
