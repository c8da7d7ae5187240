"""The proof of one backup as an answer, perhaps after its verification has ended."""

import anyio

from daemon.answers import BackupDetail
from daemon.api.asked import Asked
from daemon.api.find import any_backup
from daemon.api.queries import WaitQuery, moment_of
from daemon.api.views import backup_detail


async def proof(asked: Asked) -> BackupDetail:
    """One backup; with `wait`, as soon as nothing is being verified of it."""
    ledger = asked.outside.ledger
    backup_id = any_backup(ledger.state, asked.parts["ref"]).backup_id
    with anyio.move_on_after(asked.queried(WaitQuery).wait):
        while backup_id in ledger.state.verifications:
            await ledger.changed(ledger.state)
    found = any_backup(ledger.state, backup_id)
    return backup_detail(moment_of(asked), found, asked.outside.locate)
