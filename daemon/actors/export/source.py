"""A stored backup as plain bytes, for whoever takes it out: all of it checked (R5).

Knows which vault to read from, and what an encrypted one needs. Whoever passes the bytes on must
let nobody take them for whole before their end.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from msgspec import Struct, structs

from daemon.actors.seams import ReadableVaults
from daemon.errors import Failed, NotFound
from daemon.ports import Offload
from daemon.storage.catalog import read_manifest
from daemon.storage.manifest import ShardObject
from daemon.storage.reader import Reading, check_opens, read_plain
from daemon.storage.sealing import Identities, Keys, NoKeys
from daemon.storage.vault import Vault
from daemon.valkey.rdb import RdbGuard
from events.facts import VaultName
from projections.catalog import Backup
from projections.copies import complete_in

_OF_THE_VAULT = ("vault-", "manifest-", "object-", "block-")
"""How the codes begin of what can be wrong with a stored backup, or with where it is stored."""


class Stored(Struct, frozen=True):
    """A backup that can be read: its manifest was untouched, and its identity is there."""

    vault: Vault
    shards: tuple[ShardObject, ...]
    offload: Offload
    identities: Identities | None = None

    def shard(self, name: str | None) -> ShardObject:
        """The shard of that name, or the only one; `NotFound` names those that there are."""
        found = [shard for shard in self.shards if name in (None, shard.shard)]
        if len(found) != 1:
            names = ", ".join(shard.shard for shard in self.shards)
            told = f"There is no shard {name!r}." if name else "It is not said which shard."
            raise NotFound("unknown-shard", told, f"There are: {names}.")
        return found[0]

    @asynccontextmanager
    async def plain(self, shard: ShardObject) -> AsyncGenerator[AsyncGenerator[bytes, None], None]:
        """The plain bytes of a shard; the last 64 KiB come when all is known to be right."""
        reading = Reading(self.offload, guards=(RdbGuard(),), identities=self.identities)
        async with read_plain(self.vault, shard, reading) as chunks:
            yield chunks


class Sources(Struct, frozen=True):
    """Where backups are read from."""

    vaults: ReadableVaults
    offload: Offload
    keys: Keys = NoKeys()

    async def stored(self, backup: Backup, vault: VaultName | None) -> Stored:
        """A complete backup in that vault, or in its own.

        Raises `Failed`: what the vault raises, or ``identity``; the hint names a copy, if there is
        one.
        """
        try:
            return await self._stored(backup, vault or backup.vault)
        except Failed as error:
            raise with_copies(error, backup, vault) from error

    async def _stored(self, backup: Backup, name: VaultName) -> Stored:
        if backup.stored is None:
            raise TypeError(f"backup {backup.backup_id} is not complete")
        vault = await self.vaults.readable(name)
        manifest = await read_manifest(
            vault,
            backup.cache,
            backup.backup_id,
            backup.stored.manifest_sha256,
            attempt=max(1, backup.attempts),
        )
        stored = Stored(vault, manifest.shards, self.offload)
        if any("age" in shard.codecs for shard in manifest.shards):
            identities = await self.keys.identities(name)
            stored = structs.replace(stored, identities=identities)
            for shard in manifest.shards:
                await check_opens(vault, shard, Reading(self.offload, identities=identities))
        return stored


def with_copies(error: Failed, backup: Backup, vault: VaultName | None) -> Failed:
    """The error, and where else the backup is, if that may help."""
    used = vault or backup.vault
    others = [name for name in (backup.vault, *complete_in(backup.copies)) if name != used]
    if not others or not error.code.startswith(_OF_THE_VAULT) or "--from" in error.hint:
        return error
    there = f"Vault {others[0]!r} has it too: say --from {others[0]}"
    return type(error)(error.code, error.message, f"{there}; or else: {error.hint}")
