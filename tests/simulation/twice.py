"""What must hold of copies in a second vault, by name.

The second vault's calls begin with its name, so that what holds of the first is not asked of it.
Written from the events and the two far sides, not from the daemon's own code.
"""

from collections.abc import Iterator

from events.copies import CopyCompleted, CopyDeleted, CopyRequested
from events.types import BackupDeleted
from projections import catalog
from projections.catalog import Backup
from tests.simulation.far import Far
from tests.simulation.invariants import Complaints, Invariant
from tests.simulation.view import View, folder_of
from tests.support.samples import SECOND

SAYS = f"{SECOND}: "


def _second(view: View) -> Far:
    return view.far.vault(SECOND)


def _under(far: Far, folder: str) -> dict[str, bytes]:
    return {name: data for name, data in far.objects.items() if name.startswith(folder)}


def _copied(view: View) -> Iterator[tuple[Backup, str]]:
    """The backups that have a whole copy by the log, and where it lies."""
    for backup in catalog.listed(view.state.catalog):
        if any(copy.phase == "complete" for copy in backup.copies):
            yield backup, folder_of(backup.cache, backup.backup_id, backup.attempts)


def copies_are_whole(view: View) -> Complaints:
    """S1: a copy that the log calls complete has every object of its backup, byte for byte."""
    if not isinstance(view.last, CopyCompleted) and not str(view.last).startswith(SAYS):
        return
    for backup, folder in _copied(view):
        if folder in view.spoilt:
            continue
        if _under(_second(view), folder) != _under(view.far, folder):
            yield f"the copy of {backup.backup_id} is not its backup"


def manifest_of_a_copy_is_last(view: View) -> Complaints:
    """S1: whenever the second vault has a manifest, all that it names is there and whole."""
    if not str(view.last).startswith(SAYS):
        return
    folder = view.folder()
    there, wanted = _under(_second(view), folder), _under(view.far, folder)
    whole = all(there.get(name) == data for name, data in wanted.items()) or folder in view.spoilt
    if folder and f"{folder}manifest.json" in there and not view.late_effects and not whole:
        yield f"{folder} has a manifest in the second vault, and is not whole"


def copies_have_a_record(view: View) -> Complaints:
    """S1: a copy is in the log before its first byte is in the second vault."""
    if isinstance(view.last, str) and view.last.startswith(SAYS) and view.folder():
        backup_id = view.folder().split("/")[2].partition(".")[0]
        if not view.of(CopyRequested)[backup_id]:
            yield f"{view.last} belongs to no copy that was asked for"


def the_read_are_left_alone(view: View) -> Complaints:
    """A11: nothing is removed of a backup while a copy of it is being written."""
    if isinstance(view.last, str) and view.last.startswith(("clear ", "delete ")):
        writing = [name for name in _second(view).writing if name.startswith(view.folder())]
        if writing:
            yield f"{view.last} while {writing} is written from it"


def copies_go_with_their_backup(view: View) -> Complaints:
    """I5: when the log says that a copy or a backup is deleted, the second vault has none of it."""
    if isinstance(view.last, CopyDeleted | BackupDeleted) and not view.late_effects:
        left = _second(view).under(f"caches/{view.last.cache}/{view.last.backup_id}")
        if left:
            yield f"{type(view.last).__name__}, and the second vault has {left}"


def nothing_lies_beside_copies(view: View) -> Complaints:
    """LV1, LV2: at the end the second vault has whole copies, and nothing beside them."""
    whole = [folder for _, folder in _copied(view)]
    for name in _second(view).under("caches/"):
        if f"{name.rpartition('/')[0]}/" not in whole:
            yield f"{name} is left over in the second vault"
    for upload in _second(view).uploads.values():
        yield f"an upload of {upload.name} is left over in the second vault"


AFTER_EVENTS: tuple[Invariant, ...] = (copies_are_whole, copies_go_with_their_backup)
AFTER_EFFECTS: tuple[Invariant, ...] = (
    copies_are_whole,
    manifest_of_a_copy_is_last,
    copies_have_a_record,
    the_read_are_left_alone,
)
AT_THE_END: tuple[Invariant, ...] = (nothing_lies_beside_copies,)
