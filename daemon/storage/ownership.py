"""Whose vault it is (S2): one installation writes to a vault, and everybody may read it.

Knows the small file that says so. How an installation gets its id, and the taking over of a
foreign vault, are decided elsewhere.
"""

from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Struct

from daemon.errors import Permanent, Transient
from daemon.storage.names import OWNER
from daemon.storage.vault import Vault
from events.facts import InstallationId

_LIMIT_BYTES = 64 << 10


class Owner(Struct, frozen=True):
    """What ``valkeep.json`` says; fields of later versions are passed over."""

    format: Literal[1]
    installation: InstallationId


async def owner(vault: Vault) -> Owner | None:
    """Whose vault it is, None for a fresh one; ``vault-owner-unreadable`` when nobody can tell."""
    data = await vault.get(OWNER, _LIMIT_BYTES)
    if data is None:
        return None
    try:
        return msgspec.json.decode(data, type=Owner)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Permanent(
            "vault-owner-unreadable",
            f"{OWNER} in {vault.url} cannot be read: {error}",
            "it says whose vault this is; write it back by hand, or run a newer Valkeep",
        ) from error


async def claim(
    vault: Vault, installation: InstallationId, *, used: Callable[[], bool] = lambda: False
) -> Owner:
    """Make a fresh vault ours, or find that it is; another's is ``vault-foreign``.

    Of two that claim a fresh vault at the same time exactly one succeeds. One that is `used`,
    because the log knows of backups in it, cannot be fresh: where nobody's name is in it, it is
    ``vault-owner-missing``, for then it is an empty mount point, or another bucket.
    """
    found = await owner(vault)
    if found is None and used():
        raise _owner_missing(vault, installation)
    if found is None:
        await vault.put_new(OWNER, _encoded(installation))
        found = await owner(vault)
    if found is None:
        raise Permanent(
            "vault-owner-unreadable",
            f"{vault.url} took {OWNER} and does not give it back",
            "check that the vault is a real directory or bucket",
        )
    if found.installation != installation:
        raise _foreign(vault, found)
    return found


async def may_write(
    vault: Vault, installation: InstallationId, *, used: Callable[[], bool] = lambda: False
) -> None:
    """Return when a vault is ours or nobody's, and leave it as it is; else raise as `claim`."""
    found = await owner(vault)
    if found is None and used():
        raise _owner_missing(vault, installation)
    if found is not None and found.installation != installation:
        raise _foreign(vault, found)


def _foreign(vault: Vault, found: Owner) -> Permanent:
    return Permanent(
        "vault-foreign",
        f"{vault.url} belongs to another installation, {found.installation}",
        "it is read-only here; to take it over: `valkeep recover --adopt`",
    )


async def take_over(
    vault: Vault, installation: InstallationId, *, former: InstallationId | None
) -> None:
    """Write our name into a vault that was another's; the caller was told to by a person.

    Raises ``vault-contested`` if it is no longer the one whose it was when that was decided.
    """
    found = await owner(vault)
    if found is not None and found.installation == installation:
        return
    if (found.installation if found else None) != former:
        raise _contested(vault)
    await vault.put(OWNER, _encoded(installation))
    found = await owner(vault)
    if found is None or found.installation != installation:
        raise _contested(vault)


def _contested(vault: Vault) -> Transient:
    return Transient(
        "vault-contested",
        f"somebody else has put a name into {OWNER} of {vault.url} at the same time",
        "make sure that one daemon alone uses it, then run the command again",
    )


def _encoded(installation: InstallationId) -> bytes:
    return msgspec.json.encode(Owner(format=1, installation=installation))


def _owner_missing(vault: Vault, installation: InstallationId) -> Transient:
    return Transient(
        "vault-owner-missing",
        f"{vault.url} holds backups of this installation by its log, but no {OWNER}",
        "is its disk mounted, and is it the right bucket? If it was emptied on purpose, put this "
        f"into {OWNER} there: {_encoded(installation).decode()}",
    )
