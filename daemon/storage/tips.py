"""Tips of the log that are kept elsewhere: what the newest manifest says of the chain (L3).

A log that was cut or set back to an older copy is a whole chain in itself; only somebody who
remembers its later head can notice.
"""

from contextlib import aclosing

from msgspec import Struct

from daemon.storage import names
from daemon.storage.catalog import read_manifest
from daemon.storage.vault import Vault
from events.facts import BackupId, CacheName, InstallationId, Position

_SECOND = len("20260101T120000Z")
"""Of backups that were asked for in one second any may be the newest."""


class Tip(Struct, frozen=True):
    """The chain's head when a backup's manifest was written; `sha256` is hexadecimal."""

    cache: CacheName
    backup_id: BackupId
    position: Position
    sha256: str


async def newest_tip(
    vault: Vault, installation: InstallationId, *, but: frozenset[BackupId] = frozenset()
) -> Tip | None:
    """What the newest backup of this installation remembers; None if it has none there.

    Lists the whole vault. Backup ids begin with their time, so the greatest is the newest.
    Those in `but` are passed over: the log knows them from their manifests alone.
    Raises what the vault raises, and `Permanent` for a manifest that cannot be read.
    """
    newest: Tip | None = None
    for backup_id, cache, attempt in await listed(vault):
        if backup_id in but:
            continue
        if newest is not None and backup_id[:_SECOND] != newest.backup_id[:_SECOND]:
            break
        manifest = await read_manifest(vault, cache, backup_id, attempt=attempt)
        tip = Tip(cache, backup_id, manifest.log_position, manifest.log_sha256)
        ours = manifest.installation == installation
        if ours and (newest is None or tip.position > newest.position):
            newest = tip
    return newest


async def listed(vault: Vault) -> list[tuple[BackupId, CacheName, int]]:
    """Every backup that has a manifest, and the attempt that made it; the newest first."""
    found: list[tuple[BackupId, CacheName, int]] = []
    async with aclosing(vault.list(names.CACHES)) as objects:
        async for info in objects:
            backup = names.manifest_of(info.name)
            if backup is not None:
                cache, backup_id, attempt = backup
                found.append((backup_id, cache, attempt))
    return sorted(found, reverse=True)
