"""The proof of one backup, or of a copy of it, perhaps after its verification has ended."""

import anyio

from daemon.answers import BackupDetail
from daemon.api.asked import Asked
from daemon.api.find import any_backup
from daemon.api.queries import WaitQuery, moment_of
from daemon.api.views import backup_detail
from events.facts import VaultName
from projections.catalog import Backup
from projections.state import State
from projections.work import checked_in


class ProofQuery(WaitQuery, frozen=True, forbid_unknown_fields=True):
    """`vault`: wait for the verification of its copy there, not for that of the backup itself."""

    vault: str | None = None


async def proof(asked: Asked) -> BackupDetail:
    """One backup; with `wait`, as soon as nothing is being verified of it."""
    ledger, query = asked.outside.ledger, asked.queried(ProofQuery)
    first = any_backup(ledger.state, asked.parts["ref"])
    backup_id, vault = first.backup_id, VaultName(query.vault or first.vault)
    with anyio.move_on_after(query.wait):
        while _under_way(ledger.state, first, vault):
            await ledger.changed(ledger.state)
    found = any_backup(ledger.state, backup_id)
    return backup_detail(moment_of(asked), found, asked.outside.locate)


def _under_way(state: State, backup: Backup, vault: VaultName) -> bool:
    """Whether what lies in that vault is being verified, or waits for it."""
    if vault == backup.vault:
        return backup.backup_id in state.verifications
    return checked_in(state, backup.cache, backup.backup_id, vault) is not None
