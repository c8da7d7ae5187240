"""Copying a backup from one vault to another: stored bytes as they are, under the same names.

Every block is compared with the manifest's hash on the way, and the manifest comes last, byte for
byte the same. No identity is wanted: nothing is decrypted. Two names for one place would make a
sweep of the copy a sweep of the backup; that is found out before anything is removed.
"""

from msgspec import Struct

from daemon.errors import Permanent, Transient
from daemon.ports import Offload, Progress
from daemon.storage import names
from daemon.storage.catalog import MANIFEST_LIMIT_BYTES, StoredManifest, stored_manifest
from daemon.storage.manifest import ShardObject
from daemon.storage.reader import read_stored
from daemon.storage.vault import ObjectName, Vault
from events.facts import BackupId, CacheName

SAME_PLACE = "copy-same-place"


class Original(Struct, frozen=True):
    """A complete backup in its own vault; `attempt` is the one that made it (see `names`)."""

    vault: Vault
    cache: CacheName
    backup_id: BackupId
    attempt: int
    manifest_sha256: str


class Way(Struct, frozen=True):
    """From one vault to another."""

    source: Vault
    to: Vault


async def copy_backup(original: Original, to: Vault, offload: Offload, progress: Progress) -> int:
    """Copy a backup whole, durable when it returns; the stored bytes of its shards.

    What an earlier try has left is cleared first. Raises what the vaults raise, `Permanent` for a
    backup that is damaged or whose vault is `to` under another name, and ``copy-differs`` when
    the other vault does not have what it was given. To be repeated after a while only: a call
    that failed may yet have its effect.
    """
    found = await _manifest(original)
    shards = found.manifest.shards
    progress.phase("copying", sum(shard.stored_bytes for shard in shards))
    await clear_copy(original, to)
    for shard in shards:
        await _copy_shard(shard, Way(original.vault, to), offload, progress)
    name = names.manifest_object(original.cache, original.backup_id, original.attempt)
    async with to.create(name) as writer:
        await writer.write(found.data)
        await writer.commit()
    if await to.get(name, MANIFEST_LIMIT_BYTES) != found.data:
        raise _differs(to, name)
    return sum(shard.stored_bytes for shard in shards)


async def prove_original(original: Original, offload: Offload, progress: Progress) -> None:
    """Read a backup whole and compare it with its hashes; `Permanent` for one that is damaged.

    Before a damaged copy is cleared to be made anew: it may still have what the backup has lost.
    """
    found = await _manifest(original)
    shards = found.manifest.shards
    progress.phase("proving the backup", sum(shard.stored_bytes for shard in shards))
    for shard in shards:
        async with read_stored(original.vault, shard, offload) as blocks:
            async for block in blocks:
                progress.advance(len(block))


async def _manifest(original: Original) -> StoredManifest:
    return await stored_manifest(
        original.vault,
        original.cache,
        original.backup_id,
        original.manifest_sha256,
        attempt=original.attempt,
    )


async def clear_copy(original: Original, vault: Vault) -> None:
    """Remove what tries at a copy have left in a vault; the backup itself is living.

    Raises ``copy-same-place``, having removed nothing, when the two vaults are one place.
    """
    marker = names.copy_marker(original.cache, original.backup_id, original.attempt)
    await vault.put(marker, b"a copy is being made here\n")
    if await original.vault.size(marker) is not None:
        await vault.delete(marker)
        raise Permanent(
            SAME_PLACE,
            f"{vault.url} and {original.vault.url} are one place under two names",
            "name a vault elsewhere as copy_to: a copy has to outlive its original",
        )
    folder = names.backup_folder(original.cache, original.backup_id, original.attempt)
    await vault.delete(names.manifest_object(original.cache, original.backup_id, original.attempt))
    await vault.clear(folder)


async def _copy_shard(shard: ShardObject, way: Way, offload: Offload, progress: Progress) -> None:
    name = ObjectName(shard.object)
    reading = read_stored(way.source, shard, offload)
    async with reading as blocks, way.to.create(name) as writer:
        async for block in blocks:
            await writer.write(block)
            progress.advance(len(block))
        await writer.commit()
    if await way.to.size(name) != shard.stored_bytes:
        raise _differs(way.to, name)


def _differs(vault: Vault, name: ObjectName) -> Transient:
    return Transient(
        "copy-differs",
        f"{vault.url} does not have {name} as it was given",
        "it is copied again; look after that vault if this goes on",
    )
