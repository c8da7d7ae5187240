"""What is asked of copies before the ledger decides: which vaults there are, and for what.

The vaults are the configuration's, which no decision knows.
"""

from daemon import near
from daemon.api.find import any_backup
from daemon.api.seams import Outside
from daemon.commands import RequestCopy, RequestVerification
from daemon.errors import NotFound, Rejected
from events.facts import CacheSettings, VaultName
from projections.catalog import Backup
from projections.copies import complete_in
from projections.copy_words import why_no_copy


def check_copy(outside: Outside, request: RequestCopy) -> None:
    """Refuse a vault that there is not, or that does not take what is not encrypted."""
    backup = any_backup(outside.ledger.state, request.backup)
    cache = outside.ledger.state.caches.get(backup.cache)
    to = request.to or (cache.settings.copy_to if cache else None)
    if to is None:
        return
    vault = _known(outside, to)
    plain = backup.stored is not None and not backup.stored.recipients
    if plain and outside.encrypted(vault):
        raise _would_be_plain(
            f"Backup {backup.cache}/{backup.name} is", vault=vault, first=backup.vault
        )


def check_copy_to(outside: Outside, settings: CacheSettings) -> None:
    """Refuse a second vault that is encrypted where the first one is not."""
    second, first = settings.copy_to, settings.vault
    if second is not None and outside.encrypted(second) and not outside.encrypted(first):
        raise _would_be_plain(f"Backups in vault {first!r} are", vault=second, first=first)


def read_from(outside: Outside, backup: Backup, vault: str | None) -> VaultName | None:
    """The vault to plan a restore from; `NotFound` or `Rejected` where the backup is not."""
    if vault is None:
        return None
    name = _known(outside, vault)
    if name not in (backup.vault, *complete_in(backup.copies)):
        raise Rejected("no-copy", *why_no_copy(backup, name))
    return name


def check_verification(outside: Outside, request: RequestVerification) -> None:
    """Refuse a vault that there is not; whether it has a copy is for the decision to say."""
    if request.vault is not None:
        any_backup(outside.ledger.state, request.backup)
        _known(outside, request.vault)


def _known(outside: Outside, name: str) -> VaultName:
    if VaultName(name) not in outside.vaults:
        hint = (
            near.meant(name, outside.vaults) or f"There are: {', '.join(sorted(outside.vaults))}."
        )
        raise NotFound("unknown-vault", f"There is no vault {name!r}.", hint)
    return VaultName(name)


def _would_be_plain(what: str, *, vault: VaultName, first: VaultName) -> Rejected:
    return Rejected(
        "copy-plain",
        f"{what} not encrypted, and vault {vault!r} is only for what is (it has recipients).",
        f"A copy is the stored bytes as they are: give [vaults.{first}] recipients as well, or "
        "name another vault.",
    )
