"""What must hold of backups and of the vault in every world, by name.

The checker sees both sides of every line. Each invariant looks only at what the last event or
effect was about, so that days of many caches can be watched; at the end everything is looked at
once more. Written from the rules and the events, not from the daemon's own code.
"""

import hashlib
from collections.abc import Callable, Iterator

import zstandard

from daemon.storage.catalog import decode
from daemon.storage.manifest import Manifest, ShardObject
from events import chain
from events.facts import BackupId, CacheName
from events.log import LogCorrupt
from events.types import (
    AttemptStarted,
    BackupAbandoned,
    BackupCancelled,
    BackupCompleted,
    BackupDeleted,
    BackupFailed,
    BackupRequested,
    BackupSkipped,
    DeletionRequested,
    LeftoversSwept,
    RetryScheduled,
    SnapshotTaken,
)
from projections import catalog
from projections.catalog import Backup
from projections.work import outstanding
from tests.simulation.view import View, folder_of
from tests.support.keys import opened

Complaints = Iterator[str]
Invariant = Callable[[View], Complaints]


def only_whole_backups_are_listed(view: View) -> Complaints:
    """S1, I1: a listed backup has the manifest of the log, and the bytes of a real snapshot.

    One that failed its verification is listed as such.
    """
    for backup in _concerned(view):
        if view.caches[backup.cache].backups[backup.backup_id].refuted:
            continue
        folder = folder_of(backup.cache, backup.backup_id, backup.attempts)
        stored = backup.stored
        data = view.far.objects.get(f"{folder}manifest.json")
        if stored is None or data is None:
            yield f"{backup.backup_id} is listed and has no manifest"
        elif hashlib.sha256(data).hexdigest() != stored.manifest_sha256:
            yield f"{backup.backup_id} has another manifest than the log says"
        elif any(trouble := [_damage(view, shard) for shard in decode(data).shards]):
            yield f"{backup.backup_id}: {trouble}"


def _concerned(view: View) -> Iterator[Backup]:
    """The listed backups that the last event or effect is about; all of them at the end."""
    match view.last:
        case BackupCompleted() as event:
            backup = catalog.get(view.state.catalog, event.cache, event.backup_id)
        case str() if view.last.startswith(_WRITES):
            _, cache, folder, _ = view.folder().split("/") if view.folder() else ("", "", "", "")
            backup_id = BackupId(folder.partition(".")[0])
            backup = catalog.get(view.state.catalog, CacheName(cache), backup_id)
        case "the end":
            yield from catalog.listed(view.state.catalog)
            return
        case _:
            return
    if backup is not None and backup.phase == "complete":
        yield backup


_WRITES = ("clear", "delete", "commit", "put")
"""Effects that change objects; one that lands late is named by the call that it is of."""


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
    if not isinstance(view.last, str) or not view.last.startswith(_WRITES):
        return
    name = f"{view.folder()}manifest.json"
    if (data := view.far.objects.get(name)) is not None:
        manifest: Manifest = decode(data)
        for shard in manifest.shards:
            if damage := _damage(view, shard):
                yield f"{name} is there, but {damage}"


def bytes_have_a_recorded_attempt(view: View) -> Complaints:
    """S1: the id is in the log before the first byte is in the vault."""
    if isinstance(view.last, str) and view.last.startswith(("create", "put", "write", "commit")):
        folder = view.folder()
        if folder and folder not in view.folders:
            yield f"{view.last} belongs to no recorded attempt"


def the_living_are_not_swept(view: View) -> Complaints:
    """S1, P3: nothing is removed of an attempt that runs, nor of a backup that is complete.

    So a deletion, too, is in the log before it happens.
    """
    if not isinstance(view.last, str) or not view.last.startswith(("clear", "delete")):
        return
    _, cache, folder, _ = view.folder().split("/") if view.folder() else ("", "", "", "")
    keeping = view.caches.get(CacheName(cache))
    entry = keeping.backups.get(BackupId(folder.partition(".")[0])) if keeping else None
    if entry is None or view.folder() != folder_of(entry.cache, entry.backup_id, entry.attempts):
        return
    if entry.running:
        yield f"{view.last} of an attempt that runs"
    if entry.outcome == "complete" and not entry.deletion:
        yield f"{view.last} of a backup that is complete"


def sweeps_come_after_the_attempt(view: View) -> Complaints:
    """S1: nothing is removed of a folder that somebody of this life still writes to."""
    if isinstance(view.last, str) and view.last.startswith("clear "):
        folder = view.last.removeprefix("clear ")
        if writing := [name for name in view.far.writing if name.startswith(folder)]:
            yield f"{view.last} while {writing} is written"


def live_uploads_are_left_alone(view: View) -> Complaints:
    """S1: no sweep takes away the upload of an attempt that runs."""
    swept, view.far.swept = view.far.swept, ()
    for name in swept:
        _, cache, folder, _ = name.split("/")
        for backup_id in view.keeping(CacheName(cache)).running:
            if backup_id == folder.partition(".")[0]:
                yield f"{view.last} took the upload of {name}, and its attempt runs"


