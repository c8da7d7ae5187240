"""From a cache command to the settings that will be recorded: pure, and strict with paths.

Files and variables that hold a password are only named here; nobody reads them.
"""

import re

from daemon.api.find import cache_named
from daemon.commands import AddCache, SetCache
from daemon.errors import BadRequest, NotFound
from events.facts import CacheSettings, VaultName
from projections.state import State

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def settings_for(
    state: State, request: AddCache | SetCache, vaults: tuple[VaultName, ...]
) -> CacheSettings:
    """The settings that a command leads to; raises `BadRequest` or `NotFound` with a hint."""
    if isinstance(request, SetCache):
        settings = _changed(cache_named(state, request.name).settings, request, vaults)
    else:
        settings = CacheSettings(
            url=request.url,
            vault=_vault(request.vault, vaults),
            source=request.source,
            node=request.node,
            password_file=request.password_file or None,
            password_env=request.password_env or None,
        )
    _check_password(settings)
    return settings


def provisional(request: AddCache | SetCache) -> CacheSettings:
    """Settings for a command that was answered before: they are never decided on (L4)."""
    return CacheSettings(url=request.url or "", vault=VaultName(request.vault or ""))


def _changed(old: CacheSettings, request: SetCache, vaults: tuple[VaultName, ...]) -> CacheSettings:
    """What is null stays; an empty text takes the setting away.

    Naming one home of the password lets go of the other: there is only one password.
    """
    password_file = _or(request.password_file, old=old.password_file)
    password_env = _or(request.password_env, old=old.password_env)
    if request.password_file and request.password_env is None:
        password_env = None
    if request.password_env and request.password_file is None:
        password_file = None
    return CacheSettings(
        url=request.url or old.url,
        vault=old.vault if request.vault is None else _vault(request.vault, vaults),
        source=request.source or old.source,
        node=request.node or old.node,
        password_file=password_file,
        password_env=password_env,
    )


def _or(new: str | None, *, old: str | None) -> str | None:
    return old if new is None else new or None


def _vault(name: str | None, vaults: tuple[VaultName, ...]) -> VaultName:
    known = ", ".join(sorted(vaults))
    if name is None and len(vaults) == 1:
        return vaults[0]
    if name is None:
        raise BadRequest(
            "vault",
            f"There are {len(vaults)} vaults, and none is named.",
            f"Say which: --vault NAME. There are: {known}.",
        )
    if name not in vaults:
        raise NotFound(
            "unknown-vault",
            f"There is no vault {name!r}.",
            f"Vaults are named in the daemon's configuration: {known}.",
        )
    return VaultName(name)


def _check_password(settings: CacheSettings) -> None:
    """Where the password is; a value that looks like none of it is never shown."""
    if settings.password_file and settings.password_env:
        raise BadRequest(
            "password",
            "Both a file and an environment variable are named for one password.",
            "Name one of them.",
        )
    path = settings.password_file
    if path is not None and (not path.startswith("/") or ".." in path.split("/") or "\0" in path):
        raise BadRequest(
            "password-file",
            "The password file is not named by an absolute path.",
            "The daemon reads it: give the whole path of a file on its host.",
        )
    if settings.password_env is not None and not _VARIABLE.fullmatch(settings.password_env):
        raise BadRequest(
            "password-env",
            "That is not the name of an environment variable (it is not shown).",
            "Give the name of a variable of the daemon, not the password.",
        )
