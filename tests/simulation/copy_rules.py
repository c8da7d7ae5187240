"""What must hold in every world of the verification of copies, and of copies that are made anew.

Written from the events and the two far sides: what is damaged is looked for in their own bytes,
and what is known of a backup is told by the events that are about itself.
"""

from events.copy_proofs import CopyProofEvent, CopyVerificationFailed, CopyVerified
from projections import catalog
from projections.catalog import Backup
from projections.copies import Copy, in_vault
from tests.simulation.invariants import Complaints, Invariant
from tests.simulation.verdicts import is_whole
from tests.simulation.view import Entry, View, folder_of
from tests.support.samples import SECOND

_REMOVALS = tuple(f"{SECOND}: {what} caches/" for what in ("delete", "clear"))


def verdicts_on_copies_are_true(view: View) -> Complaints:
    """A copy fails its verification exactly when what lies in its vault is not the backup."""
    match view.last:
        case CopyVerified() | CopyVerificationFailed() as event:
            whole = is_whole(view.far.vault(event.vault), view.entry(event))
        case _:
            return
    if isinstance(event, CopyVerified) and not whole:
        yield f"the copy of {event.backup_id} is damaged, and was said to be proven"
    if isinstance(event, CopyVerificationFailed) and whole:
        yield f"the copy of {event.backup_id} is whole, and failed: {event.failure.code}"


def copies_say_nothing_of_backups(view: View) -> Complaints:
    """What is known of a backup follows from its own verifications, whatever befalls its copies."""
    if not isinstance(view.last, CopyProofEvent):
        return
    entry = view.entry(view.last)
    backup = catalog.get(view.state.catalog, entry.cache, entry.backup_id)
    if backup is not None and (backup.proof.refuted is not None) != entry.refuted:
        yield f"{type(view.last).__name__} has changed what is known of {entry.backup_id}"


def damaged_copies_outlive_doubt(view: View) -> Complaints:
    """Nothing of a copy that was made is removed before its backup is whole, if that is to stay."""
    if not str(view.last).startswith(_REMOVALS) or view.late_effects:
        return
    for backup, entry, copy in _made(view):
        if folder_of(entry.cache, entry.backup_id, entry.attempts) != view.folder():
            continue
        if copy.phase == "complete":
            yield f"{view.last} of a copy that is complete"
        elif not is_whole(view.far, entry):
            yield f"{view.last}, and backup {backup.backup_id} itself is damaged"


def _made(view: View) -> list[tuple[Backup, Entry, Copy]]:
    """The backups that live and have bytes in the second vault, with what the book has of them."""
    found = []
    for backup in catalog.listed(view.state.catalog):
        copy = in_vault(backup.copies, SECOND)
        if copy is not None and copy.completed_at is not None:
            found.append((backup, view.caches[backup.cache].backups[backup.backup_id], copy))
    return found


def rot_is_found(view: View) -> Complaints:
    """A copy that was damaged is known to be so two periods later, or it is whole again."""
    period = view.far.reread
    if period is None:
        return
    for _, entry, copy in _made(view):
        folder = folder_of(entry.cache, entry.backup_id, entry.attempts)
        since = view.spoilt.get(folder)
        if since is not None and copy.good:
            late = view.wall - max(since, view.calm_since or since)
            if late > 2 * period:
                yield f"the copy of {entry.backup_id} was damaged {late} ago, and nobody knows"


def damage_is_mended(view: View) -> Complaints:
    """At the end no copy is known to be damaged whose backup is whole: it was made anew."""
    for _, entry, copy in _made(view):
        if copy.proof.refuted is not None and is_whole(view.far, entry):
            yield f"the copy of {entry.backup_id} is damaged, and was not made anew"


AFTER_EVENTS: tuple[Invariant, ...] = (verdicts_on_copies_are_true, copies_say_nothing_of_backups)
AFTER_EFFECTS: tuple[Invariant, ...] = (damaged_copies_outlive_doubt,)
AT_THE_END: tuple[Invariant, ...] = (rot_is_found, damage_is_mended)
