"""What must hold in every world, by name; the checker sees both sides of every line.

Safety is looked at after every event and every effect, liveness when all is said to be done.
Written from the rules and the events, not from the daemon's own code.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator

import zstandard
from msgspec import Struct, field

from daemon.storage.catalog import decode
from daemon.storage.manifest import Manifest, ShardObject
from events import chain, codec
from events.envelope import Record
from events.facts import BackupId, CacheName
from events.log import LogCorrupt
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCompleted,
    BackupDeleted,
    BackupFailed,
    BackupRequested,
    DeletionRequested,
    Event,
    LeftoversSwept,
)
from projections import catalog
from projections.state import State, evolve
from projections.work import outstanding
from tests.simulation.far import Far
from tests.support.keys import opened


class Violation(AssertionError):
    """Invariants do not hold: their functions' names, and what the first one complained of."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.names = {name}


class View(Struct):
    """The world as the checker sees it; `last` is the event or the effect just seen."""

    far: Far
    state: State = State()
    story: list[Event] = field(default_factory=list)
    last: Event | str = ""
    late_effects: bool = False

    def of(self, kind: type[Event]) -> Counter[str]:
        """How many events of a kind each backup has had."""
        return Counter(
            str(getattr(event, "backup_id", "")) for event in self.story if isinstance(event, kind)
        )


def _folder(cache: CacheName, backup_id: BackupId, attempt: int) -> str:
    """Where an attempt stores: the first under the id, further ones beside it."""
    return f"caches/{cache}/{backup_id}" + ("/" if attempt == 1 else f".{attempt}/")


Complaints = Iterator[str]
Invariant = Callable[[View], Complaints]


def only_whole_backups_are_listed(view: View) -> Complaints:
    """S1, I1: a listed backup has the manifest of the log, and the bytes of a real snapshot."""
    for backup in catalog.listed(view.state.catalog):
        folder = _folder(backup.cache, backup.backup_id, backup.attempts)
        stored = backup.stored
        data = view.far.objects.get(f"{folder}manifest.json")
        if stored is None or data is None:
            yield f"{backup.backup_id} is listed and has no manifest"
        elif hashlib.sha256(data).hexdigest() != stored.manifest_sha256:
            yield f"{backup.backup_id} has another manifest than the log says"
        elif any(trouble := [_damage(view, shard) for shard in decode(data).shards]):
            yield f"{backup.backup_id}: {trouble}"


def _damage(view: View, shard: ShardObject) -> str:
    """What is wrong with a shard's object, or nothing."""
    data = view.far.objects.get(shard.object)
    if data is None:
        return f"{shard.object} is missing"
    at = 0
    for block in shard.blocks:
        piece = data[at : at + block.size_bytes]
        at += block.size_bytes
        if hashlib.sha256(piece).hexdigest() != block.sha256:
            return f"a block of {shard.object} differs"
    packed = opened(data) if "age" in shard.codecs else data
    plain = zstandard.ZstdDecompressor().decompress(packed, max_output_size=1 << 20)
    if at != len(data) or plain != view.far.snapshots.get(shard.sha256):
        return f"{shard.object} is no snapshot that was ever taken"
    return ""


def manifest_is_last(view: View) -> Complaints:
    """S1: whenever there is a manifest in the vault, all that it names is there and whole."""
    for name, data in view.far.objects.items():
        if not name.endswith("manifest.json"):
            continue
        manifest: Manifest = decode(data)
        for shard in manifest.shards:
            if damage := _damage(view, shard):
                yield f"{name} is there, but {damage}"


def bytes_have_a_recorded_attempt(view: View) -> Complaints:
    """S1: the id is in the log before the first byte is in the vault."""
    known = {
        _folder(e.cache, e.backup_id, e.attempt)
        for e in view.story
        if isinstance(e, AttemptStarted)
    }
    for name in view.far.under("caches/"):
        if name.rpartition("/")[0] + "/" not in known:
            yield f"{name} belongs to no recorded attempt"


def the_living_are_not_swept(view: View) -> Complaints:
    """S1: nothing is removed of an attempt that runs, nor of a backup that is complete."""
    if not isinstance(view.last, str) or not view.last.startswith(("clear", "delete")):
        return
    for backup in (*catalog.listed(view.state.catalog), *catalog.unfinished(view.state.catalog)):
        folder = _folder(backup.cache, backup.backup_id, backup.attempts)
        if folder in view.last and backup.phase in ("running", "complete"):
            yield f"{view.last} of a {backup.phase} backup"


def sweeps_come_after_the_attempt(view: View) -> Complaints:
    """S1: nothing is removed of a folder that somebody of this life still writes to."""
    if isinstance(view.last, str) and view.last.startswith("clear "):
        folder = view.last.removeprefix("clear ")
        if writing := [name for name in view.far.writing if name.startswith(folder)]:
            yield f"{view.last} while {writing} is written"


