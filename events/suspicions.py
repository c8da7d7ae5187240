"""The suspicion gate's events: a backup far smaller than those before it, and a person's word.

Figures are recorded as they were when it was decided, so that an old log keeps its answers.
"""

from msgspec import Struct

from events.fact import Fact
from events.facts import BackupId, CacheName


class Suspicion(Fact, frozen=True):
    """How far a scheduled backup fell below the median of the last good ones before it.

    `compared` is how many those were, `percent` the fall that the policy allowed, and `reason`
    the same in words. It has `keys` in all databases and an RDB of `plain_bytes`; the medians were
    `median_keys` and `median_plain_bytes`.
    """

    keys: int
    median_keys: int
    plain_bytes: int
    median_plain_bytes: int
    compared: int
    percent: int
    reason: str


class _OfBackup(Struct, frozen=True, forbid_unknown_fields=True):
    cache: CacheName
    backup_id: BackupId


class BackupSuspected(_OfBackup, frozen=True, tag="backup-suspected/1"):
    """A complete backup is flagged: it is kept, and is not good until somebody acknowledges it."""

    suspicion: Suspicion


class SuspicionAcknowledged(_OfBackup, frozen=True, tag="suspicion-acknowledged/1"):
    """Somebody said that the drop is as it should be: the backup is good."""


SuspicionEvent = BackupSuspected | SuspicionAcknowledged
