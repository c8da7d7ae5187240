"""When copies were last read back, by cache and vault.

Pure. Kept beside the copies themselves: with a short retention the one that was read is soon gone,
and the next is still not due before its time.
"""

from datetime import datetime

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from events.copies import CopyCompleted
from events.copy_proofs import CopyVerificationFailed, CopyVerified
from events.envelope import Envelope
from events.facts import BackupId, CacheName, ProofLevel, VaultName
from events.types import Event


class ReadBack(Struct, frozen=True):
    """When a copy of a cache was last read back in a vault, and found to be whole.

    `since` is when the first copy was made there, and then when the last was read to an end.
    """

    since: datetime
    proven_at: datetime | None = None
    proven: BackupId | None = None
    level: ProofLevel | None = None


Readings = Map[CacheName, Map[VaultName, ReadBack]]


OF_READINGS = frozenset([CopyCompleted, CopyVerified, CopyVerificationFailed])
"""The events that say something of readings; most do not."""


def evolve(readings: Readings, envelope: Envelope, event: Event) -> Readings:
    """What is known of the readings after one more event."""
    if not isinstance(event, CopyCompleted | CopyVerified | CopyVerificationFailed):
        return readings
    of_cache = readings.get(event.cache, Map())
    known = of_cache.get(event.vault, ReadBack(envelope.at))
    match event:
        case CopyVerified():
            known = ReadBack(envelope.at, envelope.at, event.backup_id, event.receipt.level)
        case CopyVerificationFailed():
            known = replace(known, since=envelope.at)
    return readings.set(event.cache, of_cache.set(event.vault, known))
