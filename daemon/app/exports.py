"""Places to export to: what a destination means, and how it is opened.

A URL alone has the usual AWS chain for keys; an ``[exports]`` entry has its own. Secrets are read
when it connects.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from msgspec import Struct

from daemon.actors.export import Sources
from daemon.api import ExportPlace, Plain
from daemon.app.real import RandomIds, SystemClock, secret
from daemon.config import Config, ExportConfig
from daemon.config.exports import lies_in
from daemon.config.rules import export_url
from daemon.errors import BadRequest, NotFound, Permanent, Rejected
from daemon.near import asked, meant
from daemon.ports import Offload
from daemon.storage.factory import Aids, VaultSettings, directory_of, open_vault
from daemon.storage.outlet import Outlet
from daemon.storage.outlet_folder import FolderOutlet
from daemon.storage.outlet_s3 import S3Outlet
from daemon.storage.s3 import S3Vault
from daemon.storage.settings import Placement, S3Keys
from daemon.storage.spool import Spool
from events.facts import VaultName
from projections.catalog import Backup

_FORMS = "Say s3://BUCKET/PREFIX, file:///FOLDER, or the name of an [exports] entry."


class Kit(Struct, frozen=True):
    """What places are opened with; `offload` has threads that no vault uses."""

    offload: Offload
    ids: RandomIds
    clock: SystemClock
    spool: Spool | None = None


class Places:
    """The `Outlets` of the actor, and what the API asks before anything is recorded."""

    def __init__(self, config: Config, kit: Kit, sources: Sources) -> None:
        self._config = config
        self._kit = kit
        self._sources = sources

    def replace(self, config: Config) -> None:
        """Take a new configuration; exports under way go on as they began."""
        self._config = config

    def resolve(self, destination: str, entry: str | None) -> ExportPlace:
        """See `daemon.api.Exporter`."""
        if "://" not in destination and entry is None:
            entry, _, below = destination.partition("/")
            url = self._entry_named(entry, said=destination).url.rstrip("/")
            destination = f"{url}/{below}".rstrip("/")
        elif entry is not None:
            self._entry_named(entry, said=entry)
        wrong = export_url(destination)
        if wrong is not None:
            raise BadRequest("destination", f"The destination {wrong.wrong}.", wrong.allowed)
        self._is_nobodys(destination, entry)
        return ExportPlace(destination, entry)

    @asynccontextmanager
    async def plain(
        self, backup: Backup, vault: VaultName | None, shard: str | None
    ) -> AsyncGenerator[Plain, None]:
        """See `daemon.api.Exporter`."""
        stored = await self._sources.stored(backup, vault)
        found = stored.shard(shard)
        async with stored.plain(found) as chunks:
            yield Plain(found.shard, found.plain_bytes, found.sha256, chunks)

    @asynccontextmanager
    async def opened(self, url: str, entry: str | None) -> AsyncGenerator[Outlet, None]:
        """See `daemon.actors.export.Outlets`."""
        # Of a server that the environment or a profile names, only MD5 is known to be known.
        alone = ExportConfig(url=url, checksum="md5")
        settings = alone if entry is None else self._config.exports.get(entry)
        if settings is None:
            raise Permanent(
                "export-entry-missing",
                f"There is no [exports.{entry}] in the configuration any more.",
                "Put it back, and ask for the export again.",
            )
        outlet = self._outlet(url, settings)
        try:
            yield outlet
        finally:
            await outlet.aclose()

    def _outlet(self, url: str, settings: ExportConfig) -> Outlet:
        kit = self._kit
        if url.startswith("file:"):
            return FolderOutlet(directory_of(url), kit.offload)
        vault = open_vault(
            _settings(settings, url),
            kit.offload,
            jitter=kit.ids.jitter,
            aids=Aids(kit.clock, kit.spool),
        )
        if not isinstance(vault, S3Vault):
            raise TypeError(f"{url} is no bucket")
        return S3Outlet(vault)

    def entries(self) -> dict[str, VaultSettings]:
        """How each ``[exports]`` entry of the present configuration is reached, to read there."""
        return {name: _settings(entry, entry.url) for name, entry in self._config.exports.items()}

    def _entry_named(self, entry: str, *, said: str) -> ExportConfig:
        found = self._config.exports.get(entry)
        if found is None:
            like = meant(entry, self._config.exports)
            told = f"{like} " if like else ""
            if said.startswith("/"):
                told = f"{asked(f'file://{said}')} "
            elif said.startswith((".", "~")):
                told = "Into a file of yours: valkeep restore BACKUP --file PATH. "
            raise NotFound(
                "unknown-export", f"There is no [exports] entry {entry!r}.", f"{told}{_FORMS}"
            )
        return found

    def _is_nobodys(self, url: str, entry: str | None) -> None:
        """Neither a vault's place nor our own: what is there is not for anybody else."""
        endpoint = self._config.exports[entry].endpoint_url if entry else None
        for name, vault in self._config.vaults.items():
            ours = url.startswith("file:") or vault.endpoint_url == endpoint
            if ours and lies_in(url, place=vault.url):
                raise _taken(f"in vault {name!r}")
        own = (self._config.daemon.data_dir, self._config.spool.directory)
        if any(folder and lies_in(url, place=f"file://{folder}") for folder in own):
            raise _taken("in the daemon's own folder")


def _settings(settings: ExportConfig, url: str) -> VaultSettings:
    return VaultSettings(
        url=url,
        endpoint_url=settings.endpoint_url,
        region=settings.region,
        addressing=settings.addressing,
        ca_file=settings.tls_ca_file,
        keys=partial(_keys, settings),
        placement=Placement(
            checksum=settings.checksum,
            sse=settings.sse,
            sse_kms_key_id=settings.sse_kms_key_id,
        ),
    )


def _keys(settings: ExportConfig) -> S3Keys:
    """The key as it is now. Raises `Permanent` when a secret cannot be read."""
    return S3Keys(
        secret(file=settings.access_key_id_file, variable=settings.access_key_id_env),
        secret(file=settings.secret_access_key_file, variable=settings.secret_access_key_env),
        secret(file=settings.session_token_file, variable=settings.session_token_env),
    )


def _taken(where: str) -> Rejected:
    return Rejected(
        "destination", f"The destination lies {where}.", "Export to a place of its own."
    )
