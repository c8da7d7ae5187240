"""From the configuration's vaults to opened ones: where they are and with which keys."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Protocol

from daemon.app.real import ForsakenThreads, secret
from daemon.config import Config, VaultConfig
from daemon.errors import BadRequest
from daemon.ports import Clock, Ids, Offload
from daemon.storage.factory import Aids, VaultSettings, open_vault
from daemon.storage.sealing import VaultKeys
from daemon.storage.settings import Placement, S3Keys
from daemon.storage.shelf import Opener, Shelf
from daemon.storage.spool import Spool
from daemon.storage.vault import Vault
from events.facts import VaultName
from projections import catalog
from projections.copies import lying_in
from projections.state import State


class Pool(Protocol):
    """Threads that can be had in portions."""

    def apart(self) -> Offload:
        """Threads that nobody else uses."""
        ...


def openers(
    config: Config, pool: Pool, ids: Ids, clock: Clock, spool: Spool | None = None
) -> Mapping[VaultName, Opener]:
    """How each configured vault is opened; secrets are read when it connects.

    Each has threads of its own, new ones whenever the configuration is read: one whose disk
    hangs takes none from the others.
    """
    return {
        name: _Opening(settings, pool.apart(), ids, Aids(clock, spool))
        for name, settings in sorted(config.vaults.items())
    }


class Sickroom:
    """The vaults as the doctor sees them: a call that hangs in a directory is left behind.

    A vault in S3 is the daemon's own one: it hangs on the network alone, and can be left.
    """

    def __init__(self, shelf: Shelf, ids: Ids, clock: Clock, config: Config) -> None:
        self._shelf = shelf
        self._ids = ids
        self._clock = clock
        self._pool = ForsakenThreads()
        self._openers: Mapping[VaultName, Opener] = {}
        self._own: dict[VaultName, Vault] = {}
        self.replace(config)

    @property
    def names(self) -> tuple[VaultName, ...]:
        """The configured names, in order."""
        return self._shelf.names

    async def readable(self, name: VaultName) -> Vault:
        """A vault for trying out; raises `Permanent` when it cannot be opened."""
        if name not in self._openers:
            return await self._shelf.readable(name)
        if name not in self._own:
            self._own[name] = self._openers[name]()
        return self._own[name]

    def replace(self, config: Config) -> None:
        """Take a new configuration; directories keep no handles, so nothing is to be closed."""
        self._own.clear()
        self._openers = {
            name: opener
            for name, opener in openers(config, self._pool, self._ids, self._clock).items()
            if config.vaults[name].url.startswith("file:")
        }


def periods_of(config: Config) -> dict[VaultName, timedelta]:
    """How often the copies in each vault are read back; a vault that is not there: never."""
    return {
        name: timedelta(days=settings.verify_copies_days)
        for name, settings in config.vaults.items()
        if settings.verify_copies_days
    }


def vault_keys(config: Config) -> Mapping[VaultName, VaultKeys]:
    """To whom each configured vault is encrypted, and where its identity is."""
    return {
        name: VaultKeys(settings.recipients, settings.identity_file)
        for name, settings in sorted(config.vaults.items())
    }


class _Opening:
    def __init__(self, settings: VaultConfig, offload: Offload, ids: Ids, aids: Aids) -> None:
        self._settings = settings
        self._offload = offload
        self._ids = ids
        self._aids = aids

    def __call__(self) -> Vault:
        """Open it; reaches nothing yet. Keys are read, again and again, where it connects."""
        settings = self._settings
        return open_vault(
            VaultSettings(
                url=settings.url,
                endpoint_url=settings.endpoint_url,
                region=settings.region,
                addressing=settings.addressing,
                ca_file=settings.tls_ca_file,
                keys=partial(_keys, settings),
                placement=Placement(
                    checksum=settings.checksum,
                    sse=settings.sse,
                    sse_kms_key_id=settings.sse_kms_key_id,
                    storage_class=settings.storage_class,
                    object_lock=settings.object_lock,
                    object_lock_days=settings.object_lock_days,
                ),
            ),
            self._offload,
            jitter=self._ids.jitter,
            aids=self._aids,
        )


def _keys(settings: VaultConfig) -> S3Keys:
    """The key as it is now. Raises `Permanent` when a secret cannot be read."""
    return S3Keys(
        secret(file=settings.access_key_id_file, variable=settings.access_key_id_env),
        secret(file=settings.secret_access_key_file, variable=settings.secret_access_key_env),
        secret(file=settings.session_token_file, variable=settings.session_token_env),
    )


def none_is_missed(config: Config, state: State) -> None:
    """A vault with living backups or copies cannot leave the file: `BadRequest` names it."""
    missed: dict[str, int] = {}
    for backup in catalog.living(state.catalog):
        for vault in (backup.vault, *lying_in(backup.copies)):
            if vault not in config.vaults:
                missed[vault] = missed.get(vault, 0) + 1
    if missed:
        told = ", ".join(f"[vaults.{name}] with {count}" for name, count in sorted(missed.items()))
        raise BadRequest(
            "vault-missing",
            f"The configuration lacks vaults that hold living backups: {told}.",
            "Put them back, or delete those backups first.",
        )
