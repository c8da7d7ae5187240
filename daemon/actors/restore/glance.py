"""A look at what lies in the vault for a backup, before a plan of its restore is made.

Reads the manifest and the object's first block, and no more: a plan must be quick. What it finds
damaged is for the plan to say; a vault that cannot be asked is raised.
"""

import anyio
from msgspec import Struct, structs

from daemon.actors.restore.elsewhere import from_vault, others
from daemon.actors.seams import ReadableVaults
from daemon.errors import Failed, Permanent, Transient
from daemon.ledger import Ledger
from daemon.ports import Offload
from daemon.storage.catalog import read_manifest
from daemon.storage.manifest import ShardObject
from daemon.storage.reader import Reading, check_first, read_first
from daemon.storage.sealing import Identities, Keys
from daemon.storage.vault import Vault
from daemon.valkey.rdb import HEADER_LIMIT, read_header
from events.facts import Failure, VaultName
from projections.catalog import Backup
from projections.copies import in_vault
from projections.restore_stored import NO_RDB, Glance

GLANCE_SECONDS = 120.0
"""Enough for one block over a slow line; somebody waits for the plan."""


class Shelf(Struct, frozen=True):
    """Where backups are, how they are opened, and what the log says of them."""

    ledger: Ledger
    vaults: ReadableVaults
    keys: Keys
    offload: Offload


async def glance(
    shelf: Shelf, backup: Backup, vault: VaultName | None, identities: Identities | None
) -> Glance:
    """What the stored bytes look like.

    Raises what the vault raises, also for a wrong manifest; `Transient("vault-stalled")` when it
    does not answer.
    """
    there = from_vault(backup, vault)
    with anyio.move_on_after(GLANCE_SECONDS):
        return await _glance(shelf, there, identities, original=backup)
    raise Transient(
        "vault-stalled",
        f"Vault {there.vault!r} has not given a manifest and one block for {GLANCE_SECONDS:g} s.",
        "`valkeep doctor` tells how it is.",
    )


async def _glance(
    shelf: Shelf, there: Backup, identities: Identities | None, *, original: Backup
) -> Glance:
    """`there` is the backup as it lies in the vault that is read, the original as in its own."""
    opened = await shelf.vaults.readable(there.vault)
    manifest = await read_manifest(
        opened,
        there.cache,
        there.backup_id,
        there.stored.manifest_sha256 if there.stored else None,
        attempt=there.attempts,
    )
    # As long as only caches of one shard are backed up (DESIGN 12) there is only one.
    seen = Glance()
    for shard in manifest.shards[:1]:
        seen = await _seen(opened, shard, Reading(shelf.offload, identities=identities))
    if seen.trouble is not None:
        return Glance(trouble=_elsewhere(seen.trouble, original, there.vault))
    return structs.replace(seen, refuted=_refuted(original, there.vault))


def _refuted(backup: Backup, vault: VaultName) -> Failure | None:
    """What a verification has found wrong with the backup, or with its copy in that vault."""
    if vault == backup.vault:
        return backup.proof.refuted
    copy = in_vault(backup.copies, vault)
    return copy.proof.refuted if copy is not None else None


async def _seen(vault: Vault, shard: ShardObject, reading: Reading) -> Glance:
    """The header of one shard, or why it must not be used."""
    try:
        if not _may_open(shard, reading.identities):
            # The plan has a finding for that; that the bytes are right can be said anyway.
            await check_first(vault, shard, reading.offload)
            return Glance()
        plain = await read_first(vault, shard, reading)
    except Permanent as error:
        return Glance(trouble=error.as_failure())
    return _header(plain, shard)


def _may_open(shard: ShardObject, identities: Identities | None) -> bool:
    """Whether it is worth trying; an object's recipients are what its manifest says they are."""
    if "age" not in shard.codecs:
        return True
    if identities is None:
        return False
    return not shard.recipients or bool(set(shard.recipients) & set(identities.recipients))


def _header(plain: bytes, shard: ShardObject) -> Glance:
    try:
        header = read_header(plain[:HEADER_LIMIT])
    except Failed as error:
        told = f"{shard.object}: {error.message}"
        return Glance(trouble=Failure(NO_RDB, told, "Use another backup.", permanent=True))
    return Glance(rdb_version=header.version if header else None)


def _elsewhere(trouble: Failure, backup: Backup, used: VaultName) -> Failure:
    """The trouble, and which other vault has the backup too."""
    there = others(backup, used)
    if not there:
        return trouble
    hint = f"Vault {there[0]!r} has it too: say --from {there[0]}; or else: {trouble.hint}"
    return structs.replace(trouble, hint=hint)
