"""What must hold of verifications in every world.

Written from the rules and the events: damage is looked for in the far side's own bytes, at the
instant of the verdict.
"""

import hashlib
from collections.abc import Iterator

from daemon.storage.catalog import decode
from events.proofs import BackupVerified, VerificationFailed
from events.types import (
    DeletionRequested,
)
from tests.simulation.far import Far
from tests.simulation.view import Entry, View, folder_of

Complaints = Iterator[str]


def verdicts_are_true(view: View) -> Complaints:
    """A backup fails its verification exactly when what is stored is not what was stored."""
    match view.last:
        case BackupVerified() | VerificationFailed() as event:
            entry = view.entry(event)
            whole = is_whole(view.far, entry)
        case _:
            return
    if isinstance(event, BackupVerified) and not whole:
        yield f"{entry.backup_id} is damaged, and was said to be proven"
    if isinstance(event, VerificationFailed) and whole:
        yield f"{entry.backup_id} is whole, and failed: {event.failure.code}"


def is_whole(far: Far, entry: Entry) -> bool:
    """Whether a vault has all of a backup's bytes, as its manifest there says."""
    folder = folder_of(entry.cache, entry.backup_id, entry.attempts)
    data = far.objects.get(f"{folder}manifest.json")
    if data is None:
        return False
    for shard in decode(data).shards:
        stored, at = far.objects.get(shard.object, b""), 0
        for block in shard.blocks:
            piece = stored[at : at + block.size_bytes]
            at += block.size_bytes
            if hashlib.sha256(piece).hexdigest() != block.sha256:
                return False
        if at != len(stored):
            return False
    return True


def what_is_read_stays(view: View) -> Complaints:
    """R8, A11: nothing that is being verified is to go, nor is anything of it removed."""
    match view.last:
        case DeletionRequested():
            if view.entry(view.last).verifying:
                yield f"{view.last.backup_id} is to go, and is being verified"
        case str() if view.last.startswith(("clear", "delete")) and view.folder():
            entries = [e for keeping in view.caches.values() for e in keeping.backups.values()]
            reading = [folder_of(e.cache, e.backup_id, e.attempts) for e in entries if e.verifying]
            if view.folder() in reading:
                yield f"{view.last} of a backup that is being verified"


ABOUT_PROOFS = (verdicts_are_true, what_is_read_stays)
