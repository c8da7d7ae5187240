"""What happens to a backup's copies in further vaults: the events of `copy_to` and `backup copy`.

A copy is the stored bytes of a complete backup under the same names in another vault. It has a
state of its own and never changes that of the backup (DESIGN 6).
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from events.facts import BackupId, CacheName, Failure, VaultName


class _CopyEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """`vault` is where the copy is, never where the backup itself is."""

    cache: CacheName
    backup_id: BackupId
    vault: VaultName


class CopyRequested(_CopyEvent, frozen=True, tag="copy-requested/1"):
    """A copy is wanted; recorded before its first byte is written (S1).

    One `wanted_by` the cache's `copy_to` is given up when that no longer names the vault.
    """

    wanted_by: Literal["copy_to", "command"]


class CopyStarted(_CopyEvent, frozen=True, tag="copy-started/1"):
    """One try begins, the `attempt` counted from 1; the backup is read until it ends (A11)."""

    attempt: int


class CopyCompleted(_CopyEvent, frozen=True, tag="copy-completed/1"):
    """The copy exists, with its manifest: `stored_bytes` in all, byte for byte the backup's."""

    stored_bytes: int


class CopyFailed(_CopyEvent, frozen=True, tag="copy-failed/1"):
    """One `attempt` failed; the next begins from zero, not before `retry_at` (R7)."""

    attempt: int
    failure: Failure
    retry_at: datetime


class BackupCleared(_CopyEvent, frozen=True, tag="backup-cleared/1"):
    """The backup's own vault has confirmed its deletion, and a copy is still to go."""


class CopyDeleted(_CopyEvent, frozen=True, tag="copy-deleted/1"):
    """The vault confirmed that nothing of the copy is left."""


CopyEvent = CopyRequested | CopyStarted | CopyCompleted | CopyFailed | BackupCleared | CopyDeleted
