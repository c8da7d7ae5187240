"""What goes into a decision and what comes out; and the checks that several of them share."""

import re
from datetime import datetime
from hashlib import sha256

from msgspec import Struct

from daemon.errors import BadRequest, NotFound, Rejected
from events.facts import BackupId, BackupName, CacheName, Stream
from events.types import Event, stream_of
from projections import catalog
from projections.caches import Cache
from projections.catalog import Backup
from projections.recovery import told, went_back
from projections.references import fitting
from projections.state import State

CACHE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
BACKUP_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,99}", re.ASCII)


class Context(Struct, frozen=True):
    """What a decision may use beside the state: the instant, and one fresh id."""

    now: datetime
    new_id: str

    def of(self, name: str) -> "Context":
        """The same instant, and an id that no other name gets from this one."""
        mark = sha256(f"{self.new_id} {name}".encode()).hexdigest()[:8]
        return Context(self.now, self.new_id[:-8] + mark)

    def id_of(self, number: int) -> str:
        """The fresh id, and for numbers above 0 others that follow from it."""
        if number == 0:
            return self.new_id
        return self.new_id[:-8] + sha256(f"{self.new_id} {number}".encode()).hexdigest()[:8]


class Decision(Struct, frozen=True):
    """The events that follow, and the streams that were read to decide so (L2)."""

    events: tuple[Event, ...]
    also_read: frozenset[Stream] = frozenset()

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Every stream relied on, those of the events included, in a stable order."""
        return tuple(sorted(self.also_read | {stream_of(event) for event in self.events}))


def checked_cache_name(name: str) -> CacheName:
    """A name that obeys C1, or `BadRequest` with the rule."""
    if not CACHE_NAME.fullmatch(name):
        raise BadRequest(
            "cache-name",
            f"{name!r} cannot be the name of a cache.",
            "Use 1 to 64 letters, digits, '-' and '_', beginning with a letter or digit.",
        )
    return CacheName(name)


def checked_backup_name(name: str) -> BackupName:
    """A name that obeys M1, or `BadRequest` with the rule."""
    if not BACKUP_NAME.fullmatch(name):
        raise BadRequest(
            "backup-name",
            f"{name!r} cannot be the name of a backup.",
            "Use 1 to 100 letters, digits, '.', '-' and '_', beginning with a letter.",
        )
    return BackupName(name)


def known_cache(state: State, name: str) -> Cache:
    """A registered cache, or `NotFound` with the names there are."""
    cache = state.caches.get(CacheName(name))
    if cache is None:
        names = ", ".join(sorted(state.caches)[:8]) or "none yet"
        raise NotFound(
            "unknown-cache",
            f"There is no cache {name!r}.",
            f"Known caches: {names}. `valkeep cache add NAME --url …` adds one.",
        )
    return cache


_NOTHING_THERE = {
    "failed": "has failed",
    "skipped": "was skipped",
    "cancelled": "was cancelled",
    "deleting": "is being deleted",
}
"""What has come of a backup that is not there."""


def declared(cache: Cache, *, what: str = "") -> Rejected:
    """The refusal of a command against a cache that the configuration file declares (C3)."""
    file = cache.file or "the daemon's configuration file"
    what = what or f"[caches.{cache.name}]"
    return Rejected(
        "cache-declared",
        f"The cache {cache.name!r} is declared in {file}.",
        f"Edit {what} there and reload the daemon (SIGHUP).",
    )


def suspended(cache: Cache) -> Rejected:
    """The refusal of a backup of a suspended cache (C3)."""
    return Rejected(
        "cache-suspended",
        f"The cache {cache.name!r} is suspended: {cache.suspended}.",
        f"Declare it again, or take it over with `valkeep cache set {cache.name} --url …`.",
    )


def _not_there(state: State, reference: str) -> NotFound:
    """Why nothing can be done with what a reference means: it is not known, or not stored."""
    gone = [b for b in fitting(state.catalog, reference) if b.phase in _NOTHING_THERE]
    if not reference or not gone:
        return NotFound(
            "unknown-backup",
            f"There is no backup {reference!r}.",
            "Give an id, the beginning of one, or CACHE/NAME; `valkeep backup list` shows all.",
        )
    last = gone[-1]
    told = f"Backup {last.cache}/{last.name} {_NOTHING_THERE[last.phase]}"
    again = f"; `valkeep backup create {last.cache} {last.name}` makes one"
    return NotFound(
        "unknown-backup",
        f"{told}: there is nothing of it to use or to delete.",
        f"`valkeep backup show {last.backup_id}` tells more"
        f"{again if last.kind == 'manual' and last.phase != 'deleting' else ''}.",
    )


def known_backup(state: State, reference: str) -> Backup:
    """The one living backup that a reference means, or `NotFound`, or `Rejected` if several."""
    found = catalog.find(state.catalog, reference) if reference else ()
    if not found:
        raise _not_there(state, reference)
    if len(found) > 1:
        some = ", ".join(f"{b.backup_id} ({b.cache}/{b.name})" for b in found[:4])
        raise Rejected(
            "ambiguous-backup",
            f"{reference!r} fits {len(found)} backups: {some}.",
            "Give more of the id, or CACHE/NAME.",
        )
    return found[0]


def log_is_whole(state: State) -> None:
    """Refuse to delete while a vault knows more than the log does (L3)."""
    ahead = went_back(state.recovery)
    if ahead is not None:
        raise Rejected(
            "log-went-back",
            f"Nothing is deleted at present: {told(ahead)}.",
            "`valkeep recover` shows what the vault knows, and mends the log.",
        )


def backup_by_id(state: State, backup_id: BackupId) -> Backup:
    """A backup that work is reported on; `Rejected` if it is no longer wanted."""
    cache = state.open_backups.get(backup_id)
    backup = catalog.get(state.catalog, cache, backup_id) if cache is not None else None
    if backup is None:
        raise superseded(f"backup {backup_id}")
    return backup


def superseded(what: str) -> Rejected:
    """The answer to a report that comes too late: its work is no longer wanted."""
    return Rejected(
        "superseded", f"{what} is no longer being worked on.", "Nothing is left to do here."
    )
