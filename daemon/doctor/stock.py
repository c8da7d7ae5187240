"""What a vault's listing has and the log does not, and the other way round (S1).

Pure. A listing never proves that something is gone, and nothing that the log does not know is
ever deleted: both are told, and a person decides.
"""

from collections.abc import Sequence

from msgspec import Struct

from daemon.storage import names
from daemon.storage.vault import ObjectInfo, ObjectName
from events.facts import InstallationId, VaultName
from projections import catalog
from projections.catalog import Backup
from projections.state import State

LOG = "log/"
"""Where copies of the log lie."""


class Difference(Struct, frozen=True):
    """Objects that the log does not know, and backups of which no manifest is listed."""

    unknown: tuple[ObjectInfo, ...]
    unlisted: tuple[Backup, ...]


class View(Struct, frozen=True):
    """Whose vault it is, and the log's state before and after it was listed.

    What changed meanwhile is known to one of them, and expected to be listed by both.
    """

    vault: VaultName
    installation: InstallationId
    before: State
    after: State


def compare(objects: Sequence[ObjectInfo], view: View) -> Difference:
    """The difference between a whole listing and the log."""
    listed = {info.name for info in objects}
    unknown = tuple(info for info in objects if not _known(info.name, view))
    unlisted = tuple(b for b in _expected(view) if manifest_of(b) not in listed)
    return Difference(unknown, unlisted)


def manifest_of(backup: Backup) -> ObjectName:
    """Where a complete backup's manifest lies."""
    return names.manifest_object(backup.cache, backup.backup_id, max(1, backup.attempts))


def _known(name: ObjectName, view: View) -> bool:
    """Whether this log has to do with an object of that name."""
    place = names.attempt_of(name)
    if place is None:
        ours = names.canary_folder(view.installation)
        return name == names.OWNER or name.startswith((LOG, ours))
    cache, backup_id, attempt = place
    known = [catalog.get(s.catalog, cache, backup_id) for s in (view.before, view.after)]
    return any(backup is not None and attempt <= backup.attempts for backup in known)


def _expected(view: View) -> list[Backup]:
    """Backups that are there all the time."""
    there = {b.backup_id for b in catalog.listed(view.before.catalog) if b.vault == view.vault}
    return [b for b in catalog.listed(view.after.catalog) if b.backup_id in there]
