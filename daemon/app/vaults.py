"""From the configuration's vaults to opened ones: where they are and with which keys."""

from collections.abc import Mapping

from daemon.app.real import secret
from daemon.config import Config, VaultConfig
from daemon.errors import BadRequest
from daemon.ports import Ids, Offload
from daemon.storage.factory import VaultSettings, open_vault
from daemon.storage.sealing import VaultKeys
from daemon.storage.shelf import Opener
from daemon.storage.vault import Vault
from events.facts import VaultName
from projections import catalog
from projections.copies import complete_in
from projections.state import State


def openers(config: Config, offload: Offload, ids: Ids) -> Mapping[VaultName, Opener]:
    """How each configured vault is opened; secrets are read when that happens."""
    return {
        name: _Opening(settings, offload, ids) for name, settings in sorted(config.vaults.items())
    }


def vault_keys(config: Config) -> Mapping[VaultName, VaultKeys]:
    """To whom each configured vault is encrypted, and where its identity is."""
    return {
        name: VaultKeys(settings.recipients, settings.identity_file)
        for name, settings in sorted(config.vaults.items())
    }


class _Opening:
    def __init__(self, settings: VaultConfig, offload: Offload, ids: Ids) -> None:
        self._settings = settings
        self._offload = offload
        self._ids = ids

    def __call__(self) -> Vault:
        """Open it; reaches nothing yet. Raises `Permanent` when a secret cannot be read."""
        settings = self._settings
        return open_vault(
            VaultSettings(
                url=settings.url,
                endpoint_url=settings.endpoint_url,
                region=settings.region,
                addressing=settings.addressing,
                access_key_id=secret(
                    file=settings.access_key_id_file, variable=settings.access_key_id_env
                ),
                secret_access_key=secret(
                    file=settings.secret_access_key_file, variable=settings.secret_access_key_env
                ),
            ),
            self._offload,
            jitter=self._ids.jitter,
        )


def none_is_missed(config: Config, state: State) -> None:
    """A vault with living backups or copies cannot leave the file: `BadRequest` names it."""
    missed: dict[str, int] = {}
    for backup in catalog.living(state.catalog):
        for vault in (backup.vault, *complete_in(backup.copies)):
            if vault not in config.vaults:
                missed[vault] = missed.get(vault, 0) + 1
    if missed:
        told = ", ".join(f"[vaults.{name}] with {count}" for name, count in sorted(missed.items()))
        raise BadRequest(
            "vault-missing",
            f"The configuration lacks vaults that hold living backups: {told}.",
            "Put them back, or delete those backups first.",
        )
