"""Restoring from a copy: reading the backup from another vault, and telling that one is there."""

from msgspec import structs

from daemon.errors import Failed
from events.facts import VaultName
from projections.catalog import Backup
from projections.copies import complete_in
from projections.restores import Restore

_OF_THE_VAULT = ("vault-", "manifest-", "object-", "block-")
"""How the codes begin of what can be wrong with a stored backup, or with where it is stored."""


def from_vault(backup: Backup, vault: VaultName | None) -> Backup:
    """The backup as it is in that vault, which has the same bytes under the same names."""
    return backup if vault is None else structs.replace(backup, vault=vault)


def with_copies(error: Failed, backup: Backup, restore: Restore) -> Failed:
    """The error, and where else the backup is, if that may help."""
    there = others(backup, restore.vault or backup.vault)
    if not there or not error.code.startswith(_OF_THE_VAULT):
        return error
    told = f"vault {there[0]!r} has it too: say --from {there[0]}"
    return type(error)(error.code, error.message, f"{told}; or else: {error.hint}")


def others(backup: Backup, used: VaultName) -> list[VaultName]:
    """The vaults that have the backup beside the one that is used, those found damaged last."""
    copies = complete_in(backup.copies)
    there = (*copies, backup.vault) if backup.proof.refuted else (backup.vault, *copies)
    return [vault for vault in there if vault != used]
