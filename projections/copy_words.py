"""Why a backup cannot be read from a vault, and where else it is, in words. Pure."""

from events.facts import VaultName
from projections.catalog import Backup
from projections.copies import Copy, complete_in, in_vault


def may_be_read(copy: Copy) -> bool:
    """Whether a copy is there to be verified: also one that is to be made anew.

    Somebody may have put that right by hand, while its backup is lost.
    """
    return copy.phase == "complete" or (copy.mending and copy.phase in ("waiting", "failed"))


def why_no_copy(backup: Backup, vault: VaultName) -> tuple[str, str]:
    """What is said of a vault that has no whole copy of a backup, and what to do."""
    what = f"backup {backup.cache}/{backup.name}"
    copy = in_vault(backup.copies, vault)
    there = f"It is in: {', '.join((backup.vault, *complete_in(backup.copies)))}."
    show = f"`valkeep backup show {backup.backup_id}`"
    if copy is None:
        return f"Vault {vault!r} has no copy of {what}.", f"{there} {show} tells more."
    if may_be_read(copy):
        told = f"The copy of {what} in {vault!r} was found damaged, and is to be made anew."
        again = f"`valkeep backup verify {backup.backup_id} --from {vault}`"
        return told, f"{there} If the copy was put right, have it looked at again: {again}."
    told = f"The copy of {what} in {vault!r} is not complete ({copy.phase})."
    return told, f"{there} {show} tells how far it is."
