"""Is a vault ahead of the log? What manifests and copies of the log remember, against the log (L3).

A log that was set back to an older copy is a whole chain in itself. Manifests that the log has
never heard of tell the most, so they are asked first; those that were recovered by somebody's
decision are no longer asked.
"""

from contextlib import aclosing

import structlog
from msgspec import Struct

from daemon.actors.history.seams import Outside
from daemon.errors import Failed
from daemon.ledger import Ledger
from daemon.storage.catalog import read_manifest
from daemon.storage.log_copies import list_segments, read_segment
from daemon.storage.sealing import Identities
from daemon.storage.segments import Segment
from daemon.storage.tips import Tip, listed
from daemon.storage.vault import Vault
from events import audit
from events.facts import BackupId, Position, VaultName
from events.log import LogError
from projections.state import State

log = structlog.get_logger()

ASKED = 8
"""So many of the newest manifests that the log does not know are asked."""


class Witness(Struct, frozen=True):
    """Something in a vault that remembers the log; no `sha256` where it cannot be read."""

    name: str
    position: Position
    sha256: str | None


class Difference(Struct, frozen=True):
    """The vault remembers `witness`, and the log, which ends at `here`, is another one."""

    witness: Witness
    here: Position
    forked: bool


async def difference(ledger: Ledger, outside: Outside, name: VaultName) -> Difference | None:
    """Where a vault of ours and the log do not agree; None if they do.

    The vault is asked before the log, so that what is written meanwhile cannot confuse.
    """
    vault = await outside.vaults.readable(name)
    witnesses = await _witnesses(ledger, outside, vault, name)
    head = await ledger.head()
    for witness in sorted(witnesses, key=lambda one: -one.position):
        if witness.position > head.position:
            return Difference(witness, head.position, forked=False)
        if witness.sha256 and await hash_at(ledger, witness.position) != witness.sha256:
            return Difference(witness, head.position, forked=True)
    return None


async def hash_at(ledger: Ledger, position: Position) -> str:
    """The log's hash at one of its positions, hexadecimal; nothing before the first."""
    if position < 1:
        return bytes(32).hex()
    async with aclosing(ledger.records(Position(position - 1))) as records:
        async for record in records:
            return record.hash.hex()
    return ""


async def identities(outside: Outside, vault: VaultName) -> Identities | None:
    """The vault's identities, if there are any here."""
    try:
        return await outside.keys.identities(vault)
    except Failed:
        return None


async def _witnesses(
    ledger: Ledger, outside: Outside, vault: Vault, name: VaultName
) -> list[Witness]:
    found = await _of_manifests(ledger.state, vault, outside)
    segments = await list_segments(vault)
    if segments:
        newest = max(segments, key=lambda one: one.span.last)
        found.append(await _of_segment(vault, newest, outside, name))
    return found


async def _of_manifests(state: State, vault: Vault, outside: Outside) -> list[Witness]:
    there = await listed(vault)
    known = {backup_id for of_cache in state.catalog.values() for backup_id in of_cache}
    strange = [one for one in there if one[0] not in known][:ASKED]
    first = [one for one in there[:1] if one not in strange and not _recovered(state, one[0])]
    found = []
    for backup_id, cache, attempt in (*first, *strange):
        try:
            manifest = await read_manifest(vault, cache, backup_id, attempt=attempt)
        except Failed as error:
            if not error.permanent:
                raise
            log.warning("manifest not compared", backup_id=backup_id, error=error.message)
            continue
        if manifest.installation == outside.installation:
            tip = Tip(cache, backup_id, manifest.log_position, manifest.log_sha256)
            found.append(Witness(f"backup {tip.backup_id}", tip.position, tip.sha256))
    return found


def _recovered(state: State, backup_id: BackupId) -> bool:
    return any(
        backup_id in of_cache and of_cache[backup_id].recovered
        for of_cache in state.catalog.values()
    )


async def _of_segment(vault: Vault, segment: Segment, outside: Outside, name: VaultName) -> Witness:
    """Its name tells how far it goes; its last line tells the hash, if it can be read here."""
    keys = await identities(outside, name) if segment.encrypted else None
    sha256 = None
    if keys is not None or not segment.encrypted:
        try:
            lines = await read_segment(vault, segment, outside.offload, keys)
            _, record = audit.told(lines[-1] if lines else b"")
            sha256 = record.hash.hex() if record.position == segment.span.last else None
        except (Failed, LogError) as error:
            if isinstance(error, Failed) and not error.permanent:
                raise
            log.warning("copy of the log not compared", name=segment.name, error=error.message)
    return Witness(f"its copy {segment.name}", segment.span.last, sha256)