def one_attempt_at_a_time(view: View) -> Complaints:
    """A7: a cache has at most one running backup, in the log and at the cache itself."""
    if isinstance(view.last, AttemptStarted):
        running = view.caches[view.last.cache].running
        if len(running) > 1:
            yield f"{len(running)} backups of {view.last.cache} run"
    elif isinstance(view.last, str) and view.last.startswith("snapshot"):
        twice = [url for url, number in view.far.open_snapshots.items() if number > 1]
        if twice:
            yield f"two snapshots are open at once at {twice}"


def two_attempts_at_most(view: View) -> Complaints:
    """M3: a manual backup has one attempt, and one more if the daemon caused the failure."""
    if not isinstance(view.last, AttemptStarted):
        return
    entry = view.entry(view.last)
    if entry.kind == "auto" or entry.attempts < 2:
        return
    by_us = entry.failed is not None and entry.failed.cause == "daemon"
    if entry.attempts > 2 or not by_us:
        yield f"{entry.backup_id} has had {entry.attempts} attempts"


def gone_means_gone(view: View) -> Complaints:
    """S1, I5: when the log says swept or deleted, nothing of it is in the vault.

    But what a call that has not returned may still reach, and a complete backup's own folder.
    """
    if not isinstance(view.last, LeftoversSwept | BackupDeleted) or view.late_effects:
        return
    cache, backup_id = view.last.cache, view.last.backup_id
    left = view.far.under(f"caches/{cache}/{backup_id}")
    if isinstance(view.last, LeftoversSwept):
        entry = view.entry(view.last)
        elsewhere = {folder_of(cache, backup_id, attempt) for attempt in entry.stuck}
        if view.last.attempts:
            swept = {folder_of(cache, backup_id, attempt) for attempt in view.last.attempts}
            left = [name for name in left if name.startswith(tuple(swept))]
        left = [name for name in left if not name.startswith(tuple(elsewhere))]
    if left:
        yield f"{type(view.last).__name__}, and yet there is {left}"


def cancelled_is_over(view: View) -> Complaints:
    """A backup that was cancelled had not ended, and nothing follows from it but its sweep."""
    if isinstance(view.last, BackupCancelled):
        ends = (BackupCompleted, BackupAbandoned, BackupSkipped, BackupCancelled)
        if sum(view.of(kind)[view.last.backup_id] for kind in ends) > 1:
            yield f"{view.last.backup_id} was cancelled, and had ended before"
    elif isinstance(view.last, BackupFailed | RetryScheduled | SnapshotTaken):
        of, backup_id = view.last, view.last.backup_id
        yield from (
            f"{of} after it was cancelled" for _ in range(view.of(BackupCancelled)[backup_id])
        )


def deletion_was_asked_for(view: View) -> Complaints:
    """P3, I5: a deletion is in the log before it is finished."""
    if isinstance(view.last, BackupDeleted):
        backup_id = view.last.backup_id
        if not view.of(DeletionRequested)[backup_id]:
            yield f"{backup_id} was deleted and nobody asked for it"


def outcomes_come_once(view: View) -> Complaints:
    """P4: a backup has one outcome, and no attempt after it."""
    match view.last:
        case BackupCompleted() | BackupAbandoned() | BackupSkipped() | AttemptStarted():
            mine = view.last.backup_id
        case _:
            return
    outcomes = (BackupCompleted, BackupAbandoned, BackupSkipped, BackupCancelled)
    ends = sum(view.of(kind)[mine] for kind in outcomes)
    if ends > (0 if isinstance(view.last, AttemptStarted) else 1):
        yield f"{mine} has several outcomes, or an attempt after its outcome"


def everything_has_ended(view: View) -> Complaints:
    """At the end nothing is outstanding: each backup has an outcome, and a reason if it failed."""
    for work in outstanding(view.state):
        yield f"{work} is outstanding"
    ended = view.of(BackupCompleted) + view.of(BackupAbandoned) + view.of(BackupSkipped)
    ended += view.of(BackupCancelled)
    for backup_id in view.of(BackupRequested).keys() - ended.keys():
        yield f"{backup_id} has no outcome"


def reasons_are_given(view: View) -> Complaints:
    """A6, A7: whoever gives a backup up says why."""
    if isinstance(view.last, BackupAbandoned | BackupSkipped) and not view.last.reason:
        yield f"{view.last.backup_id} was given up without a reason"


def nothing_is_left_over(view: View) -> Complaints:
    """LV1, LV2: in the vault are the listed backups, and no object or upload beside them."""
    found = catalog.listed(view.state.catalog)
    listed = {folder_of(b.cache, b.backup_id, b.attempts) for b in found}
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
    if head.position != view.records:
        yield f"the log has {head.position} records, and {view.records} were seen"


AFTER_EVENTS: tuple[Invariant, ...] = (
    only_whole_backups_are_listed,
    one_attempt_at_a_time,
    two_attempts_at_most,
    gone_means_gone,
    deletion_was_asked_for,
    outcomes_come_once,
    cancelled_is_over,
    reasons_are_given,
)
AFTER_EFFECTS: tuple[Invariant, ...] = (
    only_whole_backups_are_listed,
    manifest_is_last,
    bytes_have_a_recorded_attempt,
    the_living_are_not_swept,
    sweeps_come_after_the_attempt,
    live_uploads_are_left_alone,
    one_attempt_at_a_time,
)
AT_THE_END: tuple[Invariant, ...] = (
    only_whole_backups_are_listed,
    everything_has_ended,
    nothing_is_left_over,
    the_chain_holds,
)
