"""What a cache's backups are good for: proven when, restored how fast, and what would be lost.

Pure. How long a restore takes is a guess from the last one that was timed, at the same speed for
the size of the newest good backup.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from immutables import Map
from msgspec import Struct

from events.facts import CacheName
from projections.catalog import Backup
from projections.restore_pace import Pace, pace
from projections.restores import Restore
from projections.retention import by_age, taken_at
from projections.state import State


class Guess(Struct, frozen=True):
    """How long a restore of the newest good backup may take, and from what that is known.

    Not `whole`: only reading was timed, and loading comes on top of that.
    """

    seconds: float
    source: str
    at: datetime
    whole: bool = True


class Assurance(Struct, frozen=True):
    """`proven` is the backup with the newest proof, `newest` the newest good one that counts."""

    proven: Backup | None
    newest: Backup | None
    guess: Guess | None

    def lost(self, now: datetime) -> timedelta | None:
        """What would be lost if the cache were gone now: the age of the newest good backup."""
        return None if self.newest is None else max(timedelta(0), now - taken_at(self.newest))


def assurance(
    state: State, name: CacheName, now: datetime, restores: Iterable[Restore] | None = None
) -> Assurance:
    """What is known of one cache; `restores` as for `pace`, and what is newest as by `by_age`."""
    good = [b for b in state.catalog.get(name, Map()).values() if b.good]
    counted = [b for b in good if b.kind != "safety"]
    newest = max(counted, key=by_age(now), default=None)
    return Assurance(
        proven=newest_proven(good, now),
        newest=newest,
        guess=_guess(newest, pace(state, name, restores)),
    )


def _guess(newest: Backup | None, known: Pace | None) -> Guess | None:
    if newest is None or newest.stored is None or known is None:
        return None
    seconds = known.for_bytes(newest.stored.plain_bytes)
    return Guess(seconds, known.basis, known.at, known.whole)


def newest_proven(backups: list[Backup], now: datetime) -> Backup | None:
    """The backup whose proof is the newest; how old one is that lies ahead nobody knows."""
    dated = [(b.proof.verified_at, b.backup_id, b) for b in backups if b.proof.verified_at]
    proven = [one for one in dated if one[0] <= now]
    return max(proven, key=lambda one: one[:2])[2] if proven else None
