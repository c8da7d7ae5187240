"""Backups as plain bytes, for clients of the socket."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from daemon.api import ExportPlace, Plain
from daemon.errors import BadRequest
from daemon.ports import Offload
from daemon.storage.catalog import read_manifest
from daemon.storage.reader import Reading, check_opens, read_plain
from daemon.storage.sealing import Keyring
from daemon.storage.shelf import Shelf
from events.facts import VaultName
from projections.catalog import Backup


class Places:
    """See `daemon.api.Exporter`."""

    def __init__(self, shelf: Shelf, offload: Offload, keys: Keyring) -> None:
        self._shelf = shelf
        self._offload = offload
        self._keys = keys

    def resolve(self, destination: str, entry: str | None) -> ExportPlace:
        """There are no places yet."""
        del entry
        raise BadRequest("destination", f"{destination!r} is no place.", "Ask for the bytes.")

    @asynccontextmanager
    async def plain(
        self, backup: Backup, vault: VaultName | None, shard: str | None
    ) -> AsyncGenerator[Plain, None]:
        """See `daemon.api.Exporter`."""
        del shard
        name = vault or backup.vault
        place = await self._shelf.readable(name)
        if backup.stored is None:
            raise TypeError(f"backup {backup.backup_id} is not complete")
        manifest = await read_manifest(
            place,
            backup.cache,
            backup.backup_id,
            backup.stored.manifest_sha256,
            attempt=max(1, backup.attempts),
        )
        (found,) = manifest.shards
        sealed = "age" in found.codecs
        identities = await self._keys.identities(name) if sealed else None
        reading = Reading(self._offload, identities=identities)
        await check_opens(place, found, reading)
        async with read_plain(place, found, reading) as chunks:
            yield Plain(found.shard, found.plain_bytes, found.sha256, chunks)
