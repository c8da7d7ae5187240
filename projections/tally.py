"""Counts of what has happened to each cache since its log began.

Pure. They only grow, whatever is deleted or forgotten later, so that a monitoring system can take
differences of them; a removed cache added again goes on counting.
"""

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from events.copies import CopyCompleted, CopyFailed
from events.copy_proofs import CopyVerificationFailed, CopyVerified
from events.facts import CacheName
from events.proofs import BackupVerified, VerificationAbandoned, VerificationFailed
from events.suspicions import BackupSuspected
from events.types import (
    BackupAbandoned,
    BackupCompleted,
    BackupFailed,
    BackupSkipped,
    Event,
    RestoreCompleted,
    RestoreFailed,
    WindowMissed,
)


class Tally(Struct, frozen=True):
    """How often each thing has happened; `stored_bytes` is of all completed backups together."""

    completed: int = 0
    stored_bytes: int = 0
    failed_attempts: int = 0
    abandoned: int = 0
    skipped: int = 0
    missed: int = 0
    suspected: int = 0
    verified: int = 0
    refuted: int = 0
    unproven: int = 0
    copied: int = 0
    failed_copies: int = 0
    verified_copies: int = 0
    refuted_copies: int = 0
    restored: int = 0
    failed_restores: int = 0


Tallies = Map[CacheName, Tally]

_ONE: dict[type[Event], str] = {
    BackupFailed: "failed_attempts",
    BackupAbandoned: "abandoned",
    BackupSkipped: "skipped",
    WindowMissed: "missed",
    BackupSuspected: "suspected",
    BackupVerified: "verified",
    VerificationFailed: "refuted",
    VerificationAbandoned: "unproven",
    CopyCompleted: "copied",
    CopyFailed: "failed_copies",
    CopyVerified: "verified_copies",
    CopyVerificationFailed: "refuted_copies",
    RestoreCompleted: "restored",
    RestoreFailed: "failed_restores",
}
"""Events of which each is one more of something."""
COUNTED = frozenset({BackupCompleted, *_ONE})
"""Every other event changes no count."""


def evolve(tallies: Tallies, event: Event) -> Tallies:
    """The counts after one more event; the same value where it counts for nothing."""
    if isinstance(event, BackupCompleted):
        old = tallies.get(event.cache, Tally())
        more = old.stored_bytes + event.stored.stored_bytes
        return tallies.set(
            event.cache, replace(old, completed=old.completed + 1, stored_bytes=more)
        )
    what = _ONE.get(type(event))
    if what is None:
        return tallies
    cache: CacheName = event.cache  # type: ignore[union-attr, assignment]
    old = tallies.get(cache, Tally())
    return tallies.set(cache, replace(old, **{what: getattr(old, what) + 1}))
