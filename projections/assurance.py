"""What a cache's backups are good for: proven when, restored how fast, and what would be lost.

Pure. How long a restore takes is a guess from the last one that was timed: a restore of a backup
of this cache, or a private engine's load of one.
"""

from datetime import datetime, timedelta

from immutables import Map
from msgspec import Struct

from events.facts import CacheName
from projections.catalog import Backup
from projections.retention import taken_at
from projections.state import State


class Guess(Struct, frozen=True):
    """How long a restore may take, and from what that is known, at which instant."""

    seconds: float
    source: str
    at: datetime


class Assurance(Struct, frozen=True):
    """`proven` is the backup with the newest proof, `newest` the newest good one that counts."""

    proven: Backup | None
    newest: Backup | None
    guess: Guess | None

    def lost(self, now: datetime) -> timedelta | None:
        """What would be lost if the cache were gone now: the age of the newest good backup."""
        return None if self.newest is None else max(timedelta(0), now - taken_at(self.newest))


def assurance(state: State, name: CacheName) -> Assurance:
    """What is known of one cache."""
    good = [b for b in state.catalog.get(name, Map()).values() if b.good]
    counted = [b for b in good if b.kind != "safety"]
    return Assurance(
        proven=newest_proven(good),
        newest=max(counted, key=lambda b: (taken_at(b), b.backup_id), default=None),
        guess=_guess(state, name, good),
    )


def newest_proven(backups: list[Backup]) -> Backup | None:
    """The backup whose proof is the newest."""
    proven = [(b.proof.verified_at, b.backup_id, b) for b in backups if b.proof.verified_at]
    return max(proven, key=lambda one: one[:2])[2] if proven else None


def _guess(state: State, name: CacheName, good: list[Backup]) -> Guess | None:
    found = [_restored(state, name), *map(_read, good)]
    timed = [guess for guess in found if guess is not None]
    # Reading alone is less than a restore: it counts only where nothing was ever loaded.
    whole = [guess for guess in timed if not guess.source.startswith("reading")]
    return max(whole or timed, key=lambda guess: (guess.at, guess.seconds), default=None)


def _restored(state: State, name: CacheName) -> Guess | None:
    done = [
        Guess(r.result.total_seconds, f"a restore into {r.target}", r.ended_at)
        for r in state.restores.values()
        if r.backup_cache == name and r.result is not None and r.ended_at is not None
    ]
    return max(done, key=lambda guess: guess.at, default=None)


def _read(backup: Backup) -> Guess | None:
    receipt, at = backup.proof.receipt, backup.proof.verified_at
    if receipt is None or at is None:
        return None
    if receipt.load_seconds is None:
        return Guess(receipt.read_seconds, f"reading {backup.name} alone", at)
    return Guess(receipt.read_seconds, f"loading {backup.name} into {receipt.engine}", at)