def one_attempt_at_a_time(view: View) -> Complaints:
    """A7: a cache has at most one running backup, in the log and at the cache itself."""
    for cache, backups in view.state.catalog.items():
        running = [backup for backup in backups.values() if backup.phase == "running"]
        if len(running) > 1:
            yield f"{len(running)} backups of {cache} run"
    if view.far.open_snapshots > 1:
        yield "two snapshots are open at once"


def two_attempts_at_most(view: View) -> Complaints:
    """M3: one attempt, and one more if the daemon was the cause of the failure."""
    by_us = Counter(
        event.backup_id
        for event in view.story
        if isinstance(event, BackupFailed) and event.cause == "daemon"
    )
    for backup_id, attempts in view.of(AttemptStarted).items():
        if attempts > 2 or (attempts > 1 and not any(b == backup_id for b in by_us)):
            yield f"{backup_id} has had {attempts} attempts"


def gone_means_gone(view: View) -> Complaints:
    """S1, I5: when the log says swept or deleted, nothing of it is in the vault."""
    if isinstance(view.last, LeftoversSwept | BackupDeleted) and not view.late_effects:
        left = view.far.under(f"caches/{view.last.cache}/{view.last.backup_id}")
        if left:
            yield f"{type(view.last).__name__}, and yet there is {left}"


def deletion_was_asked_for(view: View) -> Complaints:
    """P3, I5: a deletion is in the log before it happens."""
    for backup_id in view.of(BackupDeleted).keys() - view.of(DeletionRequested).keys():
        yield f"{backup_id} was deleted and nobody asked for it"


def outcomes_come_once(view: View) -> Complaints:
    """P4: a backup is completed at most once, and not after it was given up."""
    for backup_id, times in view.of(BackupCompleted).items():
        if times > 1 or backup_id in view.of(BackupAbandoned):
            yield f"{backup_id} has several outcomes"


def everything_has_ended(view: View) -> Complaints:
    """At the end nothing is outstanding: each backup is complete, or given up with a reason."""
    for work in outstanding(view.state):
        yield f"{work} is outstanding"
    ended = view.of(BackupCompleted) + view.of(BackupAbandoned)
    for backup_id in view.of(BackupRequested).keys() - ended.keys():
        yield f"{backup_id} has no outcome"
    for event in view.story:
        if isinstance(event, BackupAbandoned) and not event.reason:
            yield f"{event.backup_id} was given up without a reason"


def nothing_is_left_over(view: View) -> Complaints:
    """LV1, LV2: in the vault are the listed backups, and no object or upload beside them."""
    listed = {_folder(b.cache, b.backup_id, b.attempts) for b in catalog.listed(view.state.catalog)}
    for name in view.far.under("caches/"):
        if name.rpartition("/")[0] + "/" not in listed:
            yield f"{name} is left over"
    for upload in view.far.uploads.values():
        yield f"an upload of {upload.name} is left over"


def the_chain_holds(view: View) -> Complaints:
    """I6: the log is dense and each record follows from the one before."""
    head = chain.EMPTY
    try:
        for record in view.far.records:
            head = chain.follow(head, record)
    except LogCorrupt as error:
        yield error.message
    if head.position != len(view.story):
        yield f"the log has {head.position} records, and {len(view.story)} were seen"


ALWAYS: tuple[Invariant, ...] = (
    only_whole_backups_are_listed,
    manifest_is_last,
    bytes_have_a_recorded_attempt,
    the_living_are_not_swept,
    sweeps_come_after_the_attempt,
    one_attempt_at_a_time,
    two_attempts_at_most,
    gone_means_gone,
    deletion_was_asked_for,
    outcomes_come_once,
)
AT_THE_END: tuple[Invariant, ...] = (
    *ALWAYS,
    everything_has_ended,
    nothing_is_left_over,
    the_chain_holds,
)


class Checker:
    """Looks on, and remembers what was wrong."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.first: Violation | None = None

    def events(self, records: tuple[Record, ...]) -> None:
        """Records have just become durable."""
        for record in records:
            event = codec.decode(record.data)
            self.view.state = evolve(self.view.state, record.envelope, event)
            self.view.story.append(event)
            self.view.last = event
        self.check(ALWAYS)

    def effect(self, what: str) -> None:
        """An effect has just happened on the far side."""
        self.view.last = what
        self.check(ALWAYS)

    def check(self, invariants: tuple[Invariant, ...]) -> None:
        """Remember the first complaint of the first invariant that has one."""
        for invariant in invariants:
            for detail in invariant(self.view):
                self.complain(invariant.__name__, detail=f"{detail} (after {self.view.last})")

    def complain(self, name: str, *, detail: str) -> None:
        """Something is wrong; the first thing is told, and the names of all."""
        self.first = self.first or Violation(name, detail)
        self.first.names.add(name)

    def verdict(self) -> None:
        """Raise what was wrong first."""
        if self.first is not None:
            raise self.first
