"""Backups as a vault knows them: a folder each, and a manifest that makes it one (S1, V6).

Knows in which order things are written and deleted: the manifest last and first. A manifest
is read as if a stranger had written it, for that may be so.
"""

import hashlib
import re
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from daemon.errors import BadRequest, Permanent
from daemon.storage import names
from daemon.storage.manifest import Manifest, ShardObject
from daemon.storage.vault import Vault
from daemon.storage.vault_errors import still_there
from events.facts import ONLY_SHARD, BackupId, CacheName

MANIFEST_LIMIT_BYTES = 64 << 20
MOST_BLOCKS = 65_536
_SHA256 = re.compile("[0-9a-f]{64}")
_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Manifest)


def encode(manifest: Manifest) -> bytes:
    """The manifest as it is stored; equal manifests give equal bytes."""
    # As plain values first: msgspec orders only mappings whose keys are texts.
    return _encoder.encode(msgspec.to_builtins(manifest, str_keys=True))


def decode(data: bytes, expected_sha256: str | None = None) -> Manifest:
    """A manifest whose parts agree with each other.

    With the hash that the log holds, anything else is ``manifest-tampered``; without one
    (recovery) it can only be ``manifest-unreadable``. Both are `Permanent`.
    """
    if expected_sha256 is not None and hashlib.sha256(data).hexdigest() != expected_sha256:
        raise Permanent(
            "manifest-tampered",
            "the manifest in the vault is not the one that was written there",
            "find out who changed it; the vault's other backups are not concerned: verify them",
        )
    if len(data) > MANIFEST_LIMIT_BYTES:
        raise _unreadable(f"it has {len(data)} bytes")
    try:
        manifest = _decoder.decode(data)
        _check_parts(manifest)
    except (msgspec.DecodeError, BadRequest, RecursionError, UnicodeDecodeError) as error:
        raise _unreadable(str(error)) from error
    return manifest


async def write_manifest(vault: Vault, manifest: Manifest) -> str:
    """Write the manifest, durable when it returns: the backup exists. Its SHA-256."""
    data = encode(manifest)
    name = names.manifest_object(manifest.cache, manifest.backup_id, manifest.attempt)
    async with vault.create(name) as writer:
        await writer.write(data)
        await writer.commit()
    return hashlib.sha256(data).hexdigest()


async def read_manifest(
    vault: Vault,
    cache: CacheName,
    backup_id: BackupId,
    expected_sha256: str | None = None,
    *,
    attempt: int = 1,
) -> Manifest:
    """One backup's manifest, checked; ``manifest-missing`` means that there is no such backup."""
    found = await stored_manifest(vault, cache, backup_id, expected_sha256, attempt=attempt)
    return found.manifest


class StoredManifest(Struct, frozen=True):
    """A manifest, and its very bytes."""

    manifest: Manifest
    data: bytes


async def stored_manifest(
    vault: Vault,
    cache: CacheName,
    backup_id: BackupId,
    expected_sha256: str | None = None,
    *,
    attempt: int = 1,
) -> StoredManifest:
    """As `read_manifest`, with the bytes that lie there: a copy has to have the same ones."""
    name = names.manifest_object(cache, backup_id, attempt)
    data = await vault.get(name, MANIFEST_LIMIT_BYTES)
    if data is None:
        raise Permanent(
            "manifest-missing",
            f"{vault.url} has no {name}",
            "the backup was deleted from outside, or this is not its vault",
        )
    try:
        manifest = decode(data, expected_sha256)
    except Permanent as error:
        raise Permanent(
            error.code, f"{name} in {vault.url}: {error.message}", error.hint
        ) from error
    if (manifest.cache, manifest.backup_id, manifest.attempt) != (cache, backup_id, attempt):
        raise Permanent(
            "manifest-tampered",
            f"{name} in {vault.url} belongs to {manifest.cache}/{manifest.backup_id}",
            "somebody copied it there: restore that backup by its own id",
        )
    return StoredManifest(manifest, data)


async def delete_backup(
    vault: Vault, cache: CacheName, backup_id: BackupId, *, attempts: int = 1
) -> None:
    """Delete a backup, or what so many attempts at it have left; may be repeated.

    The manifest goes first: from then on the backup does not exist, whatever happens next. The
    data is asked for by its name at last: a listing that came back short is no proof (S1).
    """
    await delete_attempts(vault, cache, backup_id, range(attempts, 0, -1))


async def delete_attempts(
    vault: Vault, cache: CacheName, backup_id: BackupId, attempts: Iterable[int]
) -> None:
    """As `delete_backup`, for these attempts only."""
    for attempt in attempts:
        folder = names.backup_folder(cache, backup_id, attempt)
        await vault.delete(names.manifest_object(cache, backup_id, attempt))
        await vault.clear(folder)
        for encrypted in (False, True):
            name = names.shard_object(cache, backup_id, ONLY_SHARD, attempt, encrypted=encrypted)
            if await vault.size(name) is not None:
                raise still_there(vault.url, prefix=folder)


def _check_parts(manifest: Manifest) -> None:
    names.backup_folder(manifest.cache, manifest.backup_id, manifest.attempt)
    if len({shard.shard for shard in manifest.shards}) != len(manifest.shards):
        raise msgspec.ValidationError("a shard is listed twice")
    for shard in manifest.shards:
        _check_shard(manifest, shard)


def _check_shard(manifest: Manifest, shard: ShardObject) -> None:
    """An object outside the backup's own folder, sizes that do not add up, absurd numbers."""
    encrypted = "age" in shard.codecs
    place = names.shard_object(
        manifest.cache, manifest.backup_id, shard.shard, manifest.attempt, encrypted=encrypted
    )
    if shard.object != place:
        raise msgspec.ValidationError(f"shard {shard.shard} lies at a strange place")
    if encrypted != bool(shard.recipients):
        raise msgspec.ValidationError(f"shard {shard.shard} does not tell who can decrypt it")
    sizes = [block.size_bytes for block in shard.blocks]
    if len(sizes) > MOST_BLOCKS or min(sizes, default=1) < 1 or shard.plain_bytes < 0:
        raise msgspec.ValidationError(f"shard {shard.shard} has impossible sizes")
    if sum(sizes) != shard.stored_bytes:
        raise msgspec.ValidationError(f"the blocks of shard {shard.shard} are not its whole")
    hashes = (shard.sha256, *(block.sha256 for block in shard.blocks))
    if not all(map(_SHA256.fullmatch, hashes)):
        raise msgspec.ValidationError(f"shard {shard.shard} has a hash that is none")


def _unreadable(why: str) -> Permanent:
    return Permanent(
        "manifest-unreadable",
        f"the manifest cannot be read: {why}",
        "it was damaged, or written by a newer version of Valkeep: try that version",
    )
